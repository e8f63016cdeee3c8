//! Who gets which connection.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};

use lb_tests::{Backend, Behaviour, Config, Content, Daemon, Loopback, client, process};

/// Each worker goes round by itself, so over all of them a backend's share may be off by one a worker.
const WORKERS: usize = 4;

fn backends(at: Loopback, names: &[&str]) -> Vec<Backend> {
    (0..).zip(names).map(|(i, name)| Backend::start(name, at.backend(i), Behaviour::Tag)).collect()
}

/// Connects and says which backend it is; the connection stays open.
#[track_caller]
fn open(listen: SocketAddr) -> (String, TcpStream) {
    let stream = client::connect(listen).unwrap();
    (client::read_line(&stream).unwrap(), stream)
}

#[test]
fn thousands_of_connections_at_once_are_spread_evenly_and_do_not_mix() {
    const CLIENTS: usize = 3_000;
    assert!(process::raise_fd_limit() > 3 * CLIENTS as u64, "this test needs more file descriptors");
    let at = Loopback::new();
    let backends = backends(at, &["a", "b", "c"]);
    let config = Config::new().listener("web", at.port(0), "");
    let daemon = Daemon::start(config.pool("web", &backends, "balance = \"round_robin\""));

    let streams: Vec<_> = (0..CLIENTS).map(|_| client::connect(at.port(0)).unwrap()).collect();
    let content = |index: usize| Content::new(index as u64).take(300);
    for (index, mut stream) in streams.iter().enumerate() {
        stream.write_all(&content(index)).unwrap();
    }
    for (index, stream) in streams.iter().enumerate() {
        let name = client::read_line(stream).unwrap();
        assert!(["a", "b", "c"].contains(&name.as_str()), "client {index} was greeted by {name:?}");
        assert!(
            client::read_bytes(stream, 300).unwrap() == content(index),
            "client {index} got other content"
        );
    }
    // All of them are still open.
    for backend in &backends {
        let share = backend.open();
        assert!(share.abs_diff(CLIENTS / 3) <= WORKERS, "{} has {share} connections", backend.name());
    }
    drop(streams);
    let records = daemon.wait_for_records(CLIENTS);
    assert_eq!(records.len(), CLIENTS);
    assert!(records.iter().all(|record| (record.bytes_in, record.bytes_out) == (300, 302)));
}

#[test]
fn round_robin_respects_weights() {
    const CLIENTS: usize = 400;
    let at = Loopback::new();
    let backends = backends(at, &["heavy", "light"]);
    let [heavy, light] = backends.as_slice() else { unreachable!("two names were given") };
    let config = Config::new().listener("web", at.port(0), "").pool_of(
        "web",
        &[heavy.entry("weight = 3"), light.entry("")],
        "balance = \"round_robin\"",
    );
    let _daemon = Daemon::start(config);
    for _ in 0..CLIENTS {
        open(at.port(0));
    }
    let share = heavy.accepted();
    assert!(share.abs_diff(CLIENTS * 3 / 4) <= WORKERS, "weight 3 of 4 got {share} of {CLIENTS}");
    assert_eq!(light.accepted(), CLIENTS - share);
}

#[test]
fn weight_zero_gets_nothing() {
    let at = Loopback::new();
    let backends = backends(at, &["off", "on"]);
    let [off, on] = backends.as_slice() else { unreachable!("two names were given") };
    for balance in ["round_robin", "least_connections", "hash"] {
        let config = Config::new().listener("web", at.port(0), "").pool_of(
            "web",
            &[off.entry("weight = 0"), on.entry("")],
            &format!("balance = \"{balance}\""),
        );
        let _daemon = Daemon::start(config);
        for _ in 0..20 {
            assert_eq!(open(at.port(0)).0, "on", "{balance}");
        }
    }
}

#[test]
fn least_connections_avoids_the_backend_that_has_many() {
    let at = Loopback::new();
    let backends = backends(at, &["a", "b", "c"]);
    let config = Config::new().listener("web", at.port(0), "");
    let daemon = Daemon::start(config.pool("web", &backends, "balance = \"least_connections\""));

    let mut clients: Vec<_> = (0..30).map(|_| open(at.port(0))).collect();
    for backend in &backends {
        assert_eq!(backend.open(), 10, "{}", backend.name());
    }
    // Everything but what is on `c` ends: the next twenty have to go round `c`.
    clients.retain(|(name, _)| name == "c");
    daemon.wait_for_records(20);
    let more: Vec<_> = (0..20).map(|_| open(at.port(0))).collect();
    let on_c = more.iter().filter(|(name, _)| name == "c").count();
    assert_eq!(on_c, 0, "c has 10 connections already and the others none");
    for backend in &backends {
        assert_eq!(backend.open(), 10, "{}", backend.name());
    }
}

#[test]
fn hash_keeps_a_flow_on_its_backend_over_restarts_and_file_order() {
    let at = Loopback::new();
    let mut backends = backends(at, &["a", "b", "c", "d"]);
    let places = || -> BTreeMap<u16, String> {
        let place = |port| {
            let stream = client::connect_from(SocketAddr::new(at.ip(), port), at.port(0)).unwrap();
            let name = client::read_line(&stream).unwrap();
            // Not an orderly close: that would keep the client's port in TIME_WAIT.
            client::reset(stream);
            (port, name)
        };
        (25_000..25_100).map(place).collect()
    };
    let run_with = |seed: u32, backends: &[Backend]| {
        let config = Config::new().global(&format!("hash_seed = {seed}")).listener("web", at.port(0), "");
        let _daemon = Daemon::start(config.pool("web", backends, "balance = \"hash\""));
        let first = places();
        assert_eq!(places(), first, "the same daemon chooses alike for the same flow");
        first
    };
    let run = |backends: &[Backend]| run_with(7, backends);
    let first = run(&backends);
    let other_seed = run_with(8, &backends);
    assert_ne!(other_seed, first, "the seed places the flows");
    for backend in &backends {
        assert!(first.values().any(|name| name == backend.name()), "{} gets nothing", backend.name());
    }
    backends.reverse();
    assert_eq!(run(&backends), first, "after a restart with the backends in another order");

    // Without `a` the flows of the others stay, all but the few that Maglev moves.
    backends.retain(|backend| backend.name() != "a");
    let without = run(&backends);
    let moved = first.iter().filter(|&(port, name)| name != "a" && without.get(port) != Some(name)).count();
    assert!(moved <= 5, "{moved} of 100 flows moved that need not");
}
