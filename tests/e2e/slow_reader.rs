//! Clients that do not read what they have asked for.

use std::time::Duration;

use lb_tests::{
    Backend, Behaviour, Config, Daemon, Exchange, Launch, Loopback, client, eventually, observe, process,
};

#[test]
fn clients_that_never_read_cost_bounded_memory_and_nobody_else() {
    let at = Loopback::new();
    let backend = Backend::start("b", at.backend(0), Behaviour::Exchange);
    let daemon = Daemon::start(Config::new().listener("web", at.port(0), "").pool("web", [&backend], ""));
    let modest = || {
        let stream = client::connect(at.port(0)).unwrap();
        Exchange { seed: 1, up: 1 << 20, down: 10 << 20 }.run(&stream).unwrap();
    };
    // Warm up every worker.
    for _ in 0..16 {
        modest();
    }
    let before = process::resident_bytes(daemon.pid());

    let greedy = Exchange { seed: 2, up: 0, down: 1 << 30 };
    let stuck: Vec<_> = (0..50).map(|_| client::connect(at.port(0)).unwrap()).collect();
    for stream in &stuck {
        greedy.order(stream).unwrap();
    }
    backend.wait_open(50);
    modest();
    eventually(Duration::from_secs(30), "the daemon rests when all buffers are full", || {
        let before = process::cpu_time(daemon.pid());
        observe(Duration::from_millis(300));
        process::cpu_time(daemon.pid()) - before <= Duration::from_millis(10)
    });
    let growth = process::resident_bytes(daemon.pid()).saturating_sub(before);
    assert!(growth < 8 << 20, "50 clients that do not read cost {} KiB", growth >> 10);
    modest();
    backend.wait_open(50);
}

#[test]
fn without_privileges_pipes_are_few_and_content_arrives_all_the_same() {
    // An unprivileged user gets no more than 256 large pipes (fs.pipe-user-pages-soft).
    const CLIENTS: u64 = 300;
    process::raise_fd_limit();
    let at = Loopback::new();
    let backend = Backend::start("b", at.backend(0), Behaviour::Exchange);
    let config = Config::new().listener("web", at.port(0), "").pool("web", [&backend], "");
    let _daemon = Launch::new(config).unprivileged().start();
    let waiting: Vec<_> = (0..CLIENTS)
        .map(|seed| {
            let exchange = Exchange { seed, up: 100_000, down: 4 << 20 };
            let stream = client::connect(at.port(0)).unwrap();
            exchange.order(&stream).unwrap();
            (exchange, stream)
        })
        .collect();
    backend.wait_open(300);
    for (exchange, stream) in waiting {
        exchange.after_order(&stream).unwrap();
    }
}
