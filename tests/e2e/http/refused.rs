//! What is refused is refused shortly, with the right status, and no backend hears of it.

use lb_tests::{End, HttpBackend, response};

use super::Site;

#[test]
fn what_is_no_request_gets_a_status_and_no_backend_hears_of_it() {
    let site = Site::tagging(
        "max_header_bytes = \"2KiB\"\nmax_header_count = 10\nmax_uri_bytes = \"100B\"\nmax_body_bytes = \"10B\"",
    );
    let long = "x".repeat(200);
    let fields: String = (0..11).map(|n| format!("A{n}: b\r\n")).collect();
    let large = format!("B: {}", "y".repeat(3000));
    for (request, status) in [
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), 400),
        ("GET  / HTTP/1.1\r\nHost: a\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\nHost: a\n\n".into(), 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n".into(), 400),
        ("GET / HTTP/1.1\r\nHost: a\r\nA : b\r\n\r\n".into(), 400),
        ("GET / HTTP/2.0\r\nHost: a\r\n\r\n".into(), 505),
        ("CONNECT a:80 HTTP/1.1\r\nHost: a\r\n\r\n".into(), 501),
        (format!("GET /{long} HTTP/1.1\r\nHost: a\r\n\r\n"), 414),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"), 431),
        (format!("GET / HTTP/1.1\r\nHost: a\r\n{large}\r\n\r\n"), 431),
        ("GET / HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\n\r\n".into(), 417),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nabcdefghijk".into(), 413),
    ] {
        let mut client = site.connect();
        let refused = client.exchange(&request);
        assert_eq!(refused.status(), status, "{request}");
        assert_eq!(refused.field("connection"), Some("close"), "{request}");
        assert_eq!(client.rest(), (vec![], End::Closed), "{request}");
    }
    assert_eq!(site.backend.requests(), []);
}

#[test]
fn a_body_that_grows_too_long_on_the_way_is_refused() {
    let site = Site::tagging("max_body_bytes = \"10B\"");
    let mut client = site.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    client.send("5\r\nabcde\r\n");
    site.backend.wait_connections(1);
    let _ = client.try_send("6\r\nfghijk\r\n");
    assert_eq!(client.response().status(), 413);
    assert_eq!(client.rest(), (vec![], End::Closed));
    site.backend.wait_end(0);
    assert_eq!(site.backend.requests(), [], "what came of it is not whole");
}

#[test]
fn programs_get_problem_details_and_people_a_page() {
    let site = Site::start(|at| HttpBackend::start("b", at, |_| Ok(())), "", "");
    let mut client = site.connect();
    let problem = client.get("/");
    assert_eq!((problem.status(), problem.field("content-type")), (502, Some("application/problem+json")));
    let json: serde_json::Value = serde_json::from_slice(&problem.body).unwrap();
    assert_eq!((&json["status"], &json["title"]), (&502.into(), &"Bad Gateway".into()));
    assert_eq!(json["request_id"].as_str().unwrap().len(), 32);
    let page =
        client.exchange("GET / HTTP/1.1\r\nHost: a\r\nAccept: application/xml, text/html;q=0.9\r\n\r\n");
    assert_eq!((page.status(), page.field("content-type")), (502, Some("text/html; charset=utf-8")));
    assert!(page.text().contains("<h1>502 Bad Gateway</h1>"), "{}", page.text());
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.bodiless().status(), 502);
    assert_eq!(client.get("/").status(), 502, "the connection goes on");
}

#[test]
fn what_is_no_response_is_not_passed_on() {
    for bad in [
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        "HTTP/1.1 200 OK\r\nA : b\r\n\r\n",
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
        "SSH-2.0-OpenSSH_9.9\r\n\r\n",
    ] {
        let site = Site::start(
            move |at| {
                HttpBackend::start("b", at, move |served| {
                    served.request()?;
                    served.send(bad.as_bytes())
                })
            },
            "",
            "",
        );
        let mut client = site.connect();
        assert_eq!(client.get("/").status(), 502, "{bad}");
        assert_eq!(site.backend.requests().len(), 1, "{bad}");
    }
}

#[test]
fn a_backend_that_does_not_accept_is_502_and_one_too_many_503() {
    let site = Site::tagging("");
    let mut client = site.connect();
    assert_eq!(client.get("/").status(), 200);
    drop(site.backend);
    assert_eq!(client.get("/").status(), 502);

    let site = Site::start(
        |at| {
            HttpBackend::start("b", at, |served| {
                served.some().map(drop).and_then(|()| served.some().map(drop))
            })
        },
        "",
        "queue = { limit = 0 }",
    );
    let config = super::config(site.at, &site.backend, "", "queue = { limit = 0 }").to_string();
    site.daemon.reload(config.replace("name = \"b\"", "name = \"b\", max_connections = 1"));
    let mut first = site.connect();
    first.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    site.backend.wait_connections(1);
    assert_eq!(site.connect().get("/").status(), 503);
}

#[test]
fn an_early_response_is_heard_although_the_request_goes_on() {
    let site = Site::start(
        |at| {
            HttpBackend::start("b", at, |served| {
                served.head()?;
                served.send(&response(401, b"who are you?"))?;
                // As servers do that want the client to hear it.
                served.read_to_end()
            })
        },
        "",
        "",
    );
    let mut client = site.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000000\r\n\r\n");
    client.send([b'x'; 10_000]);
    let early = client.response();
    assert_eq!((early.status(), early.field("connection")), (401, Some("close")));
    assert_eq!(early.text(), "who are you?");
    assert_eq!(client.rest(), (vec![], End::Closed));
}
