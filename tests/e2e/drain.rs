//! Ending: what is open may finish, for a while.

use std::io::{self, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use lb_model::Termination;
use lb_tests::{Backend, Behaviour, Config, Daemon, End, Exchange, Loopback, client, eventually};
use rustix::process::Signal;

const SOON: Duration = Duration::from_secs(5);

struct Site {
    at: Loopback,
    backend: Backend,
    daemon: Daemon,
}

impl Site {
    fn start(behaviour: Behaviour, global: &str, listener: &str) -> Self {
        let at = Loopback::new();
        let backend = Backend::start("b", at.backend(0), behaviour);
        let config = Config::new().global(global).listener("web", at.port(0), listener);
        Self { at, daemon: Daemon::start(config.pool("web", [&backend], "")), backend }
    }

    fn listen(&self) -> SocketAddr {
        self.at.port(0)
    }

    fn open(&self) -> TcpStream {
        let stream = client::connect(self.listen()).unwrap();
        assert_eq!(client::read_line(&stream).unwrap(), "b");
        stream
    }

    /// Asks the daemon to end, and returns when it takes no more connections.
    fn drain(&self) {
        self.daemon.signal(Signal::TERM);
        eventually(SOON, "new connections are refused", || match client::connect(self.listen()) {
            Ok(_) => false,
            Err(error) => error.kind() == io::ErrorKind::ConnectionRefused,
        });
    }
}

#[test]
fn an_idle_daemon_ends_at_once() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut site = Site::start(Behaviour::Tag, "", "");
        site.open();
        site.daemon.signal(signal);
        assert!(site.daemon.wait_exit(SOON).success(), "{signal:?}:\n{}", site.daemon.log_text());
    }
}

#[test]
fn an_open_transfer_is_finished_and_new_clients_are_refused() {
    let mut site = Site::start(Behaviour::Exchange, "", "");
    let stream = client::connect(site.listen()).unwrap();
    let (up, down) = (60 << 20, 60 << 20);
    std::thread::scope(|scope| {
        let transfer = scope.spawn(|| Exchange { seed: 1, up, down }.run(&stream));
        site.backend.wait_open(1);
        site.drain();
        transfer.join().unwrap().unwrap();
    });
    assert!(site.daemon.wait_exit(SOON).success());
    let record = site.daemon.wait_for_record(stream.local_addr().unwrap());
    assert_eq!(record.reason, Termination::Finished);
}

#[test]
fn a_connection_that_is_open_may_go_on_while_the_daemon_drains() {
    let mut site = Site::start(Behaviour::Tag, "drain_timeout = \"60s\"", "");
    let mut stream = site.open();
    site.drain();
    stream.write_all(b"still here").unwrap();
    assert_eq!(client::read_bytes(&stream, 10).unwrap(), b"still here");
    assert!(site.daemon.is_running());
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client::read_to_end(&stream), (vec![], End::Closed));
    assert!(site.daemon.wait_exit(SOON).success());
}

#[test]
fn what_is_open_at_the_deadline_is_cut() {
    let mut site = Site::start(Behaviour::Tag, "drain_timeout = \"500ms\"", "");
    let stream = site.open();
    site.daemon.signal(Signal::TERM);
    assert_eq!(client::read_to_end(&stream), (vec![], End::Reset));
    assert!(site.daemon.wait_exit(SOON).success());
    let record = site.daemon.wait_for_record(stream.local_addr().unwrap());
    assert_eq!(record.reason, Termination::Shutdown);
    assert_eq!(site.backend.wait_ended(1).1, End::Reset);
}

#[test]
fn a_second_signal_ends_at_once() {
    let mut site = Site::start(Behaviour::Tag, "drain_timeout = \"60s\"", "");
    let stream = site.open();
    site.drain();
    assert!(site.daemon.is_running());
    site.daemon.signal(Signal::TERM);
    assert_eq!(site.daemon.wait_exit(SOON).code(), Some(1));
    assert_eq!(client::read_to_end(&stream), (vec![], End::Reset));
    assert_eq!(site.daemon.wait_for_record(stream.local_addr().unwrap()).reason, Termination::Shutdown);
}

#[test]
fn clients_in_the_accept_queue_when_the_signal_comes_are_served() {
    let mut site = Site::start(Behaviour::Tag, "", "");
    // Stopped, the daemon cannot accept: the kernel does, and the connections are in the queues of its sockets.
    site.daemon.signal(Signal::STOP);
    let streams: Vec<_> = (0..40).map(|_| client::connect(site.listen()).unwrap()).collect();
    site.daemon.signal(Signal::TERM);
    site.daemon.signal(Signal::CONT);
    for stream in &streams {
        assert_eq!(client::read_line(stream).unwrap(), "b");
    }
    drop(streams);
    assert!(site.daemon.wait_exit(SOON).success());
    assert_eq!(site.backend.accepted(), 40);
}

#[test]
fn clients_that_wait_behind_a_limit_when_the_signal_comes_are_served() {
    let mut site = Site::start(Behaviour::Tag, "", "max_connections = 1");
    let first = site.open();
    let waiting: Vec<_> = (0..8).map(|_| client::connect(site.listen()).unwrap()).collect();
    // The port closes at once, limit or not: whoever comes now can go elsewhere.
    site.drain();
    drop(first);
    std::thread::scope(|scope| {
        for stream in waiting {
            scope.spawn(move || assert_eq!(client::read_line(&stream).unwrap(), "b"));
        }
    });
    assert!(site.daemon.wait_exit(SOON).success());
    assert_eq!(site.backend.most_open(), 1);
}

#[test]
fn a_hangup_does_not_end_it() {
    let mut site = Site::start(Behaviour::Tag, "", "");
    site.daemon.signal(Signal::HUP);
    site.daemon.wait_for_log("a word about the reload", |line| line.text.contains("reloaded"));
    site.open();
    assert!(site.daemon.is_running());
}
