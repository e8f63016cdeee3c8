//! File descriptors: as many as may be, and no harm when they run out.

use std::io::Write as _;
use std::net::{Shutdown, TcpStream};
use std::time::Duration;

use lb_model::Termination;
use lb_tests::{Backend, Behaviour, Config, Daemon, Launch, Loopback, client, eventually, observe, process};

#[test]
fn the_soft_limit_is_raised_to_the_hard_limit() {
    let at = Loopback::new();
    let backend = Backend::start("b", at.backend(0), Behaviour::Tag);
    let config = Config::new().listener("web", at.port(0), "").pool("web", [&backend], "");
    let daemon = Launch::new(config).fd_limits(256, 3000).start();
    assert_eq!(process::fd_limits(daemon.pid()), (3000, 3000));
}

/// The daemon has done what there was to do and spends next to nothing on what it cannot do.
#[track_caller]
fn wait_until_it_rests(daemon: &Daemon) {
    eventually(Duration::from_secs(10), "the daemon rests", || {
        let before = process::cpu_time(daemon.pid());
        observe(Duration::from_secs(1));
        process::cpu_time(daemon.pid()) - before < Duration::from_millis(100)
    });
}

/// Is greeted by the backend, and talks to it.
#[track_caller]
fn is_served(mut stream: &TcpStream) {
    assert_eq!(client::read_line(stream).unwrap(), "b");
    stream.write_all(b"ping").unwrap();
    assert_eq!(client::read_bytes(stream, 4).unwrap(), b"ping");
}

#[test]
fn a_limit_beyond_the_descriptors_loses_no_client() {
    const CLIENTS: usize = 200;
    const DESCRIPTORS: u64 = 128;
    let at = Loopback::new();
    let backend = Backend::start("b", at.backend(0), Behaviour::Tag);
    let config = Config::new().global("max_connections = 1000").listener("web", at.port(0), "").pool(
        "web",
        [&backend],
        "",
    );
    let daemon = Launch::new(config).fd_limits(DESCRIPTORS, DESCRIPTORS).start();

    // The backlog takes them all; the daemon has descriptors for some.
    let clients: Vec<_> = (0..CLIENTS).map(|_| client::connect(at.port(0)).unwrap()).collect();
    eventually(Duration::from_secs(10), "some are served", || backend.open() > 0);
    wait_until_it_rests(&daemon);
    assert!(backend.open() < CLIENTS, "{} connections with {DESCRIPTORS} descriptors", backend.open());

    // Each client leaves when it has been served, and so makes room.
    std::thread::scope(|scope| {
        for stream in clients {
            scope.spawn(move || is_served(&stream));
        }
    });
    let records = daemon.wait_for_records(CLIENTS);
    assert!(records.iter().all(|record| record.reason == Termination::Finished), "{records:#?}");
}

#[test]
fn running_out_of_descriptors_neither_spins_nor_loses_a_client() {
    const CLIENTS: usize = 200;
    let at = Loopback::new();
    let backend = Backend::start("b", at.backend(0), Behaviour::Tag);
    let config = Config::new().listener("web", at.port(0), "");
    // Clients for whose backend there is no descriptor wait as long as they may wait for the backend itself.
    let config = config.pool("web", [&backend], "connect_timeout = \"60s\"");
    let daemon = Launch::new(config).start();

    // Less than it believes to have: as if the whole host were short of them.
    let (enough, _) = process::fd_limits(daemon.pid());
    process::set_fd_soft_limit(daemon.pid(), process::open_fds(daemon.pid()) as u64 + 50);
    let clients: Vec<_> = (0..CLIENTS).map(|_| client::connect(at.port(0)).unwrap()).collect();
    daemon.wait_for_log("that descriptors are short", |line| line.text.contains("RLIMIT_NOFILE"));
    wait_until_it_rests(&daemon);
    assert!(backend.open() < CLIENTS / 2);

    process::set_fd_soft_limit(daemon.pid(), enough);
    for stream in &clients {
        is_served(stream);
    }
}

#[test]
fn every_descriptor_comes_back() {
    let at = Loopback::new();
    let backend = Backend::start("b", at.backend(0), Behaviour::Tag);
    let config = Config::new()
        .listener("web", at.port(0), "max_connections = 50")
        .pool("web", [&backend], "")
        .listener("denied", at.port(1), "deny = [\"0.0.0.0/0\"]")
        .pool("denied", [&backend], "")
        .listener("nowhere", at.port(2), "")
        .pool_of("nowhere", &[format!("\"{}\"", at.backend(1))], "");
    let daemon = Launch::new(config).start();
    let before = process::open_fds(daemon.pid());

    const ROUNDS: usize = 60;
    for _ in 0..ROUNDS {
        client::reset(client::connect(at.port(0)).unwrap());
        let half_closed = client::connect(at.port(0)).unwrap();
        half_closed.shutdown(Shutdown::Write).unwrap();
        client::read_to_end(&half_closed);
        let reset_later = client::connect(at.port(0)).unwrap();
        client::read_line(&reset_later).unwrap();
        client::reset(reset_later);
        for refusing in [at.port(1), at.port(2)] {
            client::connect_and_read_to_end(at.ip(), refusing).unwrap();
        }
    }
    eventually(Duration::from_secs(10), "every descriptor comes back", || {
        process::open_fds(daemon.pid()) == before
    });
    // The places of the listener's limit too.
    let streams: Vec<_> = (0..50).map(|_| client::connect(at.port(0)).unwrap()).collect();
    for stream in &streams {
        assert_eq!(client::read_line(stream).unwrap(), "b");
    }
}
