//! Connections that do not end in order: resets and silence.

use std::io::Write as _;
use std::net::Shutdown;
use std::time::Duration;

use lb_model::Termination;
use lb_tests::{
    AccessRecord, Backend, Behaviour, Config, Daemon, Deadline, Digest, End, Exchange, Loopback, client,
};

/// One listener in front of one backend.
struct Site {
    at: Loopback,
    backend: Backend,
    daemon: Daemon,
}

impl Site {
    fn start(behaviour: Behaviour, listener: &str) -> Self {
        let at = Loopback::new();
        let backend = Backend::start("b", at.backend(0), behaviour);
        let config = Config::new().listener("web", at.port(0), listener).pool("web", [&backend], "");
        Self { at, daemon: Daemon::start(config), backend }
    }

    fn connect(&self) -> std::net::TcpStream {
        client::connect(self.at.port(0)).unwrap()
    }

    /// The record of the only connection.
    fn record(&self) -> AccessRecord {
        self.daemon.wait_for_records(1).pop().unwrap()
    }
}

#[test]
fn a_reset_by_the_client_reaches_the_backend_as_a_reset() {
    let site = Site::start(Behaviour::Tag, "");
    let stream = site.connect();
    client::read_line(&stream).unwrap();
    (&stream).write_all(b"some").unwrap();
    assert_eq!(client::read_bytes(&stream, 4).unwrap(), b"some");
    client::reset(stream);
    assert_eq!(site.backend.wait_ended(1), (Digest::of(b"some"), End::Reset));
    let record = site.record();
    assert_eq!((record.reason, record.bytes_in, record.bytes_out), (Termination::ClientReset, 4, 6));
}

#[test]
fn a_reset_by_the_backend_reaches_the_client_as_a_reset() {
    let site = Site::start(Behaviour::Reset, "");
    let stream = site.connect();
    (&stream).write_all(b"x").unwrap();
    assert_eq!(client::read_to_end(&stream), (vec![], End::Reset));
    assert_eq!(site.record().reason, Termination::BackendReset);
}

#[test]
fn a_reset_is_passed_on_after_much_data_too() {
    // More than 64 KiB, so that the relay has changed to splice.
    let size = 1 << 20;
    let site = Site::start(Behaviour::Echo, "");
    let stream = site.connect();
    std::thread::scope(|scope| {
        scope.spawn(|| (&stream).write_all(&vec![7; size]).unwrap());
        assert_eq!(client::read_bytes(&stream, size).unwrap().len(), size);
    });
    client::reset(stream);
    assert_eq!(site.backend.wait_ended(1).1, End::Reset);
    let record = site.record();
    assert_eq!((record.reason, record.bytes_in), (Termination::ClientReset, size as u64));
}

#[test]
fn a_client_that_resets_while_the_backend_is_silent_is_noticed() {
    let site = Site::start(Behaviour::Linger, "");
    let stream = site.connect();
    site.backend.wait_open(1);
    client::reset(stream);
    assert_eq!(site.backend.wait_ended(1).1, End::Reset);
    assert_eq!(site.record().reason, Termination::ClientReset);
}

#[test]
fn a_client_that_resets_after_its_half_close_is_noticed() {
    let site = Site::start(Behaviour::Linger, "");
    let stream = site.connect();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client::read_line(&stream).unwrap(), "b", "the backend has seen the end of the client's data");
    client::reset(stream);
    assert_eq!(site.backend.wait_ended(1).1, End::Reset);
    assert_eq!(site.record().reason, Termination::ClientReset);
}

#[test]
fn a_backend_that_is_killed_resets_or_closes_its_clients() {
    let mut site = Site::start(Behaviour::Tag, "");
    let stream = site.connect();
    client::read_line(&stream).unwrap();
    site.backend.stop();
    // The kernel of a killed process closes its sockets: in order, where nothing unread is left.
    assert_eq!(client::read_to_end(&stream), (vec![], End::Closed));
}

#[test]
fn a_silent_connection_is_reset_after_the_idle_timeout() {
    let site = Site::start(Behaviour::Tag, "idle_timeout = \"400ms\"");
    let stream = site.connect();
    client::read_line(&stream).unwrap();
    assert_eq!(client::read_to_end(&stream), (vec![], End::Reset));
    assert_eq!(site.backend.wait_ended(1).1, End::Reset);
    let record = site.record();
    assert_eq!(record.reason, Termination::IdleTimeout);
    assert!((400_000..4_000_000).contains(&record.duration_us), "{record:?}");
}

#[test]
fn a_half_closed_connection_idles_out_too() {
    let site = Site::start(Behaviour::Linger, "idle_timeout = \"400ms\"");
    let stream = site.connect();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client::read_line(&stream).unwrap(), "b");
    assert_eq!(client::read_to_end(&stream), (vec![], End::Reset));
    assert_eq!(site.record().reason, Termination::IdleTimeout);
}

#[test]
fn a_client_that_does_not_read_idles_out() {
    let site = Site::start(Behaviour::Exchange, "idle_timeout = \"400ms\"");
    let stream = site.connect();
    Exchange { seed: 1, up: 0, down: 1 << 30 }.order(&stream).unwrap();
    assert_eq!(site.backend.wait_ended(1).1, End::Reset);
    assert_eq!(client::read_to_end(&stream).1, End::Reset);
    assert_eq!(site.record().reason, Termination::IdleTimeout);
}

#[test]
fn a_busy_connection_outlives_the_idle_timeout() {
    let site = Site::start(Behaviour::Tag, "idle_timeout = \"400ms\"");
    let stream = site.connect();
    client::read_line(&stream).unwrap();
    let deadline = Deadline::after(Duration::from_millis(1500));
    let mut sent = 0;
    while !deadline.passed() {
        (&stream).write_all(b"x").unwrap();
        assert_eq!(client::read_bytes(&stream, 1).unwrap(), b"x");
        sent += 1;
    }
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client::read_to_end(&stream), (vec![], End::Closed));
    let record = site.record();
    assert_eq!((record.reason, record.bytes_in), (Termination::Finished, sent));
}
