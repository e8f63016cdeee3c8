//! Bytes arrive as they were sent, and the access record counts them.

use std::net::{Shutdown, SocketAddr};

use lb_model::Termination;
use lb_tests::{Backend, Behaviour, Config, Daemon, Exchange, Loopback, client};

const MIB: u64 = 1 << 20;

/// Around the sizes at which a relay changes its ways (64 KiB: copy to splice), and far beyond any buffer.
const SIZES: [u64; 8] = [0, 1, 100, (64 << 10) - 1, 64 << 10, (64 << 10) + 1, MIB, 100 * MIB];

#[test]
fn ipv4_content_of_every_size_in_each_direction() {
    let at = Loopback::new();
    every_size_in_each_direction(at.port(0), at.backend(0));
}

#[test]
fn ipv6_content_of_every_size_in_each_direction() {
    every_size_in_each_direction(Loopback::v6(), Loopback::v6());
}

#[track_caller]
fn every_size_in_each_direction(listen: SocketAddr, behind: SocketAddr) {
    let backend = Backend::start("b", behind, Behaviour::Exchange);
    let daemon = Daemon::start(Config::new().listener("web", listen, "").pool("web", [&backend], ""));
    for (seed, size) in (0..).zip(SIZES) {
        for (up, down) in [(size, 0), (0, size), (size, size)] {
            exchange_and_check_record(&daemon, listen, Exchange { seed, up, down });
        }
    }
}

#[test]
fn gigabytes_up() {
    let at = Loopback::new();
    let backend = Backend::start("b", at.backend(0), Behaviour::Exchange);
    let daemon = Daemon::start(Config::new().listener("web", at.port(0), "").pool("web", [&backend], ""));
    exchange_and_check_record(&daemon, at.port(0), Exchange { seed: 1, up: 2048 * MIB, down: 0 });
}

#[test]
fn gigabytes_down() {
    let at = Loopback::new();
    let backend = Backend::start("b", at.backend(0), Behaviour::Exchange);
    let daemon = Daemon::start(Config::new().listener("web", at.port(0), "").pool("web", [&backend], ""));
    exchange_and_check_record(&daemon, at.port(0), Exchange { seed: 2, up: 0, down: 2048 * MIB });
}

#[test]
fn a_connection_without_a_byte_is_recorded() {
    let at = Loopback::new();
    let backend = Backend::start("b", at.backend(0), Behaviour::Echo);
    let daemon = Daemon::start(Config::new().listener("web", at.port(0), "").pool("web", [&backend], ""));
    let stream = client::connect(at.port(0)).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client::read_to_end(&stream), (vec![], lb_tests::End::Closed));

    let record = daemon.wait_for_record(stream.local_addr().unwrap());
    assert_eq!((record.bytes_in, record.bytes_out), (0, 0));
    assert_eq!(record.reason, Termination::Finished);
    assert_eq!((record.listener.as_str(), record.pool.as_str()), ("web", "web"));
    assert_eq!(record.local, at.port(0));
    assert_eq!(record.backend.as_deref(), Some("b"));
    assert_eq!(record.tries, 1);
}

#[track_caller]
fn exchange_and_check_record(daemon: &Daemon, listen: SocketAddr, exchange: Exchange) {
    let stream = client::connect(listen).unwrap();
    let exchanged = exchange.run(&stream).unwrap_or_else(|error| panic!("{exchange:?}: {error:#}"));
    let record = daemon.wait_for_record(stream.local_addr().unwrap());
    assert_eq!(record.bytes_in, exchanged.bytes_in, "{exchange:?}");
    assert_eq!(record.bytes_out, exchanged.bytes_out, "{exchange:?}");
    assert_eq!(record.reason, Termination::Finished, "{exchange:?}");
}
