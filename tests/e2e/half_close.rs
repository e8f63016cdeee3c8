//! One direction ends, the other goes on.

use std::io::Write as _;
use std::net::Shutdown;

use lb_model::Termination;
use lb_tests::{Backend, Behaviour, Config, Content, Daemon, Digest, End, Exchange, Loopback, client};

#[test]
fn a_client_that_has_closed_for_writing_still_gets_the_reply() {
    let at = Loopback::new();
    let backend = Backend::start("b", at.backend(0), Behaviour::Exchange);
    let daemon = Daemon::start(Config::new().listener("web", at.port(0), "").pool("web", [&backend], ""));
    let stream = client::connect(at.port(0)).unwrap();
    // More comes down than fits in any buffer on the way, and nothing goes up: the client's FIN is there long before.
    let down = 20 << 20;
    Exchange { seed: 1, up: 0, down }.run(&stream).unwrap();
    let record = daemon.wait_for_record(stream.local_addr().unwrap());
    assert_eq!(record.reason, Termination::Finished);
    assert!(record.bytes_out > down);
}

#[test]
fn a_backend_that_has_closed_for_writing_still_gets_the_rest() {
    let at = Loopback::new();
    let backend = Backend::start("b", at.backend(0), Behaviour::CloseFirst);
    let daemon = Daemon::start(Config::new().listener("web", at.port(0), "").pool("web", [&backend], ""));
    let stream = client::connect(at.port(0)).unwrap();
    // The client has seen the backend's FIN before it sends anything.
    assert_eq!(client::read_to_end(&stream), (b"b\n".to_vec(), End::Closed));
    let content = Content::new(3).take(20 << 20);
    (&stream).write_all(&content).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();

    assert_eq!(backend.wait_ended(1), (Digest::of(&content), End::Closed));
    let record = daemon.wait_for_record(stream.local_addr().unwrap());
    assert_eq!((record.bytes_in, record.bytes_out), (content.len() as u64, 2));
    assert_eq!(record.reason, Termination::Finished);
}
