//! Settings that are neither addresses nor pools.

use std::process::Command;

use lb_model::Termination;
use lb_tests::{Backend, Behaviour, Config, Daemon, End, Loopback, client};

use super::{assert_goes_on, finish, lines, open, served_by};

/// One backend and a daemon whose configuration is changed.
struct Site {
    at: Loopback,
    backend: Backend,
}

impl Site {
    fn new() -> Self {
        let at = Loopback::new();
        Self { at, backend: Backend::start("b", at.backend(0), Behaviour::Tag) }
    }

    fn config(&self, global: &str, listener: &str, pool: &str) -> Config {
        Config::new().global(global).listener("web", self.at.port(0), listener).pool(
            "web",
            [&self.backend],
            pool,
        )
    }

    /// With these keys of `[log]`.
    fn log(&self, keys: &str) -> String {
        self.config("", "", "").to_string().replace("format = \"json\"", keys)
    }
}

/// Catches: a timeout that is read once, or one that is taken from the new configuration by a connection of the old one.
#[test]
fn idle_timeout_is_that_of_the_configuration_that_accepted() {
    let site = Site::new();
    let daemon = Daemon::start(site.config("", "idle_timeout = \"off\"", ""));
    let (without, _) = open(site.at.port(0));
    daemon.reload(site.config("", "idle_timeout = \"200ms\"", ""));
    let (with, _) = open(site.at.port(0));
    assert_eq!(client::read_to_end(&with), (vec![], End::Reset));
    let reason = daemon.wait_for_record(with.local_addr().unwrap()).reason;
    assert_eq!(reason, Termination::IdleTimeout);
    assert_goes_on(&without);
    daemon.reload(site.config("", "idle_timeout = \"off\"", ""));
    let (again, _) = open(site.at.port(0));
    // A timeout of 200 ms would have ended it meanwhile.
    lb_tests::observe(std::time::Duration::from_millis(500));
    assert_goes_on(&again);
    assert_goes_on(&without);
}

/// Catches: lists that are not taken over, or that cut those who are in already.
#[test]
fn access_lists_hold_for_those_who_come_after() {
    let site = Site::new();
    let deny = "deny = [\"127.0.0.0/8\"]";
    let daemon = Daemon::start(site.config("", "", ""));
    let (inside, _) = open(site.at.port(0));
    for _ in 0..3 {
        daemon.reload(site.config("", deny, ""));
        for _ in 0..8 {
            let ended = client::connect_and_read_to_end(site.at.ip(), site.at.port(0)).unwrap();
            assert_eq!(daemon.record_of_refused(&ended).reason, Termination::Denied);
        }
        daemon.reload(site.config("", "allow = [\"127.0.0.0/8\"]", ""));
        assert_eq!(served_by(site.at.port(0)), "b");
    }
    assert_goes_on(&inside);
}

/// The time after which `ss` says that the established sockets at `address` are probed, of each that is.
fn probed(filter: &str) -> String {
    let output = Command::new("ss").args(["-tnoH", "state", "established", filter]).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// Catches: keepalive, which connections inherit from the listening socket, that stays as it was when that was made.
#[test]
fn keepalive_of_clients_and_of_backends_is_changed() {
    let site = Site::new();
    let on = (true, true);
    let daemon = Daemon::start(site.config("", "keepalive = \"off\"", "keepalive = \"off\""));
    let kept = super::listeners::sockets(&daemon);
    for (listener, pool, probes) in [
        ("keepalive = \"1h\"", "keepalive = \"1h\"", on),
        ("keepalive = \"off\"", "keepalive = \"1h\"", (false, true)),
        ("keepalive = \"1h\"", "keepalive = \"off\"", (true, false)),
    ] {
        daemon.reload(site.config("", listener, pool));
        assert_eq!(super::listeners::sockets(&daemon), kept, "for that no socket is made anew");
        let _open: Vec<_> = (0..8).map(|_| open(site.at.port(0))).collect();
        let clients = probed(&format!("src = {}", site.at.port(0)));
        let backends = probed(&format!("dst = {}", site.at.backend(0)));
        for (text, probes) in [(clients, probes.0), (backends, probes.1)] {
            let with = text.lines().filter(|line| line.contains("keepalive")).count();
            assert_eq!(with, if probes { text.lines().count() } else { 0 }, "{listener} {pool}\n{text}");
            assert!(text.lines().count() >= 8, "{text}");
        }
        drop(_open);
        lb_tests::eventually(super::PATIENCE, "they are gone", || {
            probed(&format!("src = {}", site.at.port(0))).is_empty()
                && probed(&format!("dst = {}", site.at.backend(0))).is_empty()
        });
    }
}

/// Catches: a seed that is baked in at the start: then balancers behind one ECMP route choose differently.
#[test]
fn hash_seed_decides_who_serves_as_at_a_fresh_start() {
    let at = Loopback::new();
    let backends: Vec<_> =
        (0..8).map(|i| Backend::start(&format!("b{i}"), at.backend(i), Behaviour::Tag)).collect();
    let config = |seed: u32| {
        Config::new().global(&format!("hash_seed = {seed}")).listener("web", at.port(0), "").pool(
            "web",
            &backends,
            "balance = \"hash\"",
        )
    };
    // The client's port is part of what is hashed.
    let ask = || -> Vec<String> {
        let from = |i: u16| std::net::SocketAddr::new(at.ip(), 24_000 + i);
        let streams = (0..12).map(|i| client::connect_from(from(i), at.port(0)).unwrap());
        streams
            .map(|stream| {
                let name = client::read_line(&stream).unwrap();
                client::reset(stream);
                name
            })
            .collect()
    };
    let daemon = Daemon::start(config(0));
    let zero = ask();
    daemon.reload(config(4711));
    let other = ask();
    assert_ne!(zero, other, "of twelve clients, one in 8^12 tests would find all at the same backend");
    daemon.reload(config(0));
    assert_eq!(ask(), zero);
    drop(daemon);
    let daemon = Daemon::start(config(4711));
    assert_eq!(ask(), other, "a reload is as good as a restart");
    drop(daemon);
}

/// Catches: a level, a format or the access log that stays as it was at the start.
#[test]
fn the_log_is_changed_without_a_restart() {
    let site = Site::new();
    let daemon = Daemon::start(site.log("format = \"json\"\naccess = false"));
    let ask = || {
        let (stream, _) = open(site.at.port(0));
        let client = stream.local_addr().unwrap();
        finish(&stream);
        client
    };
    let without = ask();
    daemon.reload(site.log("format = \"json\"\naccess = true"));
    let with = ask();
    daemon.wait_for_record(with);
    daemon.reload(site.log("format = \"human\"\naccess = true"));
    let human = ask().to_string();
    let line = daemon.wait_for_log("a record for people", |line| line.text.contains(&human));
    assert!(!line.text.starts_with('{') && line.text.contains("access"), "{}", line.text);
    daemon.reload(site.log("format = \"human\"\naccess = false"));
    let off = ask();
    daemon.reload(site.log("format = \"json\"\naccess = true"));
    daemon.wait_for_record(ask());
    for client in [without, off] {
        assert_eq!(lines(&daemon, &client.to_string()), 0, "nobody asked for a record of {client}");
    }
}

/// Catches: a level that can only be made coarser, or audit lines that it hides.
#[test]
fn the_level_goes_down_and_up_again() {
    let site = Site::new();
    let daemon = Daemon::start(site.log("format = \"json\"\nlevel = \"info\""));
    let level = |level: &str| daemon.reload(site.log(&format!("format = \"json\"\nlevel = \"{level}\"")));
    let applied = |daemon: &Daemon| lines(daemon, "\"reloaded: ");
    level("warn");
    let before = applied(&daemon);
    level("error");
    daemon.wait_for_record({
        let (stream, _) = open(site.at.port(0));
        let client = stream.local_addr().unwrap();
        finish(&stream);
        client
    });
    assert_eq!(applied(&daemon), before, "info is below error");
    level("info");
    daemon.sluice(["reload"]);
    daemon.wait_for_log("info again", |line| line.says("reloaded: nothing has changed"));
    // Its own log has come this far, so those of the reloads before it are there.
    lb_tests::eventually(super::PATIENCE, "who did what is said at every level", || {
        lines(&daemon, "\"operation\":\"reload\"") == 4
    });
}

/// Catches: a daemon that was started with a coarse level and cannot be made to talk.
#[test]
fn a_level_that_was_coarse_from_the_start_can_be_refined() {
    let site = Site::new();
    let daemon = lb_tests::Launch::new(site.log("format = \"json\"\nlevel = \"warn\"")).spawn();
    lb_tests::eventually(super::PATIENCE, "it serves", || {
        client::connect(site.at.port(0)).is_ok() && daemon.socket().exists()
    });
    daemon.reload(site.log("format = \"json\"\nlevel = \"info\""));
    daemon.sluice(["reload"]);
    daemon.wait_for_log("the reload", |line| line.says("reloaded: nothing has changed"));
}

/// Catches: a setting that is silently ignored until the next restart, or that has all else in its file ignored.
#[test]
fn what_needs_a_restart_is_told_and_the_rest_is_applied() {
    let site = Site::new();
    let daemon = Daemon::start(site.config("", "", ""));
    let text = site.config("", "max_connections = 5", "").to_string();
    let text = text.replace("workers = 4", "workers = 2");
    daemon.configure(&text);
    for command in ["plan", "reload"] {
        let told = daemon.sluice([command]);
        assert!(told.contains("at the next restart only") && told.contains("workers"), "{command}: {told}");
    }
    let warning = daemon.wait_for_log("a warning", |line| line.text.contains("a restart is needed"));
    assert_eq!(warning.field("level"), Some("WARN"));
    let status = daemon.status();
    assert_eq!((status.workers, status.listeners[0].max_connections), (4, Some(5)));
    assert_eq!(super::listeners::sockets(&daemon).len(), 4, "on all workers that there are");
}

/// Catches: a restart that is said to be needed for what is in force, or no longer mentioned though it still is.
#[test]
fn a_restart_is_needed_as_long_as_the_process_is_not_as_configured() {
    let site = Site::new();
    let four = site.config("", "", "").to_string();
    let two = four.replace("workers = 4", "workers = 2");
    let daemon = Daemon::start(&four);
    daemon.reload(&two);
    let plan = daemon.sluice(["plan"]);
    assert!(plan.contains("restart"), "four workers still run, not two: {plan}");
    daemon.configure(&four);
    let plan = daemon.sluice(["plan"]);
    assert!(!plan.contains("restart"), "four workers run, as configured: {plan}");
}
