//! Tokens and client certificates.

use std::net::Ipv4Addr;

use lb_model::AdminTls;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use super::audit::Lines;
use super::*;

const TOKEN: &str = "s3cret-s3cret";

fn tcp(folder: &TempDir) -> AdminTcp {
    std::fs::write(folder.path().join("token"), format!("{TOKEN}\n")).unwrap();
    AdminTcp {
        bind: (Ipv4Addr::LOCALHOST, 0).into(),
        token_file: Some(folder.path().join("token")),
        tls: None,
    }
}

fn with_token(request: &str, token: &str) -> String {
    request.replacen("\r\n", &format!("\r\nAuthorization: Bearer {token}\r\n"), 1)
}

#[tokio::test]
async fn everything_but_health_needs_the_token() {
    let lines = Lines::collect();
    let running = Running::with_tcp(Fake::default(), |folder| Some(tcp(folder)));
    let denied = [
        get("/v1/status"),
        get("/metrics"),
        get("/readyz"),
        get("/nothing"),
        get("/healthz/"),
        post("/v1/drain", "{\"pool\": \"web\"}"),
        with_token(&get("/v1/status"), "wrong"),
        with_token(&get("/v1/status"), ""),
        get("/v1/status").replacen("\r\n", &format!("\r\nAuthorization: Basic {TOKEN}\r\n"), 1),
    ];
    for request in &denied {
        let answer = exchange(running.tcp().await, request).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{request}: {answer}");
        assert!(answer.contains("\r\nwww-authenticate: Bearer\r\n") && answer.contains("\"unauthorized\""));
    }
    assert_eq!(lines.audit().len(), denied.len());
    assert!(lines.audit()[0].starts_with("denied client=127.0.0.1:"), "{:?}", lines.audit());
    let healthy = exchange(running.tcp().await, &get("/healthz")).await;
    assert!(healthy.starts_with("HTTP/1.1 200 "), "{healthy}");
    let answer = exchange(running.tcp().await, &with_token(&get("/v1/status"), TOKEN)).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let drain = with_token(&post("/v1/drain", "{\"pool\": \"web\"}"), TOKEN);
    assert!(exchange(running.tcp().await, &drain).await.starts_with("HTTP/1.1 200 "));
    let last = lines.audit().pop().unwrap();
    assert!(last.starts_with("command client=127.0.0.1:") && last.contains("proof=\"token\""), "{last}");
    running.end().await;
}

#[tokio::test]
async fn a_wrong_guess_costs_a_connection() {
    let running = Running::with_tcp(Fake::default(), |folder| Some(tcp(folder)));
    let guess = with_token("GET /v1/status HTTP/1.1\r\nhost: x\r\n\r\n", "wrong");
    // Reads until the server closes, which it does although nobody asked it to.
    let answer = exchange(running.tcp().await, &guess.repeat(2)).await;
    assert_eq!(answer.matches("HTTP/1.1 401 ").count(), 1, "{answer}");
    running.end().await;
}

/// An authority, and files for the server and for clients in `folder`.
struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    /// Writes `name`.pem and `name`.key.
    fn issue(&self, folder: &TempDir, name: &str) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.0).unwrap();
        std::fs::write(folder.path().join(format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(folder.path().join(format!("{name}.key")), key.serialize_pem()).unwrap();
    }
}

fn mutual_tls(folder: &TempDir) -> AdminTcp {
    let authority = Authority::new();
    std::fs::write(folder.path().join("ca.pem"), authority.0.pem()).unwrap();
    authority.issue(folder, "server");
    authority.issue(folder, "ada");
    Authority::new().issue(folder, "mallory");
    let tls = AdminTls {
        cert_file: folder.path().join("server.pem"),
        key_file: folder.path().join("server.key"),
        client_ca_file: Some(folder.path().join("ca.pem")),
    };
    AdminTcp { token_file: None, tls: Some(tls), ..tcp(folder) }
}

/// curl's exit status and answer, with the certificate of `who`; `None` without curl.
async fn curl(running: &Running, who: Option<&str>, path: &str) -> Option<(bool, String)> {
    let file = |name: String| running.folder.path().join(name);
    let mut curl = tokio::process::Command::new("curl");
    curl.args(["--silent", "--show-error", "--json", "{\"pool\": \"web\"}", "--cacert"])
        .arg(file("ca.pem".into()));
    if let Some(who) = who {
        curl.arg("--cert").arg(file(format!("{who}.pem"))).arg("--key").arg(file(format!("{who}.key")));
    }
    match curl.arg(format!("https://{}{path}", running.tcp.unwrap())).output().await {
        Ok(output) => Some((output.status.success(), String::from_utf8(output.stdout).unwrap())),
        Err(error) => {
            eprintln!("skipped: no curl here ({error})");
            None
        }
    }
}

#[tokio::test]
async fn a_client_certificate_says_who_it_is() {
    let lines = Lines::collect();
    let running = Running::with_tcp(Fake::default(), |folder| Some(mutual_tls(folder)));
    if let Some((good, answer)) = curl(&running, Some("ada"), "/v1/drain").await {
        assert!(good && answer.contains("\"draining\""), "{answer}");
        assert!(lines.audit()[0].contains("proof=\"ada\""), "{:?}", lines.audit());
        for stranger in [None, Some("mallory")] {
            let (good, answer) = curl(&running, stranger, "/healthz").await.unwrap();
            assert!(!good && answer.is_empty(), "{stranger:?}: {answer}");
        }
        let denied: Vec<_> = lines.audit().into_iter().filter(|line| line.starts_with("denied")).collect();
        assert_eq!(denied.len(), 2, "{denied:?}");
        assert!(denied.iter().all(|line| line.contains("reason=\"TLS: ")), "{denied:?}");
    }
    running.end().await;
}

#[tokio::test]
async fn where_both_are_asked_for_a_certificate_alone_is_not_enough() {
    let running = Running::with_tcp(Fake::default(), |folder| {
        Some(AdminTcp { token_file: Some(folder.path().join("token")), ..mutual_tls(folder) })
    });
    if let Some((_, answer)) = curl(&running, Some("ada"), "/v1/drain").await {
        assert!(answer.contains("\"unauthorized\""), "{answer}");
        assert!(curl(&running, Some("ada"), "/healthz").await.unwrap().1.contains("method_not_allowed"));
    }
    running.end().await;
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_does_not_come_is_not_waited_for() {
    let running = Running::with_tcp(Fake::default(), |folder| Some(mutual_tls(folder)));
    let mut silent = running.tcp().await;
    assert_eq!(silent.read(&mut [0; 1]).await.unwrap(), 0);
    running.end().await;
}

#[tokio::test]
async fn files_that_are_not_usable_are_named() {
    let folder = TempDir::new().unwrap();
    let good = mutual_tls(&folder);
    let Some(tls) = good.tls.clone() else { unreachable!() };
    let bind = |tcp: AdminTcp| Server::bind(&Admin { socket: AdminSocket::Off, tcp: Some(tcp) }, None);
    bind(good.clone()).unwrap();
    let empty = folder.path().join("empty");
    std::fs::write(&empty, "").unwrap();
    for wrong in [
        AdminTcp { token_file: Some(empty.clone()), ..good.clone() },
        AdminTcp { tls: Some(AdminTls { cert_file: empty.clone(), ..tls.clone() }), ..good.clone() },
        AdminTcp { tls: Some(AdminTls { key_file: empty.clone(), ..tls.clone() }), ..good.clone() },
        AdminTcp { tls: Some(AdminTls { client_ca_file: Some(empty.clone()), ..tls }), ..good.clone() },
    ] {
        let error = bind(wrong).unwrap_err().to_string();
        assert!(error.starts_with(&format!("{}: ", empty.display())), "{error}");
    }
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let error = bind(AdminTcp { bind: taken.local_addr().unwrap(), ..good }).unwrap_err();
    assert!(matches!(error, BindError::Listen { .. }), "{error}");
}
