//! Reloads under load lose no request.

use lb_tests::{ClosedLoop, Daemon, HttpBackend, HttpClient, Loopback, response};

use super::config;

#[test]
fn no_request_is_lost_while_everything_is_reloaded() {
    let at = Loopback::new();
    let backend = |number, name: &'static str| {
        HttpBackend::answering(name, at.backend(number), |_| response(200, name.as_bytes()))
    };
    let backends = [backend(0, "a"), backend(1, "b")];
    let with = |n: usize, lines: &str| config(at, &backends[n], lines, "").to_string();
    let daemon = Daemon::start(with(0, ""));
    let address = at.port(0);
    let clients = ClosedLoop::start(4, move || {
        // A connection of a few requests each, as clients have them.
        let mut client = HttpClient::connect(address);
        (0..5).map(|n| client.get(&format!("/{n}")).status()).collect::<Vec<_>>()
    });
    for n in 0..200 {
        let lines =
            ["", "max_header_count = 50", "keepalive = \"5s\"", "request_id_header = \"X-Id\""][n % 4];
        daemon.reload(with(n % 2, lines));
    }
    let statuses: Vec<u16> = clients.stop().into_iter().flatten().collect();
    assert!(statuses.len() > 100 && statuses.iter().all(|status| *status == 200), "{statuses:?}");
    assert!(backends.iter().all(|backend| !backend.requests().is_empty()), "both have served");
}

#[test]
fn a_listener_changes_its_protocol_and_its_pool_for_connections_that_there_are() {
    let at = Loopback::new();
    let backend = HttpBackend::answering("b", at.backend(0), |_| response(200, b"x"));
    let daemon = Daemon::start(config(at, &backend, "", ""));
    let mut kept = HttpClient::connect(at.port(0));
    assert_eq!(kept.get("/").status(), 200);
    daemon.reload(config(at, &backend, "", "").to_string().replace("\"http\"", "\"tcp\""));
    assert_eq!(
        HttpClient::connect(at.port(0)).exchange("GET /raw HTTP/1.1\r\n\r\n").status(),
        200,
        "it is bytes now"
    );
    daemon.reload(config(at, &backend, "", ""));
    assert_eq!(
        HttpClient::connect(at.port(0)).exchange("GET /raw HTTP/1.1\r\n\r\n").status(),
        400,
        "it is HTTP again"
    );
}
