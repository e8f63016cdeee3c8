//! Pools and backends: every client is served by what its listener has at that moment.

use lb_admin::BackendState;
use lb_model::Termination;
use lb_tests::{Backend, Behaviour, Config, Daemon, End, Loopback, client, eventually};

use super::clients::Clients;
use super::{PATIENCE, assert_goes_on, finish, listener, open, served_by};

/// Catches: a pool that is known by its place in the configuration, which others take when pools come and go.
#[test]
fn pools_that_come_and_go_beside_it_do_not_change_who_serves() {
    let at = Loopback::new();
    let right = Backend::start("right", at.backend(0), Behaviour::Tag);
    let wrong = Backend::start("wrong", at.backend(1), Behaviour::Tag);
    let config = |others: &[&str]| {
        let config = Config::new().listener("middle", at.port(0), "").pool("middle", [&right], "");
        others.iter().fold(config, |config, name| {
            let port = at.port(if *name < "middle" { 1 } else { 2 });
            config.pool(name, [&wrong], "").listener(name, port, "")
        })
    };
    let daemon = Daemon::start(config(&[]));
    let clients = Clients::start(at.port(0), 3);
    for others in [&["aa"][..], &["aa", "zz"], &["ab", "zz"], &["zz"], &["ab"], &[]].repeat(5) {
        daemon.reload(config(others));
        clients.wait_for_more();
    }
    clients.assert_served_by(["right"]);
}

/// Catches: a listener that looks for its pool where it was, not for the one that it names now.
#[test]
fn a_pool_that_is_renamed_under_load_goes_on_serving() {
    let at = Loopback::new();
    let right = Backend::start("right", at.backend(0), Behaviour::Tag);
    let wrong = Backend::start("wrong", at.backend(1), Behaviour::Tag);
    let config = |name: &str| {
        let pools =
            Config::new().pool(name, [&right], "").pool("m", [&wrong], "").listener("m", at.port(1), "");
        format!("{pools}{}", listener("web", &[at.port(0)], name, ""))
    };
    let daemon = Daemon::start(config("a"));
    let clients = Clients::start(at.port(0), 3);
    for name in ["z", "b", "y", "a"].repeat(4) {
        daemon.reload(config(name));
        clients.wait_for_more();
    }
    clients.assert_served_by(["right"]);
}

/// Catches: a mixture of two configurations: a listener of the one with the pool of the other.
#[test]
fn two_pools_that_swap_their_names_serve_their_listeners_throughout() {
    let at = Loopback::new();
    let [l, r] = ["l", "r"].map(|n| Backend::start(n, at.backend(u16::from(n == "r")), Behaviour::Tag));
    let config = |left: &str, right: &str| {
        let pools = Config::new().pool(left, [&l], "").pool(right, [&r], "");
        format!(
            "{pools}{}{}",
            listener("l", &[at.port(0)], left, ""),
            listener("r", &[at.port(1)], right, "")
        )
    };
    let daemon = Daemon::start(config("x", "y"));
    let clients = [Clients::start(at.port(0), 2), Clients::start(at.port(1), 2)];
    for (left, right) in [("y", "x"), ("x", "y")].repeat(10) {
        daemon.reload(config(left, right));
        clients.iter().for_each(Clients::wait_for_more);
    }
    let [left, right] = clients;
    left.assert_served_by(["l"]);
    right.assert_served_by(["r"]);
}

/// Catches: connections that are cut, moved, or counted twice when their backend, pool or address is another.
#[test]
fn connections_keep_the_backend_that_they_have() {
    let at = Loopback::new();
    let [a, b, c] =
        ["a", "b", "c"].map(|n| Backend::start(n, at.backend(u16::from(n.as_bytes()[0])), Behaviour::Tag));
    let web = |backends: &[&Backend], lines: &str| {
        Config::new().listener("web", at.port(0), "").pool("web", backends.iter().copied(), lines)
    };
    let daemon = Daemon::start(web(&[&a], ""));
    let mut kept = vec![open(at.port(0))];
    for (backends, lines, serves) in [
        // It is removed, comes back, has its settings changed, and goes for good.
        (&[&b][..], "", "b"),
        (&[&a], "connect_timeout = \"1s\"", "a"),
        (&[&c], "balance = \"round_robin\"", "c"),
        (&[&b], "balance = \"least_connections\"", "b"),
    ] {
        daemon.reload(web(backends, lines));
        kept.push(open(at.port(0)));
        assert_eq!(kept.last().unwrap().1, serves);
        kept.iter().for_each(|(stream, _)| assert_goes_on(stream));
    }
    // The same name at another address is another server.
    daemon.reload(web(&[], "").pool_of("other", &[c.entry("")], "").to_string().replace(
        "backends = []",
        &format!("backends = [{{ name = \"b\", address = \"{}\" }}]", c.address()),
    ));
    assert_eq!(served_by(at.port(0)), "c");
    for (stream, name) in &kept {
        assert_goes_on(stream);
        let client = stream.local_addr().unwrap();
        finish(stream);
        let record = daemon.wait_for_record(client);
        assert_eq!((record.reason, record.backend.as_ref()), (Termination::Finished, Some(name)));
    }
}

/// Catches: a count of connections that begins at zero with each reload, so that a backend gets more than its limit.
#[test]
fn connections_are_counted_over_reloads() {
    let at = Loopback::new();
    let b = Backend::start("b", at.backend(0), Behaviour::Tag);
    let config = |limit: u32, lines: &str| {
        let entry = b.entry(&format!("max_connections = {limit}"));
        Config::new().listener("web", at.port(0), "").pool_of("web", &[entry], lines)
    };
    let refuse = "queue = { limit = 0, timeout = \"1s\" }";
    let daemon = Daemon::start(config(2, refuse));
    let first = open(at.port(0)).0;
    daemon.reload(config(2, &format!("{refuse}\nconnect_timeout = \"1s\"")));
    assert_eq!(daemon.backend("web", "b").connections, 1);
    let second = open(at.port(0)).0;
    daemon.reload(config(2, refuse));
    let ended = client::connect_and_read_to_end(at.ip(), at.port(0)).unwrap();
    assert_eq!(daemon.record_of_refused(&ended).reason, Termination::QueueFull);
    drop((first, second));
    eventually(PATIENCE, "both have left", || daemon.backend("web", "b").connections == 0);
    assert_eq!(daemon.backend("web", "b").connections_total, 2);
    assert_eq!(b.most_open(), 2);
}

/// Catches: a back-off that a reload ends, so that every reload sends clients to a backend that is known to be down.
#[test]
fn a_back_off_goes_on_over_reloads() {
    let at = Loopback::new();
    let good = Backend::start("good", at.backend(0), Behaviour::Tag);
    let mut down = Backend::start("down", at.backend(1), Behaviour::Tag);
    down.stop();
    let entries = [good.entry(""), down.entry("")];
    let config = |lines: &str| {
        let passive = "passive_health = { failures = 1, backoff = \"60s\", max_backoff = \"60s\" }";
        let lines = format!("balance = \"round_robin\"\n{passive}\n{lines}");
        Config::new().listener("web", at.port(0), "").pool_of("web", &entries, &lines)
    };
    let daemon = Daemon::start(config(""));
    eventually(PATIENCE, "a client meets it", || {
        assert_eq!(served_by(at.port(0)), "good");
        daemon.access_records().iter().any(|record| record.tries == 2)
    });
    daemon.wait_for_state("web", "down", BackendState::BackingOff);
    down.restart();
    for lines in ["connect_timeout = \"1s\"", "connect_tries = 2", ""] {
        daemon.reload(config(lines));
        assert_eq!(daemon.backend("web", "down").state, BackendState::BackingOff, "{lines}");
        for _ in 0..8 {
            assert_eq!(served_by(at.port(0)), "good");
        }
    }
    assert_eq!(down.accepted(), 0);
}

/// Catches: what is known of a backend's health that a reload forgets, so that clients are sent to one that is down.
#[test]
fn a_verdict_of_health_checks_stays_over_reloads() {
    let at = Loopback::new();
    let good = Backend::start("good", at.backend(0), Behaviour::Tag);
    let mut down = Backend::start("down", at.backend(1), Behaviour::Tag);
    let entries = [good.entry(""), down.entry("")];
    let config = |rest: &str| {
        let lines = format!(
            "balance = \"round_robin\"\n{rest}\nhealth_check = {{ type = \"tcp\", interval = \"200ms\", rise = 1000 }}"
        );
        Config::new().listener("web", at.port(0), "").pool_of("web", &entries, &lines)
    };
    let daemon = Daemon::start(config(""));
    daemon.wait_for_state("web", "down", BackendState::Active);
    down.stop();
    daemon.wait_for_state("web", "down", BackendState::Unhealthy);
    down.restart();
    for rest in ["connect_timeout = \"1s\"", "connect_tries = 2", ""] {
        daemon.reload(config(rest));
        assert_eq!(daemon.backend("web", "down").state, BackendState::Unhealthy, "{rest}");
        for _ in 0..8 {
            assert_eq!(served_by(at.port(0)), "good");
        }
    }
    let checked = "health_check = { type = \"tcp\", interval = \"200ms\", rise = 1 }";
    let lines = format!("balance = \"round_robin\"\n{checked}");
    daemon.reload(Config::new().listener("web", at.port(0), "").pool_of("web", &entries, &lines));
    daemon.wait_for_state("web", "down", BackendState::Active);
}

/// Catches: those who wait in a pool's queue and are sent to a backend that was removed while they waited.
#[test]
fn who_waits_in_the_queue_is_not_sent_to_a_backend_that_is_removed() {
    let at = Loopback::new();
    let old = Backend::start("old", at.backend(0), Behaviour::Tag);
    let new = Backend::start("new", at.backend(1), Behaviour::Tag);
    let config = |backend: &Backend| {
        let entry = backend.entry("max_connections = 1");
        let queue = "queue = { limit = 10, timeout = \"60s\" }";
        Config::new().listener("web", at.port(0), "").pool_of("web", &[entry], queue)
    };
    let daemon = Daemon::start(config(&old));
    let (served, _) = open(at.port(0));
    let waiting: Vec<_> = (0..3).map(|_| client::connect(at.port(0)).unwrap()).collect();
    eventually(PATIENCE, "three wait", || daemon.metric("sluice_pool_queue_length{pool=\"web\"}") > 2.5);
    daemon.reload(config(&new));
    new.wait_open(1);
    drop(served);
    std::thread::scope(|scope| {
        let threads: Vec<_> = waiting
            .into_iter()
            .map(|stream| scope.spawn(move || client::read_line(&stream).unwrap()))
            .collect();
        let names: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert_eq!(names, ["new", "new", "new"]);
    });
    assert_eq!(old.accepted(), 1);
}

/// Catches: a queue that is lost with its pool: who waits in it would wait until the timeout, though there is room.
#[test]
fn who_waits_in_the_queue_of_a_removed_pool_is_served_by_it_or_ended_not_forgotten() {
    let at = Loopback::new();
    let old = Backend::start("old", at.backend(0), Behaviour::Tag);
    let new = Backend::start("new", at.backend(1), Behaviour::Tag);
    let config = |pool: &str, backend: &Backend| {
        let entry = backend.entry("max_connections = 1");
        let pools = Config::new().pool_of(pool, &[entry], "queue = { limit = 10, timeout = \"60s\" }");
        format!("{pools}{}", listener("web", &[at.port(0)], pool, ""))
    };
    let daemon = Daemon::start(config("p", &old));
    let (served, _) = open(at.port(0));
    let waiting = client::connect(at.port(0)).unwrap();
    eventually(PATIENCE, "one waits", || daemon.metric("sluice_pool_queue_length{pool=\"p\"}") > 0.5);
    daemon.reload(config("q", &new));
    assert_eq!(served_by(at.port(0)), "new");
    drop(served);
    match client::read_line(&waiting) {
        Ok(name) => assert_eq!(name, "old"),
        Err(error) => assert_eq!(End::from(&error), End::Reset),
    }
}

/// Catches: a weight of 0 that cuts what is open, or a backend that does not come back from it.
#[test]
fn a_weight_of_zero_keeps_what_is_open_and_takes_nothing_new() {
    let at = Loopback::new();
    let [a, b] = ["a", "b"].map(|n| Backend::start(n, at.backend(u16::from(n == "b")), Behaviour::Tag));
    let config = |weight: u16| {
        let entries = [a.entry(&format!("weight = {weight}")), b.entry("")];
        Config::new().listener("web", at.port(0), "").pool_of("web", &entries, "balance = \"round_robin\"")
    };
    let daemon = Daemon::start(config(1));
    let kept: Vec<_> = (0..8).map(|_| open(at.port(0))).collect();
    assert!(kept.iter().any(|(_, name)| name == "a"));
    daemon.reload(config(0));
    assert_eq!(daemon.backend("web", "a").state, BackendState::Disabled);
    for _ in 0..16 {
        assert_eq!(served_by(at.port(0)), "b");
    }
    kept.iter().for_each(|(stream, _)| assert_goes_on(stream));
    daemon.reload(config(3));
    eventually(PATIENCE, "a takes connections again", || served_by(at.port(0)) == "a");
}
