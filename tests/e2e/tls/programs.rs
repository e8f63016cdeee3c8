//! Real clients: OpenSSL and curl find the server that they ask for, and say why if there is none.

use std::net::SocketAddr;
use std::process::{Command, Output, Stdio};

use lb_model::Termination;
use lb_tests::{Api, Authority, Config, Daemon, Loopback, Page, WebServer};

use super::{count, route, secure};

/// Two web servers, each with a certificate for its own name.
struct Web {
    at: Loopback,
    authority: Authority,
    servers: [WebServer; 2],
}

impl Web {
    fn start() -> Self {
        let (at, authority) = (Loopback::new(), Authority::new("authority"));
        let servers = [("a.example", 0), ("b.example", 1)].map(|(name, index)| {
            let server = WebServer::start_tls(at.backend(index), &authority, &[name]);
            server.always(Page::Body(name.into()));
            server
        });
        Self { at, authority, servers }
    }

    /// `a.example` for everybody, `b.example` for clients that offer `http/1.1`.
    fn config(&self) -> Config {
        let [a, b] = self.servers.each_ref().map(|server| [format!("\"{}\"", server.address())]);
        let routes = [route(&["a.example"], &[], "a"), route(&["b.example"], &["http/1.1"], "b")];
        let listener = secure("secure", self.at.port(0), "", &routes);
        Config::new().pool_of("a", &a, "").pool_of("b", &b, "").table(&listener)
    }

    /// curl, which takes our address for every name and trusts our authority.
    fn curl(&self, name: &str) -> Api {
        let here = format!("::{}", self.at.port(0));
        Api::at(&format!("https://{name}"))
            .with(["--connect-to", &here, "--cacert"])
            .with([self.authority.file()])
    }
}

fn openssl(address: SocketAddr, arguments: &[&str]) -> Output {
    let mut openssl = Command::new("openssl");
    openssl.args(["s_client", "-connect", &address.to_string()]).args(arguments);
    // Without anything to say it leaves once the handshake is done.
    openssl.stdin(Stdio::null()).output().expect("running openssl")
}

#[test]
fn curl_reaches_whom_it_asks_for() {
    let web = Web::start();
    let daemon = Daemon::start(web.config());
    for name in ["a.example", "b.example"] {
        // curl verifies the certificate, and offers HTTP/1.1 with every version.
        for options in [&["--http1.1"][..], &["--tls-max", "1.2"], &["--tlsv1.3"]] {
            let answer = web.curl(name).with(options).answer("/");
            assert_eq!((answer.status, answer.body.as_str()), (200, name), "{options:?}");
        }
    }
    let output = web.curl("c.example").run("/");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(complaint.contains("unrecognized name"), "{complaint}");
    let output = web.curl("b.example").with(["--no-alpn"]).run("/");
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(complaint.contains("no application protocol"), "{complaint}");
    assert_eq!(count(&daemon, "secure", "no_route"), 2.0);
}

#[test]
fn openssl_reaches_whom_it_asks_for() {
    let web = Web::start();
    let _daemon = Daemon::start(web.config());
    let ca = web.authority.file();
    let trusted = ["-CAfile", ca.to_str().unwrap(), "-verify_return_error", "-verify_hostname"];
    for (name, alpn) in [("a.example", "h2"), ("b.example", "h2,http/1.1")] {
        for version in ["-tls1_2", "-tls1_3"] {
            let arguments = [&trusted[..], &[name, "-servername", name, "-alpn", alpn, version]].concat();
            let output = openssl(web.at.port(0), &arguments);
            let printed = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success() && printed.contains("Verification: OK"), "{output:?}");
        }
    }
}

#[test]
fn openssl_hears_the_alert() {
    let web = Web::start();
    let daemon = Daemon::start(web.config());
    let cases = [
        (&["-servername", "c.example"][..], "unrecognized name", 112),
        (&["-noservername"], "unrecognized name", 112),
        (&["-servername", "b.example", "-alpn", "h2"], "no application protocol", 120),
        (&["-servername", "b.example"], "no application protocol", 120),
        (&["-servername", "c.example", "-tls1_2"], "unrecognized name", 112),
    ];
    for (arguments, words, number) in cases {
        let output = openssl(web.at.port(0), arguments);
        let complaint = String::from_utf8_lossy(&output.stderr);
        let heard = complaint.contains(words) && complaint.contains(&format!("SSL alert number {number}"));
        assert!(!output.status.success() && heard, "{arguments:?}: {complaint}");
    }
    let records = daemon.wait_for_records(cases.len());
    assert!(records.iter().all(|record| record.reason == Termination::NoRoute), "{records:#?}");
    let names: Vec<_> = records.iter().map(|record| record.server_name.as_deref()).collect();
    let (b, c) = (Some("b.example"), Some("c.example"));
    assert_eq!(names, [c, None, b, b, c]);
    assert_eq!(count(&daemon, "secure", "no_route"), 5.0);
}
