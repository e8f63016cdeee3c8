//! Connections that go on in another protocol.

use std::net::Shutdown;

use lb_tests::{Content, HttpBackend};

use super::{Site, tag};

const UPGRADE: &str =
    "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: echo\r\n\r\n";

/// Agrees to speak `echo`.
fn echo(at: std::net::SocketAddr) -> HttpBackend {
    HttpBackend::start("b", at, |served| {
        while let Some(request) = served.request()? {
            if request.field("upgrade") != Some("echo") || request.field("connection") != Some("upgrade") {
                served.send(&tag(&request))?;
                continue;
            }
            served.send(
                b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\nhello ",
            )?;
            loop {
                let some = served.some()?;
                if some.is_empty() {
                    return Ok(());
                }
                served.send(&some)?;
            }
        }
        Ok(())
    })
}

#[test]
fn both_sides_talk_after_the_switch_those_who_spoke_early_included() {
    let site = Site::start(echo, "", "");
    let mut client = site.connect();
    // What belongs to the other protocol comes with the request.
    client.send(format!("{UPGRADE}early "));
    let switched = client.bodiless();
    assert_eq!(switched.start_line(), "HTTP/1.1 101 Switching Protocols");
    assert_eq!((switched.field("connection"), switched.field("upgrade")), (Some("upgrade"), Some("echo")));
    let content = Content::new(1).take(4 << 20);
    let stream = client.stream().try_clone().unwrap();
    let sent = content.clone();
    let sender = std::thread::spawn(move || {
        std::io::Write::write_all(&mut &stream, &sent).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
    });
    let (got, end) = client.rest();
    sender.join().unwrap();
    assert_eq!(end, lb_tests::End::Closed);
    let greeting = b"hello early ";
    assert_eq!(got[..12], *greeting);
    assert!(got[12..] == content);
    site.backend.wait_end(0);
    let upgraded = "sluice_listener_requests_ended_total{listener=\"web\",reason=\"upgraded\"}";
    lb_tests::eventually(super::PATIENCE, "it is counted", || site.daemon.metric(upgraded) == 1.0);
}

#[test]
fn a_backend_that_does_not_switch_just_answers() {
    let site = Site::start(|at| HttpBackend::answering("b", at, tag), "", "");
    let mut client = site.connect();
    assert_eq!(client.exchange(UPGRADE).text(), "GET /chat");
    assert_eq!(client.get("/next").text(), "GET /next");
}

#[test]
fn nobody_gets_past_the_routes_by_switching_to_another_http() {
    let site = Site::start(|at| HttpBackend::answering("b", at, tag), "", "");
    let mut client = site.connect();
    let request = "GET /h2c HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\
                   HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n";
    assert_eq!(client.exchange(request).text(), "GET /h2c");
    let got = &site.backend.requests()[0];
    assert_eq!(
        (got.field("upgrade"), got.field("connection"), got.field("http2-settings")),
        (None, None, None)
    );
}

#[test]
fn an_idle_upgraded_connection_ends_with_its_idle_timeout() {
    let site = Site::start(echo, "idle_timeout = \"500ms\"", "");
    let mut client = site.connect();
    client.send(UPGRADE);
    client.bodiless();
    assert_eq!(client.rest(), (b"hello ".to_vec(), lb_tests::End::Reset));
    site.backend.wait_end(0);
}
