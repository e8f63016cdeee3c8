//! Clients and backends that do what the others do not expect: nobody else notices.

use std::io::Read as _;

use lb_tests::{End, HttpBackend, chunked, eventually, response};

use super::{PATIENCE, Site};

#[test]
fn a_last_response_is_whole_although_the_client_has_sent_more() {
    const LENGTH: usize = 8 << 20;
    let site = Site::start(
        |at| HttpBackend::answering("b", at, |_| response(200, &vec![b'x'; LENGTH])),
        "max_requests_per_connection = 1",
        "",
    );
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    site.backend.wait_requests(1);
    client.send("GET /more HTTP/1.1\r\n");
    let (came, end) = client.rest();
    assert_eq!(end, End::Closed);
    assert!(came.len() > LENGTH, "{} bytes", came.len());
    assert_eq!(site.backend.requests().len(), 1);
}

#[test]
fn a_client_that_goes_away_behind_bytes_in_advance_is_noticed() {
    let site = Site::start(|at| HttpBackend::silent("b", at), "", "");
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    site.backend.wait_requests(1);
    client.send("GET /next HTTP/1.1\r\nHo");
    client.reset();
    site.backend.wait_end(0);
    let active = "sluice_backend_active_connections{pool=\"web\",backend=\"b\"}";
    eventually(PATIENCE, "its place is free", || site.daemon.metric(active) == 0.0);
}

#[test]
fn the_end_of_a_body_that_is_too_large_does_not_reach_a_backend() {
    let site = Site::tagging("max_body_bytes = \"10B\"");
    let mut client = site.connect();
    let body = chunked(b"eleven bytes", 12);
    client.send([b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", &body[..]].concat());
    assert_eq!(client.response().status(), 413);
    assert_eq!(site.connect().get("/").status(), 200);
    assert_eq!(site.backend.requests().iter().map(|request| request.target()).collect::<Vec<_>>(), ["/"]);
}

#[test]
fn a_connection_whose_response_overtook_its_request_serves_nobody_else() {
    let early = |at| {
        HttpBackend::start("b", at, |served| {
            while let Some(request) = served.head()? {
                served.send(&response(200, request.target().as_bytes()))?;
                if request.method() == "POST" {
                    // It never reads what it was sent.
                    served.read_to_end()?;
                }
            }
            Ok(())
        })
    };
    let site = Site::start(early, "", "");
    let mut client = site.connect();
    client.send("POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nab");
    assert_eq!(client.response().text(), "/early");
    // Too late for the backend; the client's connection ends.
    let _ = client.try_send("cd");
    assert_eq!(client.rest().1, End::Closed);
    assert_eq!(site.connect().get("/other").text(), "/other");
    assert_eq!(site.backend.connections(), 2);
}

#[test]
fn a_backend_does_not_take_out_what_a_route_sets() {
    let listener = "[[listeners.web.routes]]\npath_prefix = \"/\"\npool = \"web\"\n\
                    response_headers = { set = { X-Frame-Options = \"DENY\" } }";
    let answer =
        "HTTP/1.1 200 OK\r\nConnection: X-Frame-Options, X-Own\r\nX-Own: 1\r\nContent-Length: 0\r\n\r\n";
    let site = Site::start(|at| HttpBackend::answering("b", at, move |_| answer.into()), listener, "");
    let answered = site.connect().get("/");
    assert_eq!(answered.field("X-Frame-Options"), Some("DENY"));
    assert_eq!(answered.field("X-Own"), None);
}

#[test]
fn interim_responses_come_to_an_end() {
    let site = Site::start(
        |at| {
            HttpBackend::start("b", at, |served| {
                served.request()?;
                loop {
                    served.send(b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")?;
                }
            })
        },
        "",
        "",
    );
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    let answer = std::iter::repeat_with(|| client.bodiless()).find(|answer| answer.status() != 103).unwrap();
    assert_eq!(answer.status(), 502);
    assert_ne!(site.backend.wait_end(0), End::Closed);
}

#[test]
fn a_body_in_tiny_chunks_arrives_whole() {
    let site =
        Site::start(|at| HttpBackend::answering("b", at, |request| response(200, &request.body)), "", "");
    let body: Vec<u8> = (0..200_000_u32).map(|n| b'a' + u8::try_from(n % 23).unwrap()).collect();
    for size in [1, 3, 400, 5000] {
        let mut client = site.connect();
        let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
        client.send([head, &chunked(&body, size)[..]].concat());
        assert!(client.response().body == body, "in chunks of {size}");
    }
}

#[test]
fn a_daemon_whose_access_log_nobody_reads_ends_all_the_same() {
    let site = Site::tagging("access_log = { format = \"json\", path = \"stdout\" }");
    let mut client = site.connect();
    // Far more than a pipe and the log's own room hold, if nobody reads.
    let target = format!("/{}", "x".repeat(7000));
    for _ in 0..2000 {
        client.get(&target);
    }
    let mut daemon = site.daemon;
    daemon.signal(rustix::process::Signal::TERM);
    assert!(daemon.wait_exit(PATIENCE).success());
    let mut rest = Vec::new();
    let _ = client.stream().read_to_end(&mut rest);
}

#[test]
fn a_body_that_was_not_wanted_is_nobodys_next_request() {
    // Answers what expects a 100 without it, and reads on as if there were no body.
    let refuses = |at| {
        HttpBackend::start("b", at, |served| {
            while let Some(request) = served.head()? {
                served.send(&response(200, request.target().as_bytes()))?;
            }
            Ok(())
        })
    };
    let site = Site::start(refuses, "", "");
    let smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut client = site.connect();
    client.send(format!(
        "POST /asks HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n{smuggled}",
        smuggled.len()
    ));
    assert_eq!(client.response().text(), "/asks");
    for _ in 0..3 {
        assert_eq!(site.connect().get("/other").text(), "/other");
    }
}

#[test]
fn what_only_proxies_say_is_not_a_clients_to_say() {
    let site = Site::tagging("");
    let mut client = site.connect();
    client.exchange(
        "GET / HTTP/1.1\r\nHost: a\r\nForwarded: for=1.2.3.4\r\nX-Real-IP: 1.2.3.4\r\nX-Forwarded-Port: 1\r\n\r\n",
    );
    let [request] = &site.backend.requests()[..] else { panic!("one request") };
    for field in ["Forwarded", "X-Real-IP", "X-Forwarded-Port"] {
        assert_eq!(request.field(field), None);
    }
}

#[test]
fn a_request_of_http_1_0_without_a_host_gets_one() {
    let site = Site::tagging("");
    assert_eq!(site.connect().exchange("GET /old HTTP/1.0\r\n\r\n").text(), "GET /old");
    let [request] = &site.backend.requests()[..] else { panic!("one request") };
    assert_eq!(request.field("Host"), Some(site.at.port(0).to_string().as_str()));
}

#[test]
fn a_flood_of_requests_on_one_connection_lets_others_in() {
    let site = Site::tagging("");
    let last = "GET /flood HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let requests = "GET /flood HTTP/1.1\r\nHost: a\r\n\r\n".repeat(19_999) + last;
    let flooding = site.connect();
    let stream = flooding.stream().try_clone().unwrap();
    let sender = std::thread::spawn(move || std::io::Write::write_all(&mut &stream, requests.as_bytes()));
    for _ in 0..50 {
        assert_eq!(site.connect().get("/other").text(), "GET /other");
    }
    let (answers, _) = flooding.rest();
    sender.join().unwrap().unwrap();
    let answered = answers.windows(10).filter(|window| window == b"GET /flood").count();
    assert_eq!(answered, 20_000);
}
