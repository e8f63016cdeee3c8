//! Backends that do not take connections.

use std::io;
use std::time::Duration;

use lb_admin::BackendState;
use lb_model::Termination;
use lb_tests::{
    Backend, Behaviour, Config, Daemon, End, Hang, Lab, Launch, Loopback, Verdict, client, eventually,
};

fn unnamed(address: std::net::SocketAddr) -> String {
    format!("\"{address}\"")
}

#[test]
fn a_backend_that_refuses_is_skipped_and_no_client_notices() {
    let at = Loopback::new();
    let good = [0, 1].map(|i| Backend::start(&format!("b{i}"), at.backend(i), Behaviour::Tag));
    let [b0, b1] = &good;
    let daemon = Daemon::start(Config::new().listener("web", at.port(0), "").pool_of(
        "web",
        &[b0.entry(""), unnamed(at.backend(2)), b1.entry("")],
        "balance = \"round_robin\"\npassive_health = { failures = 1, backoff = \"60s\", max_backoff = \"60s\" }",
    ));
    let connect = || client::read_line(&client::connect(at.port(0)).unwrap()).unwrap();
    let refusing = at.backend(2).to_string();
    let state = || daemon.backend("web", &refusing).state;
    eventually(Duration::from_secs(10), "a failure makes it back off", || {
        connect();
        state() == BackendState::BackingOff
    });
    let met = daemon.backend("web", &refusing).connect_failures_total;
    for _ in 0..60 {
        connect();
    }
    assert_eq!(daemon.backend("web", &refusing).connect_failures_total, met, "then it is left alone");
    let records = daemon.wait_for_records(60 + usize::try_from(met).unwrap());
    assert!(records.iter().all(|record| record.reason == Termination::Finished));
}

#[test]
fn several_failures_in_a_row_are_needed_where_configured() {
    let at = Loopback::new();
    let good = Backend::start("good", at.backend(0), Behaviour::Tag);
    let daemon = Daemon::start(Config::new().listener("web", at.port(0), "").pool_of(
        "web",
        &[good.entry(""), unnamed(at.backend(1))],
        "balance = \"round_robin\"\npassive_health = { failures = 3, backoff = \"60s\", max_backoff = \"60s\" }",
    ));
    for _ in 0..40 {
        client::read_line(&client::connect(at.port(0)).unwrap()).unwrap();
    }
    let tries: u64 = daemon.wait_for_records(40).iter().map(|record| record.tries).sum();
    // A few more may be on their way before workers have the view that leaves it out; every second would try it without.
    assert!((43..50).contains(&tries), "three failures, then peace: {tries}");
}

#[test]
fn a_hung_backend_costs_the_connect_timeout_and_another_is_tried() {
    let at = Loopback::new();
    let good = Backend::start("good", at.backend(0), Behaviour::Tag);
    let _hang = Hang::start(at.backend(1));
    let daemon = Daemon::start(Config::new().listener("web", at.port(0), "").pool_of(
        "web",
        &[unnamed(at.backend(1)), good.entry("")],
        "balance = \"round_robin\"\nconnect_timeout = \"300ms\"\n\
         passive_health = { failures = 1, backoff = \"60s\", max_backoff = \"60s\" }",
    ));
    let connect = || client::read_line(&client::connect(at.port(0)).unwrap()).unwrap();
    let mut before = 0;
    eventually(Duration::from_secs(10), "a client meets the hung backend", || {
        assert_eq!(connect(), "good");
        before += 1;
        daemon.wait_for_records(before).iter().any(|record| record.tries == 2)
    });
    // Until this is seen, other workers may not know it either.
    let hung = at.backend(1).to_string();
    daemon.wait_for_state("web", &hung, BackendState::BackingOff);
    for _ in 0..10 {
        assert_eq!(connect(), "good");
    }
    let records = daemon.wait_for_records(before + 10);
    let (early, late) = records.split_at(before);
    let slow: Vec<_> = early.iter().filter(|record| record.tries == 2).collect();
    assert!(slow.iter().all(|record| record.duration_us >= 300_000), "{slow:#?}");
    assert!(late.iter().all(|record| record.tries == 1), "{late:#?}");
    assert!(records.iter().all(|record| record.backend.as_deref() == Some("good")));
}

#[test]
fn a_backend_that_is_backed_off_is_left_alone() {
    let at = Loopback::new();
    let steady = Backend::start("steady", at.backend(0), Behaviour::Tag);
    let mut flaky = Backend::start("flaky", at.backend(1), Behaviour::Tag);
    flaky.stop();
    let daemon = Daemon::start(Config::new().listener("web", at.port(0), "").pool(
        "web",
        [&steady, &flaky],
        "balance = \"round_robin\"\npassive_health = { failures = 1, backoff = \"60s\", max_backoff = \"60s\" }",
    ));
    let connect = || client::read_line(&client::connect(at.port(0)).unwrap()).unwrap();
    eventually(Duration::from_secs(10), "a client meets the backend that is down", || {
        connect();
        daemon.access_records().iter().any(|record| record.tries == 2)
    });
    daemon.wait_for_state("web", "flaky", BackendState::BackingOff);
    flaky.restart();
    for _ in 0..40 {
        assert_eq!(connect(), "steady");
    }
    assert_eq!(flaky.accepted(), 0, "its back-off has just begun");
}

#[test]
fn a_backend_that_recovers_gets_connections_again() {
    let at = Loopback::new();
    let steady = Backend::start("steady", at.backend(0), Behaviour::Tag);
    let mut flaky = Backend::start("flaky", at.backend(1), Behaviour::Tag);
    let daemon = Daemon::start(Config::new().listener("web", at.port(0), "").pool(
        "web",
        [&steady, &flaky],
        "balance = \"round_robin\"\npassive_health = { failures = 1, backoff = \"200ms\", max_backoff = \"400ms\" }",
    ));
    let connect = || client::read_line(&client::connect(at.port(0)).unwrap()).unwrap();
    for _ in 0..2 {
        eventually(Duration::from_secs(10), "it gets connections", || connect() == "flaky");
        flaky.stop();
        let failed = |daemon: &Daemon| daemon.access_records().iter().filter(|r| r.tries == 2).count();
        let before = failed(&daemon);
        // Twice, so that it has failed again after its first back-off.
        eventually(Duration::from_secs(10), "clients meet it twice while it is down", || {
            assert_eq!(connect(), "steady");
            failed(&daemon) >= before + 2
        });
        flaky.restart();
    }
    eventually(Duration::from_secs(10), "it gets connections", || connect() == "flaky");
}

#[test]
fn without_a_backend_that_takes_it_a_client_is_reset_at_once() {
    let at = Loopback::new();
    let daemon = Daemon::start(Config::new().listener("web", at.port(0), "").pool_of(
        "web",
        &[unnamed(at.backend(0)), unnamed(at.backend(1))],
        "balance = \"round_robin\"",
    ));
    for _ in 0..4 {
        let ended = client::connect_and_read_to_end(at.ip(), at.port(0)).unwrap();
        let record = daemon.record_of_refused(&ended);
        assert!(matches!(record.reason, Termination::ConnectFailed | Termination::NoBackend), "{record:?}");
        assert!(record.duration_us < 1_000_000, "{record:?}");
        assert!(record.tries <= 2, "there are two backends to try: {record:?}");
    }
    let first = daemon.access_records().into_iter().next().unwrap();
    assert_eq!((first.reason, first.tries), (Termination::ConnectFailed, 2), "both were tried");
}

#[test]
fn when_every_backend_hangs_the_tries_are_bounded() {
    let at = Loopback::new();
    let hung: Vec<_> = (0..3).map(|i| Hang::start(at.backend(i))).collect();
    let entries: Vec<_> = (0..3).map(|i| unnamed(at.backend(i))).collect();
    let daemon = Daemon::start(Config::new().listener("web", at.port(0), "").pool_of(
        "web",
        &entries,
        "connect_timeout = \"200ms\"\nconnect_tries = 2",
    ));
    let stream = client::connect(at.port(0)).unwrap();
    assert_eq!(client::read_to_end(&stream), (vec![], End::Reset));
    let record = daemon.wait_for_record(stream.local_addr().unwrap());
    assert_eq!((record.reason, record.tries), (Termination::ConnectTimeout, 2));
    assert!((400_000..4_000_000).contains(&record.duration_us), "two timeouts of 200 ms: {record:?}");
    drop(hung);
}

#[test]
fn a_client_that_leaves_while_a_backend_hangs_is_noticed() {
    let at = Loopback::new();
    let _hang = Hang::start(at.backend(0));
    let daemon = Daemon::start(Config::new().listener("web", at.port(0), "").pool_of(
        "web",
        &[unnamed(at.backend(0))],
        "connect_timeout = \"60s\"",
    ));
    let stream = client::connect(at.port(0)).unwrap();
    let local = stream.local_addr().unwrap();
    client::reset(stream);
    let record = daemon.wait_for_record(local);
    assert!(matches!(record.reason, Termination::ClientGone | Termination::ClientReset), "{record:?}");
}

#[test]
fn a_host_that_is_dead_or_fenced_off_is_skipped() {
    let Some(lab) = Lab::require(2) else { return };
    let [dead, alive] = lab.backends.as_slice() else { unreachable!("a lab with two backends") };
    let port = 9000;
    let backends = [("dead", dead), ("alive", alive)].map(|(name, host)| {
        let address = std::net::SocketAddr::new(host.v4, port);
        Backend::start_in(&host.namespace, name, address, Behaviour::Tag)
    });
    let listen = std::net::SocketAddr::new(Lab::BALANCER_V4, 80);
    let config = Config::new().listener("web", listen, "").pool(
        "web",
        &backends,
        "balance = \"round_robin\"\nconnect_timeout = \"300ms\"\n\
         passive_health = { failures = 1, backoff = \"200ms\", max_backoff = \"200ms\" }",
    );
    let daemon = Launch::new(config).inside(&lab.balancer).start();
    let connect = || -> io::Result<String> {
        lab.client.enter(|| client::connect(listen)).and_then(|stream| client::read_line(&stream))
    };
    for verdict in [Verdict::Drop, Verdict::Reject] {
        let before = daemon.access_records().len();
        dead.namespace.filter(port, verdict).unwrap();
        eventually(Duration::from_secs(10), "a client meets the dead backend", || {
            assert_eq!(connect().unwrap(), "alive");
            daemon.access_records().iter().skip(before).any(|record| record.tries == 2)
        });
        dead.namespace.filter(port, Verdict::Accept).unwrap();
        eventually(Duration::from_secs(10), "it comes back", || connect().unwrap() == "dead");
    }
}
