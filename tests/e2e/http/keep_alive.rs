//! Connections are used again, on both sides, and one that has died meanwhile costs nobody a request.

use std::sync::atomic::{AtomicUsize, Ordering};

use lb_tests::{BodyEnd, Daemon, End, HttpBackend, HttpClient, eventually, response};

use super::{PATIENCE, Site, config, tag};

#[test]
fn requests_of_one_client_share_both_connections() {
    let site = Site::tagging("");
    let mut client = site.connect();
    for n in 0..50 {
        assert_eq!(client.get(&format!("/{n}")).text(), format!("GET /{n}"));
    }
    assert_eq!(site.backend.connections(), 1);
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let site = Site::tagging("");
    let mut client = site.connect();
    let requests: String = (0..20).map(|n| format!("GET /{n} HTTP/1.1\r\nHost: a\r\n\r\n")).collect();
    client.send(requests + "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET /last HTTP/1.1\r\nHost: a\r\n\r\n");
    for n in 0..20 {
        assert_eq!(client.response().text(), format!("GET /{n}"));
    }
    assert_eq!(client.response().text(), "POST /p");
    assert_eq!(client.response().text(), "GET /last");
    assert_eq!(site.backend.requests()[20].body, b"abc");
}

#[test]
fn a_request_that_comes_byte_by_byte_is_a_request() {
    let site = Site::tagging("");
    let mut client = site.connect();
    for byte in b"POST /slow HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" {
        client.send([*byte]);
    }
    assert_eq!(client.response().text(), "POST /slow");
    assert_eq!(site.backend.requests()[0].body, b"abc");
}

/// What heads are parsed into is used again by the next connection of the same worker.
#[test]
fn nothing_of_a_head_that_was_given_up_reaches_another_client() {
    let site = Site::tagging("");
    for n in 0..40 {
        let mut first = site.connect();
        first.send("POST /secret HTTP/1.1\r\nHost: secret\r\nX-Secret: 1\r\nContent-Length: 5\r\n");
        assert_eq!(site.connect().get(&format!("/{n}")).text(), format!("GET /{n}"));
        drop(first);
        let mut second = site.connect();
        second.send("GET /half HTTP/1.1\r\n");
        drop(second);
    }
    for request in site.backend.requests() {
        assert!(!request.head.contains("ecret"), "{}", request.head);
    }
}

#[test]
fn connections_end_when_somebody_says_so() {
    let site = Site::tagging("max_requests_per_connection = 3");
    let mut client = site.connect();
    let closed = client.exchange("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(closed.field("connection"), Some("close"));
    assert_eq!(client.rest(), (vec![], End::Closed));

    let mut old = site.connect();
    assert_eq!(old.exchange("GET / HTTP/1.0\r\n\r\n").field("connection"), Some("close"));
    assert_eq!(old.rest(), (vec![], End::Closed));

    let mut old = site.connect();
    let kept = old.exchange("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    assert_eq!(kept.field("connection"), Some("keep-alive"));
    assert_eq!(old.exchange("GET /2 HTTP/1.0\r\n\r\n").text(), "GET /2");

    let mut limited = site.connect();
    assert_eq!(limited.get("/1").field("connection"), None);
    assert_eq!(limited.get("/2").field("connection"), None);
    assert_eq!(limited.get("/3").field("connection"), Some("close"));
    assert_eq!(limited.rest(), (vec![], End::Closed));
}

#[test]
fn a_silent_client_is_closed_after_the_keepalive_timeout() {
    let site = Site::tagging("keepalive_timeout = \"300ms\"");
    let mut client = site.connect();
    client.get("/");
    assert_eq!(client.rest(), (vec![], End::Closed));
}

#[test]
fn a_backend_that_closes_after_each_response_costs_nobody_a_request() {
    let once = |address| {
        HttpBackend::start("b", address, |served| {
            let Some(request) = served.request()? else { return Ok(()) };
            served.send(&tag(&request))
        })
    };
    let site = Site::start(once, "", "");
    let mut client = site.connect();
    for n in 0..100 {
        assert_eq!(client.get(&format!("/{n}")).text(), format!("GET /{n}"));
    }
    assert_eq!(site.backend.requests().len(), 100, "none was sent twice");
}

/// The daemon learns that a kept connection is dead only from the answer to its next request.
#[test]
fn a_request_to_a_connection_that_has_died_is_repeated_if_that_is_safe() {
    static SECONDS: AtomicUsize = AtomicUsize::new(0);
    // The first request of a connection is answered; at the second the backend closes without a word.
    let dies = |address| {
        HttpBackend::start("b", address, |served| {
            let Some(request) = served.request()? else { return Ok(()) };
            served.send(&tag(&request))?;
            if served.request()?.is_some() {
                SECONDS.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        })
    };
    let site = Site::start(dies, "", "");
    let mut client = site.connect();
    assert_eq!(client.get("/1").text(), "GET /1");
    assert_eq!(client.get("/2").text(), "GET /2");
    assert_eq!(SECONDS.load(Ordering::Relaxed), 1, "it was sent on the connection that was kept first");
    // PUT is idempotent, and its body is still here.
    let put = "PUT /3 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";
    assert_eq!(client.exchange(put).text(), "PUT /3");
    assert_eq!(site.backend.requests().last().unwrap().body, b"body");
    // POST may have been carried out: who sent it has to decide.
    let post = "POST /4 HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody";
    assert_eq!(client.exchange(post).status(), 502);
    let posts = site.backend.requests().into_iter().filter(|request| request.method() == "POST");
    assert_eq!(posts.count(), 1);
    assert_eq!(site.daemon.metric("sluice_listener_requests_repeated_total{listener=\"web\"}"), 2.0);
}

#[test]
fn idle_connections_to_backends_are_limited_and_grow_old() {
    let pool = "max_idle_connections = 2\nidle_connection_timeout = \"1s\"";
    let site = Site::start(
        |address| {
            HttpBackend::start("b", address, |served| {
                while let Some(request) = served.request()? {
                    // All of them at once.
                    if request.target() == "/together" {
                        served.send(&response(200, b"x"))?;
                    }
                }
                Ok(())
            })
        },
        "",
        pool,
    );
    let mut clients: Vec<_> = (0..6).map(|_| site.connect()).collect();
    clients.iter_mut().for_each(|client| client.send("GET /together HTTP/1.1\r\nHost: a\r\n\r\n"));
    clients.iter_mut().for_each(|client| assert_eq!(client.response().text(), "x"));
    let opened = site.backend.connections();
    let open = || (0..opened).filter(|&number| site.backend.is_open(number)).count();
    eventually(PATIENCE, "at most two are kept", || open() <= 2);
    eventually(PATIENCE, "they grow old", || open() == 0);
}

#[test]
fn one_daemon_serves_many_clients_at_once() {
    let site = Site::tagging("");
    let at = site.at.port(0);
    let clients: Vec<_> = (0..32)
        .map(|client| {
            std::thread::spawn(move || {
                let mut connection = HttpClient::connect(at);
                for n in 0..30 {
                    assert_eq!(
                        connection.get(&format!("/{client}/{n}")).text(),
                        format!("GET /{client}/{n}")
                    );
                }
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().unwrap());
    assert_eq!(site.backend.requests().len(), 32 * 30);
}

#[test]
fn a_restarted_backend_is_found_again() {
    let at = lb_tests::Loopback::new();
    let first = HttpBackend::answering("b", at.backend(0), tag);
    let daemon = Daemon::start(config(at, &first, "", ""));
    let mut client = HttpClient::connect(at.port(0));
    client.get("/1");
    drop(first);
    let _second = HttpBackend::answering("b", at.backend(0), tag);
    assert_eq!(client.get("/2").text(), "GET /2", "{}", daemon.log_text());
    client.send("GET /3 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(client.try_response(BodyEnd::AsFieldsSay).unwrap().unwrap().text(), "GET /3");
}
