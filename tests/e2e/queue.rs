//! The queue of a pool whose backends are all at their `max_connections`.

use std::collections::{BTreeMap, VecDeque};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use lb_model::Termination;
use lb_tests::{AccessRecord, Backend, Behaviour, Config, Daemon, Loopback, client, eventually, process};
use rustix::process::Signal;

/// A pool with one backend that takes two connections, both of which are taken.
struct Full {
    at: Loopback,
    backend: Backend,
    daemon: Daemon,
    served: Vec<TcpStream>,
}

impl Full {
    fn start(queue: &str) -> Self {
        let at = Loopback::new();
        let backend = Backend::start("b", at.backend(0), Behaviour::Tag);
        let entry = backend.entry("max_connections = 2");
        let daemon = Daemon::start(Config::new().listener("web", at.port(0), "").pool_of(
            "web",
            &[entry],
            &format!("queue = {queue}"),
        ));
        let served: Vec<_> = (0..2).map(|_| client::connect(at.port(0)).unwrap()).collect();
        for stream in &served {
            assert_eq!(client::read_line(stream).unwrap(), "b");
        }
        Self { at, backend, daemon, served }
    }

    #[track_caller]
    fn enqueue(&self) -> TcpStream {
        enqueue(&self.daemon, self.at.port(0))
    }

    /// Connects, and is refused.
    #[track_caller]
    fn refused(&self) -> AccessRecord {
        let ended = client::connect_and_read_to_end(self.at.ip(), self.at.port(0)).unwrap();
        let record = self.daemon.record_of_refused(&ended);
        assert_eq!((record.tries, record.backend.as_deref()), (0, None));
        record
    }
}

/// Connects and returns once the daemon has put the connection into the queue: it has accepted it, and then has nothing
/// more to do.
#[track_caller]
fn enqueue(daemon: &Daemon, listen: SocketAddr) -> TcpStream {
    let pid = daemon.pid();
    // Whatever went before, such as closing the socket of a client that left, is over.
    eventually(Duration::from_secs(10), "the daemon has nothing to do", || process::is_idle(pid));
    let before = process::open_fds(pid);
    let stream = client::connect(listen).unwrap();
    eventually(Duration::from_secs(10), "the daemon puts a client into the queue", || {
        process::open_fds(pid) == before + 1 && process::is_idle(pid)
    });
    stream
}

#[test]
fn who_waits_is_served_in_the_order_of_arrival() {
    let mut full = Full::start("{ limit = 100, timeout = \"60s\" }");
    let waiting: Vec<_> = (0..12).map(|_| full.enqueue()).collect();
    assert_eq!(full.backend.accepted(), 2);
    for (position, next) in waiting.into_iter().enumerate() {
        drop(full.served.remove(0));
        // Were another served instead, this one would wait for ever.
        assert_eq!(client::read_line(&next).unwrap(), "b", "number {position}");
        assert_eq!(full.backend.accepted(), 3 + position, "one place, one client");
        full.served.push(next);
    }
    assert_eq!(full.backend.most_open(), 2);
}

#[test]
fn a_full_queue_refuses_at_once() {
    let mut full = Full::start("{ limit = 1, timeout = \"60s\" }");
    let waiting = full.enqueue();
    assert_eq!(full.refused().reason, Termination::QueueFull);
    full.served.pop();
    assert_eq!(client::read_line(&waiting).unwrap(), "b", "the one that waits is not affected");
}

#[test]
fn a_queue_of_none_refuses_at_once() {
    let full = Full::start("{ limit = 0, timeout = \"60s\" }");
    assert_eq!(full.refused().reason, Termination::QueueFull);
}

#[test]
fn waiting_has_an_end() {
    let full = Full::start("{ limit = 10, timeout = \"400ms\" }");
    let record = full.refused();
    assert_eq!(record.reason, Termination::QueueTimeout);
    assert!((400_000..4_000_000).contains(&record.duration_us), "{record:?}");
}

#[test]
fn a_client_that_leaves_the_queue_frees_its_place() {
    let mut full = Full::start("{ limit = 1, timeout = \"60s\" }");
    let leaving = full.enqueue();
    let local = leaving.local_addr().unwrap();
    client::reset(leaving);
    assert_eq!(full.daemon.wait_for_record(local).reason, Termination::ClientGone);

    let next = full.enqueue();
    full.served.pop();
    assert_eq!(client::read_line(&next).unwrap(), "b");
    assert_eq!(full.backend.accepted(), 3, "the one that left took nobody's turn");
}

#[test]
fn the_limit_of_a_backend_holds_over_all_workers() {
    let at = Loopback::new();
    let backends = [0, 1].map(|i| Backend::start(&format!("b{i}"), at.backend(i), Behaviour::Tag));
    let entries = [0, 1].map(|i: usize| backends[i].entry("max_connections = 3"));
    let _daemon = Daemon::start(Config::new().listener("web", at.port(0), "").pool_of(
        "web",
        &entries,
        "balance = \"round_robin\"\nqueue = { limit = 1000, timeout = \"60s\" }",
    ));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..25 {
                    client::read_line(&client::connect(at.port(0)).unwrap()).unwrap();
                }
            });
        }
    });
    let accepted: usize = backends.iter().map(Backend::accepted).sum();
    assert_eq!(accepted, 200, "everybody was served");
    for backend in &backends {
        assert!(backend.most_open() <= 3, "{} had {} at once", backend.name(), backend.most_open());
    }
}

#[test]
fn a_newcomer_does_not_overtake_who_waits() {
    let mut full = Full::start("{ limit = 100, timeout = \"60s\" }");
    let mut waiting = VecDeque::from([full.enqueue()]);
    let pid = full.daemon.pid();
    let settled = process::open_fds(pid);
    for round in 0..20 {
        // While the daemon is stopped a place becomes free and somebody comes: it sees both at once, on any two workers.
        full.daemon.signal(Signal::STOP);
        drop(full.served.remove(0));
        waiting.push_back(client::connect(full.at.port(0)).unwrap());
        full.daemon.signal(Signal::CONT);
        let next = waiting.pop_front().unwrap();
        assert_eq!(client::read_line(&next).unwrap(), "b", "round {round}");
        assert_eq!(full.backend.accepted(), 3 + round, "round {round}: one place, one client");
        full.served.push(next);
        // The newcomer has its place in the queue before there is another.
        eventually(Duration::from_secs(10), "two are served and one waits", || {
            process::open_fds(pid) == settled && process::is_idle(pid)
        });
    }
}

#[test]
fn nobody_waits_while_another_backend_has_room() {
    let at = Loopback::new();
    let backends = [0, 1].map(|i| Backend::start(&format!("b{i}"), at.backend(i), Behaviour::Tag));
    let [small, large] = &backends;
    for balance in ["round_robin", "least_connections", "hash"] {
        let before = large.accepted();
        let _daemon = Daemon::start(Config::new().listener("web", at.port(0), "").pool_of(
            "web",
            &[small.entry("max_connections = 1"), large.entry("")],
            &format!("balance = \"{balance}\"\nqueue = {{ limit = 0, timeout = \"1s\" }}"),
        ));
        let clients: Vec<_> = (0..20).map(|_| client::connect(at.port(0)).unwrap()).collect();
        let names: Vec<_> = clients.iter().map(|stream| client::read_line(stream).unwrap()).collect();
        assert_eq!(names.iter().filter(|name| *name == "b0").count(), 1, "{balance}: {names:?}");
        assert_eq!(large.accepted() - before, 19, "{balance}");
        drop(clients);
        small.wait_open(0);
        large.wait_open(0);
    }
}

#[test]
fn who_waits_when_the_daemon_drains_is_still_served() {
    let mut full = Full::start("{ limit = 100, timeout = \"60s\" }");
    let waiting = full.enqueue();
    full.daemon.signal(Signal::TERM);
    full.served.clear();
    assert_eq!(client::read_line(&waiting).unwrap(), "b");
    drop(waiting);
    assert!(full.daemon.wait_exit(Duration::from_secs(5)).success());
}

#[test]
fn who_waits_is_served_when_the_back_off_ends() {
    let at = Loopback::new();
    let steady = Backend::start("steady", at.backend(0), Behaviour::Tag);
    let mut flaky = Backend::start("flaky", at.backend(1), Behaviour::Tag);
    let daemon = Daemon::start(Config::new().listener("web", at.port(0), "").pool_of(
        "web",
        &[&steady, &flaky].map(|backend| backend.entry("max_connections = 1")),
        "balance = \"round_robin\"\nqueue = { limit = 100, timeout = \"60s\" }\n\
         passive_health = { failures = 1, backoff = \"500ms\", max_backoff = \"500ms\" }",
    ));
    let mut served: BTreeMap<_, _> = (0..2)
        .map(|_| client::connect(at.port(0)).unwrap())
        .map(|stream| (client::read_line(&stream).unwrap(), stream))
        .collect();
    let (first, second) = (enqueue(&daemon, at.port(0)), enqueue(&daemon, at.port(0)));
    flaky.stop();
    drop(served.remove("flaky"));
    // The first in line gets the place and finds nobody there.
    daemon.wait_for_log("the back-off", |line| {
        line.field("backend") == Some("flaky") && line.text.contains("backing off")
    });
    flaky.restart();
    assert_eq!(client::read_line(&second).unwrap(), "flaky", "the place is worth something again");
    drop(served.remove("steady"));
    assert_eq!(client::read_line(&first).unwrap(), "steady", "it waits for a backend that it has not tried");
}
