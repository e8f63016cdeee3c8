//! HTTP probes against a server that is told byte by byte what to send.

use lb_model::{BodyMatch, HttpProbe};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::*;

fn get() -> HttpProbe {
    HttpProbe::get("/healthz".parse().unwrap())
}

fn containing(text: &str, within: usize) -> HttpProbe {
    HttpProbe { body: Some(BodyMatch { contains: text.into(), within }), ..get() }
}

/// Accepts one connection and reads a request's head.
async fn request(listener: &TcpListener) -> (TcpStream, String) {
    let (mut stream, _) = listener.accept().await.unwrap();
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.unwrap());
    }
    (stream, String::from_utf8(head).unwrap())
}

/// Probes a server that sends `parts`, and then does something else.
async fn against(http: HttpProbe, parts: &[&[u8]], then: Then) -> ProbeResult {
    let (listener, address) = listener().await;
    let server = async {
        let (mut stream, _) = request(&listener).await;
        for part in parts {
            // The probe may have seen enough.
            let _ = stream.write_all(part).await;
        }
        match then {
            Then::Close => drop(stream),
            Then::Reset => {
                stream.set_zero_linger().unwrap();
                drop(stream);
            }
            Then::Keep | Then::Hang => std::future::pending().await,
        }
    };
    let timeout = if matches!(then, Then::Hang) { SHORT } else { PATIENT };
    beside(server, probe(address, Probe::Http(http), timeout)).await
}

#[derive(Clone, Copy)]
enum Then {
    Close,
    Reset,
    /// Keeps the connection, which the probe should not mind.
    Keep,
    /// Keeps the probe waiting.
    Hang,
}

#[tokio::test]
async fn asks_what_it_was_told_to() {
    let (listener, address) = listener().await;
    let head = |http: HttpProbe| {
        let listener = &listener;
        async move {
            tokio::select! {
                (_, head) = request(listener) => head,
                _ = probe(address, Probe::Http(http), PATIENT) => unreachable!("nobody answers"),
            }
        }
    };
    let plain = head(get()).await;
    assert!(plain.starts_with("GET /healthz HTTP/1.1\r\n"), "{plain}");
    assert!(plain.contains(&format!("host: {address}\r\n")) && plain.contains("connection: close\r\n"));
    let other = HttpProbe {
        method: "HEAD".parse().unwrap(),
        path: "/a?b=c".parse().unwrap(),
        host: Some("web.example".parse().unwrap()),
        ..get()
    };
    let other = head(other).await;
    assert!(other.starts_with("HEAD /a?b=c HTTP/1.1\r\n") && other.contains("host: web.example\r\n"));
}

#[tokio::test]
async fn judges_the_status() {
    let answer = |status: u16| format!("HTTP/1.1 {status} X\r\ncontent-length: 2\r\n\r\nok");
    for (status, good) in [(200, true), (302, true), (404, false), (503, false)] {
        let result = against(get(), &[answer(status).as_bytes()], Then::Keep).await;
        assert_eq!(result.is_ok(), good, "{status}: {result:?}");
    }
    let wanted = HttpProbe { expect: "401,403".parse().unwrap(), ..get() };
    assert!(against(wanted.clone(), &[answer(403).as_bytes()], Then::Close).await.is_ok());
    let result = against(wanted, &[answer(503).as_bytes()], Then::Close).await;
    assert_eq!(message(result), "status 503, expected 401,403");
    let informed = [b"HTTP/1.1 100 Continue\r\n\r\n".as_slice(), b"HTTP/1.1 204 X\r\n\r\n"];
    assert!(against(get(), &informed, Then::Keep).await.is_ok());
}

#[tokio::test]
async fn judges_the_body() {
    let fixed = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nall is ok";
    assert!(against(containing("is ok", 100), &[fixed], Then::Keep).await.is_ok());
    let result = against(containing("is ok", 8), &[fixed], Then::Keep).await;
    assert_eq!(message(result), "body does not contain \"is ok\"");
    let chunked =
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nall\r\n6\r\n is ok\r\n0\r\n\r\n";
    assert!(against(containing("all is ok", 100), &[chunked], Then::Keep).await.is_ok());
    let until_close = b"HTTP/1.0 200 OK\r\n\r\nall is ok";
    assert!(against(containing("is ok", 100), &[until_close], Then::Close).await.is_ok());
}

#[tokio::test]
async fn reads_no_more_than_it_may() {
    let endless = [b"HTTP/1.1 200 OK\r\n\r\n".as_slice(), &[b'x'; 200_000]];
    assert!(against(get(), &endless, Then::Keep).await.is_ok());
    let result = against(containing("ok", 1000), &endless, Then::Keep).await;
    assert_eq!(result, Err(ProbeError::Body("ok".into())));
    let head = [b"HTTP/1.1 200 OK\r\nx: ".as_slice(), &[b'x'; 200_000]];
    let result = against(get(), &head, Then::Keep).await;
    assert!(matches!(result, Err(ProbeError::Protocol { .. })), "{result:?}");
}

#[tokio::test]
async fn says_what_it_was_waiting_for() {
    assert_eq!(message(against(get(), &[], Then::Hang).await), "no answer within 500ms");
    let half_head = b"HTTP/1.1 200 OK\r\n";
    assert_eq!(message(against(get(), &[half_head], Then::Hang).await), "no answer within 500ms");
    let half_body = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nall";
    assert_eq!(message(against(get(), &[half_body], Then::Hang).await), "no complete answer within 500ms");
}

#[tokio::test]
async fn says_how_the_connection_broke() {
    let half_body = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nall";
    assert_eq!(against(get(), &[], Then::Close).await, Err(ProbeError::Closed));
    assert_eq!(against(get(), &[half_body], Then::Close).await, Err(ProbeError::Closed));
    assert_eq!(against(get(), &[], Then::Reset).await, Err(ProbeError::Reset));
    let garbage = against(get(), &[b"SSH-2.0-OpenSSH_9.6\r\n"], Then::Keep).await;
    assert!(message(garbage).starts_with("answer is no valid HTTP: "));
    assert_eq!(probe(refusing().await, Probe::Http(get()), PATIENT).await, Err(ProbeError::Refused));
}

#[tokio::test]
async fn a_probe_that_is_given_up_is_reset() {
    let (listener, address) = listener().await;
    let mut probing = Box::pin(probe(address, Probe::Http(get()), PATIENT));
    let (mut stream, _) = tokio::select! {
        accepted = request(&listener) => accepted,
        _ = &mut probing => unreachable!("nobody answers"),
    };
    drop(probing);
    let error = stream.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
}

#[tokio::test]
async fn what_the_backend_expects_first_comes_first() {
    let (listener, address) = listener().await;
    let check = HealthCheck { timeout: PATIENT, ..HealthCheck::new(Probe::Http(get())) };
    let target = Target { first: b"PROXY UNKNOWN\r\n", ..target(address, check) };
    let server = async {
        let (mut stream, head) = request(&listener).await;
        assert!(head.starts_with("PROXY UNKNOWN\r\nGET /healthz HTTP/1.1\r\n"), "{head}");
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        std::future::pending::<()>().await;
    };
    beside(server, async { run(&ProbeKey::new(&target), &TrustStores::default()).await }).await.unwrap();
}
