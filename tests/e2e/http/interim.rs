//! What comes before a response: 100 Continue and 103 Early Hints.

use lb_tests::{End, HttpBackend, response};

use super::Site;

#[test]
fn the_client_waits_for_the_backends_word_before_it_sends_its_body() {
    let site = Site::start(
        |at| {
            HttpBackend::start("b", at, |served| {
                let Some(mut request) = served.head()? else { return Ok(()) };
                assert_eq!(request.field("expect"), Some("100-continue"));
                served.send(b"HTTP/1.1 100 Continue\r\n\r\n")?;
                served.body(&mut request)?;
                served.send(&response(200, &request.body))
            })
        },
        "",
        "",
    );
    let mut client = site.connect();
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n");
    assert_eq!(client.bodiless().start_line(), "HTTP/1.1 100 Continue");
    assert_eq!(client.exchange("body").text(), "body");
}

#[test]
fn a_backend_may_refuse_before_the_body_is_sent() {
    let site = Site::start(
        |at| {
            HttpBackend::start("b", at, |served| {
                served.head()?;
                served.send(&response(413, b""))
            })
        },
        "",
        "",
    );
    let mut client = site.connect();
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 4000\r\nExpect: 100-continue\r\n\r\n");
    let refused = client.response();
    assert_eq!((refused.status(), refused.field("connection")), (413, Some("close")));
    assert_eq!(client.rest(), (vec![], End::Closed));
}

#[test]
fn hints_go_to_clients_that_know_them() {
    let site = Site::start(
        |at| {
            HttpBackend::answering("b", at, |_| {
                let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </b>\r\n\r\n";
                [hints.as_bytes(), &response(200, b"done")].concat()
            })
        },
        "",
        "",
    );
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.bodiless().field("link"), Some("</a>"));
    assert_eq!(client.bodiless().field("link"), Some("</b>"));
    assert_eq!(client.response().text(), "done");
    assert_eq!(site.connect().exchange("GET / HTTP/1.0\r\n\r\n").text(), "done");
}
