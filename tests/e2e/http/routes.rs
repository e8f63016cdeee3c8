//! Which pool serves a request, and which fields change on the way.

use lb_tests::{Config, Daemon, HttpBackend, HttpClient, HttpMessage, Loopback, response};

#[test]
fn host_and_path_choose_the_pool_and_edit_the_fields() {
    let at = Loopback::new();
    let name = |name: &'static str| {
        move |request: &HttpMessage| {
            let tag = format!("{name} {}", request.field("x-env").unwrap_or("-"));
            let mut got = response(200, tag.as_bytes());
            let place = got.windows(2).position(|pair| pair == b"\r\n").unwrap() + 2;
            got.splice(place..place, *b"Server: secret\r\n");
            got
        }
    };
    let api = HttpBackend::answering("api", at.backend(0), name("api"));
    let rest = HttpBackend::answering("rest", at.backend(1), name("rest"));
    let config = Config::new()
        .http_listener("web", at.port(0), "")
        .table("[[listeners.web.routes]]\nhosts = [\"api.example\"]\npath_prefix = \"/v1\"\npool = \"api\"\nrequest_headers = { set = { X-Env = \"prod\", X-Forwarded-Proto = \"https\" }, remove = [\"Cookie\"] }\nresponse_headers = { remove = [\"Server\"], add = { X-Via = \"sluice\" } }")
        .pool_of("web", &[rest.entry("")], "")
        .pool_of("api", &[api.entry("")], "");
    let _daemon = Daemon::start(config);
    let mut client = HttpClient::connect(at.port(0));
    let mut ask = |host: &str, path: &str| {
        client.exchange(format!("GET {path} HTTP/1.1\r\nHost: {host}\r\nX-Env: dev\r\nCookie: a\r\n\r\n"))
    };
    let got = ask("API.example:8080", "/v1/users");
    assert_eq!(
        (got.text().as_str(), got.field("server"), got.field("x-via")),
        ("api prod", None, Some("sluice"))
    );
    assert_eq!(api.requests()[0].field("cookie"), None);
    assert_eq!(
        api.requests()[0].field("x-forwarded-proto"),
        Some("https"),
        "what Sluice sets can be changed"
    );
    for (host, path) in [("api.example", "/v10"), ("other.example", "/v1")] {
        let got = ask(host, path);
        assert_eq!((got.text().as_str(), got.field("server")), ("rest dev", Some("secret")), "{host}{path}");
    }
}

#[test]
fn a_request_that_no_route_is_for_is_404() {
    let at = Loopback::new();
    let backend = HttpBackend::answering("b", at.backend(0), |_| response(200, b"x"));
    let config = Config::new()
        .table(&format!("[listeners.web]\nbind = [\"{}\"]\nprotocol = \"http\"\n[[listeners.web.routes]]\npath_prefix = \"/only\"\npool = \"web\"", at.port(0)))
        .pool_of("web", &[backend.entry("")], "");
    let _daemon = Daemon::start(config);
    let mut client = HttpClient::connect(at.port(0));
    assert_eq!(client.get("/else").status(), 404);
    assert_eq!(client.get("/only/this").status(), 200);
    assert_eq!(backend.requests().len(), 1);
}
