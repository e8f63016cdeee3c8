//! The end: requests under way are finished, and connections are told that no more are wanted.

use std::sync::Mutex;
use std::sync::mpsc::sync_channel;

use lb_tests::{End, HttpBackend, client, eventually};
use rustix::process::Signal;

use super::{PATIENCE, Site, tag};

#[test]
fn a_request_under_way_is_finished_and_idle_connections_are_closed() {
    let (go, wait) = sync_channel::<()>(1);
    let wait = Mutex::new(wait);
    let mut site = Site::start(
        move |at| {
            HttpBackend::answering("b", at, move |request| {
                if request.target() == "/slow" {
                    // Fails when the test is over.
                    let _ = wait.lock().unwrap().recv();
                }
                tag(request)
            })
        },
        "",
        "",
    );
    let (mut idle, mut busy) = (site.connect(), site.connect());
    idle.get("/idle");
    busy.get("/busy");
    busy.send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    site.backend.wait_requests(3);
    site.daemon.signal(Signal::TERM);
    assert_eq!(idle.rest(), (vec![], End::Closed));
    eventually(PATIENCE, "new clients are refused", || client::connect(site.at.port(0)).is_err());
    assert!(site.daemon.is_running());
    go.send(()).unwrap();
    let last = busy.response();
    assert_eq!((last.text().as_str(), last.field("connection")), ("GET /slow", Some("close")));
    assert_eq!(busy.rest(), (vec![], End::Closed));
    assert!(site.daemon.wait_exit(PATIENCE).success());
}

#[test]
fn a_response_that_is_cut_off_by_the_deadline_does_not_look_whole() {
    let at = lb_tests::Loopback::new();
    let backend = HttpBackend::start("b", at.backend(0), |served| {
        served.request()?;
        served.send(b"HTTP/1.1 200 OK\r\n\r\nthe beginning")?;
        served.read_to_end()
    });
    let config = super::config(at, &backend, "", "").global("drain_timeout = \"300ms\"");
    let mut daemon = lb_tests::Daemon::start(config);
    let mut client = lb_tests::HttpClient::connect(at.port(0));
    client.send("GET / HTTP/1.0\r\n\r\n");
    std::io::Read::read_exact(&mut client.stream(), &mut [0; 20]).unwrap();
    daemon.signal(Signal::TERM);
    assert_eq!(client.rest().1, End::Reset);
    daemon.wait_exit(PATIENCE);
}
