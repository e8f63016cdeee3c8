//! Many reloads: nobody is lost, and nothing piles up.

use std::collections::BTreeSet;
use std::net::TcpStream;

use lb_tests::{Backend, Behaviour, Config, Daemon, Exchange, Loopback, client, eventually, process};

use super::clients::Clients;
use super::{PATIENCE, assert_goes_on, open};

/// Catches: a connection of thousands that meets a moment in which there is no listener, no pool or no backend;
/// memory, descriptors or threads that each reload leaves behind.
#[test]
fn two_hundred_reloads_under_load_lose_nobody_and_leave_nothing_behind() {
    let at = Loopback::new();
    let backends: Vec<_> =
        (0..4).map(|i| Backend::start(&format!("b{i}"), at.backend(i), Behaviour::Tag)).collect();
    let big = Backend::start("big", at.backend(9), Behaviour::Exchange);
    let config = |round: usize| {
        let odd = round % 2 == 1;
        let serving = if odd { &backends[..3] } else { &backends[1..] };
        let lines = if odd { "balance = \"round_robin\"" } else { "connect_timeout = \"2s\"" };
        let config = Config::new()
            .listener("web", at.port(0), if odd { "max_connections = 500" } else { "" })
            .pool("web", serving, lines)
            .listener("big", at.port(2), "")
            .pool("big", [&big], "");
        let config = if odd { config.listener("aa", at.port(1), "").pool("aa", [&big], "") } else { config };
        config.to_string().replace("format = \"json\"", "format = \"json\"\naccess = false")
    };
    let daemon = Daemon::start(config(0));
    let at_start = process::open_fds(daemon.pid());
    let (kept, _) = open(at.port(0));
    let clients = Clients::start(at.port(0), 2);
    let transfer = std::thread::spawn(move || -> anyhow::Result<u64> {
        let mut bytes = 0;
        for seed in 0..20 {
            let stream = client::connect(at.port(2))?;
            bytes += Exchange { seed, up: 2 << 20, down: 2 << 20 }.run(&stream)?.bytes_out;
        }
        Ok(bytes)
    });
    let mut early = None;
    for round in 1..=200 {
        daemon.reload(config(round));
        if round % 10 == 0 {
            clients.wait_for_more();
        }
        if round == 50 {
            early = Some(process::resident_bytes(daemon.pid()));
        }
    }
    transfer.join().unwrap().unwrap();
    assert_goes_on(&kept);
    let memory = early.unwrap();
    let late = process::resident_bytes(daemon.pid());
    assert!(late < memory + (24 << 20), "{memory} bytes after 50 reloads, {late} after 200");
    let (count, told) = clients.stop();
    let names: BTreeSet<_> = backends.iter().map(|backend| backend.name().to_owned()).collect();
    assert!(told.is_subset(&names), "of {count} clients some were told {told:?}");

    let status = daemon.status();
    assert_eq!((status.generation, status.listeners.len()), (201, 2));
    assert_eq!(daemon.metric("sluice_config_generation"), 201.0);
    assert_eq!(super::reloads(&daemon, "applied"), 200.0);
    drop(kept);
    let idle = |daemon: &Daemon| daemon.metric("sluice_listener_active_connections{listener=\"web\"}") < 0.5;
    eventually(PATIENCE, "all are gone", || idle(&daemon));
    eventually(PATIENCE, "fewer descriptors are left over than one for two reloads", || {
        process::open_fds(daemon.pid()) <= at_start + 100
    });
}

/// Catches: open connections that keep the configuration alive which they came by, and all that it holds.
#[test]
fn a_thousand_open_connections_do_not_pin_old_snapshots() {
    const CONNECTIONS: usize = 1000;
    const RELOADS: u32 = 50;

    process::raise_fd_limit();
    let at = Loopback::new();
    let [a, b] = ["a", "b"].map(|n| Backend::start(n, at.backend(u16::from(n == "b")), Behaviour::Tag));
    let config = |round: u32| {
        let lines = format!("idle_timeout = \"{}s\"", 600 + round);
        let serving = if round.is_multiple_of(2) { [&a, &b] } else { [&b, &a] };
        let pool = format!("connect_timeout = \"{}s\"", 5 + round);
        Config::new().listener("web", at.port(0), &lines).pool("web", serving, &pool)
    };
    let daemon = Daemon::start(config(0));
    // Some of each generation.
    let mut streams: Vec<TcpStream> = Vec::with_capacity(CONNECTIONS);
    for round in 1..=RELOADS {
        while streams.len() < CONNECTIONS * round as usize / RELOADS as usize {
            streams.push(open(at.port(0)).0);
        }
        daemon.reload(config(round));
    }
    assert_eq!(daemon.status().listeners[0].connections, CONNECTIONS as u64);
    assert_eq!(daemon.status().generation, u64::from(RELOADS) + 1);
    streams.iter().step_by(37).for_each(assert_goes_on);
    let snapshots = daemon.metric("sluice_config_snapshots");
    assert!((1.0..=3.0).contains(&snapshots), "{snapshots} snapshots are alive");
}
