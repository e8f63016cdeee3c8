//! What a backend is told of the client, and what is for one hop only.

use std::net::SocketAddr;

use lb_tests::{End, ProxyHeader};

use super::Site;

#[test]
fn a_backend_learns_who_the_client_is_and_nothing_that_the_client_made_up() {
    let site = Site::tagging("");
    let mut client = site.connect();
    client.exchange(
        "GET / HTTP/1.1\r\nHost: h.example:99\r\nX-Forwarded-For: 1.2.3.4\r\nX-Forwarded-Proto: https\r\n\
         X-Forwarded-Host: evil\r\nX-Forwarded-For: 5.6.7.8\r\n\r\n",
    );
    let request = &site.backend.requests()[0];
    assert_eq!(request.field("x-forwarded-for"), Some("127.0.0.1"));
    assert_eq!(request.field("x-forwarded-proto"), Some("http"));
    assert_eq!(request.field("x-forwarded-host"), Some("h.example:99"));
    assert_eq!(request.field("host"), Some("h.example:99"));
}

#[test]
fn what_a_trusted_proxy_says_is_passed_on() {
    let site = Site::tagging("trusted_proxies = [\"127.0.0.0/8\"]\nrequest_id_header = \"X-Request-ID\"");
    let mut client = site.connect();
    client.exchange(
        "GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.2.3.4, 10.0.0.1\r\nX-Forwarded-Proto: https\r\n\
         X-Forwarded-Host: outside\r\nX-Request-ID: theirs\r\n\r\n",
    );
    client.get("/");
    let requests = site.backend.requests();
    assert_eq!(requests[0].field("x-forwarded-for"), Some("1.2.3.4, 10.0.0.1, 127.0.0.1"));
    assert_eq!(requests[0].field("x-forwarded-proto"), Some("https"));
    assert_eq!(requests[0].field("x-forwarded-host"), Some("outside"));
    assert_eq!(requests[0].field("x-request-id"), Some("theirs"));
    assert_eq!(requests[1].field("x-request-id").map(str::len), Some(32));
}

#[test]
fn fields_of_one_hop_stay_there_and_all_others_pass_in_order() {
    let site = Site::start(
        |at| {
            lb_tests::HttpBackend::answering("b", at, |_| {
                b"HTTP/1.1 200 Fine\r\nKeep-Alive: timeout=5\r\nSet-Cookie: a=1\r\nConnection: keep-alive, X-Hop\r\n\
                  X-Hop: 1\r\nset-cookie: b=2\r\nContent-Length: 0\r\n\r\n"
                    .to_vec()
            })
        },
        "",
        "",
    );
    let mut client = site.connect();
    let got = client.exchange(
        "GET / HTTP/1.1\r\nhOsT: a\r\nConnection: X-Secret, keep-alive, Host\r\nX-Secret: 1\r\nTE: trailers\r\n\
         Keep-Alive: 5\r\nProxy-Connection: x\r\nB: 2\r\nA: 1\r\nb: 3\r\n\r\n",
    );
    let head = &site.backend.requests()[0].head;
    assert!(
        head.starts_with("GET / HTTP/1.1\r\nhOsT: a\r\nB: 2\r\nA: 1\r\nb: 3\r\nX-Forwarded-For: "),
        "{head}"
    );
    assert_eq!(got.start_line(), "HTTP/1.1 200 Fine");
    assert_eq!(got.fields("set-cookie"), ["a=1", "b=2"]);
    assert_eq!((got.field("keep-alive"), got.field("x-hop"), got.field("connection")), (None, None, None));
}

#[test]
fn a_target_that_is_a_whole_uri_says_which_host_is_meant() {
    let site = Site::tagging("");
    let got = site.connect().exchange("GET http://real.example/path?q HTTP/1.1\r\nHost: other\r\n\r\n");
    assert_eq!(got.text(), "GET /path?q");
    assert_eq!(site.backend.requests()[0].field("host"), Some("real.example"));
}

#[test]
fn a_proxy_header_says_who_the_client_is_and_whether_it_is_let_in() {
    let site = Site::tagging("accept_proxy = [\"127.0.0.0/8\"]\ndeny = [\"192.0.2.66\"]");
    let header = |client: &str| {
        let source: SocketAddr = client.parse().unwrap();
        ProxyHeader::tcp(source, "198.51.100.1:80".parse().unwrap()).bytes()
    };
    let request = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    let all = [&header("192.0.2.1:5000"), &request[..]].concat();
    for size in [all.len(), 16, 1] {
        let mut client = site.connect();
        all.chunks(size).for_each(|part| client.send(part));
        assert_eq!(client.response().text(), "GET /");
        assert_eq!(client.get("/next").text(), "GET /next");
    }
    for request in site.backend.requests() {
        assert_eq!(request.field("x-forwarded-for"), Some("192.0.2.1"));
    }
    for refused in [&header("192.0.2.66:5000"), &request[..]] {
        let mut client = site.connect();
        client.send(refused);
        assert_eq!(client.rest(), (vec![], End::Reset));
    }
}
