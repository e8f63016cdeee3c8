//! Nobody is waited for without end.

use lb_tests::{End, HttpBackend, response};

use super::Site;

#[test]
fn a_head_that_does_not_end_is_408() {
    let site = Site::tagging("header_timeout = \"300ms\"");
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost:");
    assert_eq!(client.response().status(), 408);
    assert_eq!(client.rest(), (vec![], End::Closed));
    // On a connection that has served before, too.
    let mut client = site.connect();
    client.get("/");
    client.send("GET / HT");
    assert_eq!(client.response().status(), 408);
}

#[test]
fn a_body_that_does_not_come_is_408_and_one_that_trickles_too() {
    let site = Site::tagging("body_timeout = \"300ms\"");
    let mut client = site.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nabc");
    assert_eq!(client.response().status(), 408);
    site.backend.wait_end(0);

    let site = Site::tagging("min_body_rate = \"1KiB/s\"\nmin_rate_grace = \"1s\"");
    let mut client = site.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
    let mut stream = client.stream().try_clone().unwrap();
    let trickle = std::thread::spawn(move || {
        while std::io::Write::write_all(&mut stream, b"x").is_ok() {
            lb_tests::observe(std::time::Duration::from_millis(100));
        }
    });
    assert_eq!(client.response().status(), 408);
    drop(client.rest());
    trickle.join().unwrap();
}

#[test]
fn a_backend_that_does_not_answer_is_504() {
    for pool in ["first_byte_timeout = \"300ms\"", "total_timeout = \"300ms\""] {
        let site = Site::start(|at| HttpBackend::silent("b", at), "", pool);
        let mut client = site.connect();
        assert_eq!(client.get("/").status(), 504, "{pool}");
        site.backend.wait_end(0);
        assert_eq!(client.get("/").status(), 504, "the client's connection goes on");
    }
}

#[test]
fn a_backend_that_falls_silent_in_its_response_is_given_up() {
    let site = Site::start(
        |at| {
            HttpBackend::start("b", at, |served| {
                served.request()?;
                served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")?;
                served.read_to_end()
            })
        },
        "",
        "idle_timeout = \"300ms\"",
    );
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.rest().1, End::Reset);
    site.backend.wait_end(0);
}

#[test]
fn a_client_that_takes_nothing_is_given_up() {
    let site = Site::start(
        |at| HttpBackend::answering("b", at, |_| response(200, &vec![b'x'; 64 << 20])),
        "idle_timeout = \"500ms\"",
        "",
    );
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_ne!(site.backend.wait_end(0), End::Closed);
    assert_eq!(client.rest().1, End::Reset);
}
