//! Whoever goes away in the middle: the other side is not kept busy for nobody.

use std::io::Read as _;

use lb_tests::{End, HttpBackend, eventually, observe, response};

use super::{PATIENCE, Site};

#[test]
fn a_client_that_goes_away_while_it_waits_stops_the_backend() {
    let site = Site::start(|at| HttpBackend::silent("b", at), "", "");
    // On a connection that the daemon has had for long, and on one that it has just accepted.
    for (number, reset) in [(0, true), (1, false)] {
        let mut client = site.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        site.backend.wait_requests(number + 1);
        if reset {
            client.reset()
        } else {
            drop(client)
        }
        site.backend.wait_end(number);
    }
    let gone = "sluice_listener_requests_ended_total{listener=\"web\",reason=\"client_gone\"}";
    eventually(PATIENCE, "both are counted", || site.daemon.metric(gone) == 2.0);
}

#[test]
fn a_client_that_goes_away_in_the_midst_of_its_body_stops_the_backend() {
    let site = Site::start(|at| HttpBackend::silent("b", at), "", "");
    let mut client = site.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nhalf of it");
    site.backend.wait_raw(0, 100);
    drop(client);
    site.backend.wait_end(0);
    assert_eq!(site.backend.requests(), []);
}

#[test]
fn a_client_that_goes_away_in_the_midst_of_its_response_stops_the_backend() {
    let site = Site::start(
        |at| {
            HttpBackend::start("b", at, |served| {
                served.request()?;
                served.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")?;
                loop {
                    served.send(b"3e8\r\n")?;
                    served.send(&[b'x'; 1000])?;
                    served.send(b"\r\n")?;
                }
            })
        },
        "",
        "",
    );
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    client.stream().read_exact(&mut [0; 10_000]).unwrap();
    drop(client);
    assert_ne!(site.backend.wait_end(0), End::Closed);
}

#[test]
fn a_backend_that_resets_is_502_or_a_reset() {
    let resets = |at| {
        HttpBackend::start("b", at, |served| {
            let Some(request) = served.request()? else { return Ok(()) };
            if request.target() == "/half" {
                served.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")?;
                served.some()?;
            }
            served.reset();
            Ok(())
        })
    };
    let site = Site::start(resets, "", "");
    assert_eq!(site.connect().get("/").status(), 502);
    let mut client = site.connect();
    client.send("GET /half HTTP/1.1\r\nHost: a\r\n\r\n");
    client.stream().read_exact(&mut [0; 40]).unwrap();
    site.backend.close_connections();
    assert_eq!(client.rest().1, End::Reset);
}

#[test]
fn a_slow_client_holds_the_backend_back() {
    let sent = 64 << 20;
    let site = Site::start(
        move |at| HttpBackend::answering("b", at, move |_| response(200, &vec![b'x'; sent])),
        "",
        "",
    );
    let before = lb_tests::process::resident_bytes(site.daemon.pid());
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    site.backend.wait_requests(1);
    let backend_out = "sluice_backend_active_connections{pool=\"web\",backend=\"b\"}";
    observe(std::time::Duration::from_millis(500));
    assert_eq!(site.daemon.metric(backend_out), 1.0, "the backend is not done");
    let grown = lb_tests::process::resident_bytes(site.daemon.pid()).saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes are kept for a client that does not read");
    assert_eq!(client.response().body.len(), sent);
}

#[test]
fn a_slow_backend_holds_the_client_back() {
    let (go, wait) = std::sync::mpsc::sync_channel::<()>(1);
    let wait = std::sync::Mutex::new(wait);
    let site = Site::start(
        move |at| {
            HttpBackend::start("b", at, move |served| {
                let Some(mut request) = served.head()? else { return Ok(()) };
                // Fails when the test is over.
                let _ = wait.lock().unwrap().recv();
                served.body(&mut request)?;
                served.send(&response(200, request.body.len().to_string().as_bytes()))
            })
        },
        "",
        "",
    );
    let before = lb_tests::process::resident_bytes(site.daemon.pid());
    let mut client = site.connect();
    let length = 64 << 20;
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
    site.backend.wait_connections(1);
    let stream = client.stream().try_clone().unwrap();
    let upload = std::thread::spawn(move || std::io::Write::write_all(&mut &stream, &vec![b'x'; length]));
    observe(std::time::Duration::from_millis(500));
    assert!(!upload.is_finished(), "it all went somewhere");
    let grown = lb_tests::process::resident_bytes(site.daemon.pid()).saturating_sub(before);
    assert!(grown < 16 << 20, "{grown} bytes are kept for a backend that does not read");
    go.send(()).unwrap();
    upload.join().unwrap().unwrap();
    assert_eq!(client.response().text(), length.to_string());
}
