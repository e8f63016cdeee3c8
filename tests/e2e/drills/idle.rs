//! Thousands of connections on which nothing happens.

use std::io::Write as _;
use std::net::{Shutdown, SocketAddr, TcpStream};

use lb_model::Termination;
use lb_tests::{BackendProcess, Behaviour, Config, Daemon, End, Loopback, client, process};

use super::THREADS;
use crate::metrics::Scrape;

/// As many as the drill wants; fewer where the hard limit does not let the daemon have two descriptors for each.
const CONNECTIONS: usize = 10_000;

/// Descriptors that the daemon keeps for pipes, probes and itself, and those for who comes meanwhile.
const OTHER_DESCRIPTORS: usize = 3000;

/// Connections that come while the others are idle.
const NEW: usize = 200;

/// May be lost: nobody, neither of those who are idle, during a reload too, nor of those who come meanwhile.
#[test]
fn ten_thousand_idle_connections_survive_and_new_ones_are_served() {
    let limit = usize::try_from(process::raise_fd_limit()).unwrap();
    let connections = CONNECTIONS.min(limit.saturating_sub(OTHER_DESCRIPTORS) / 2);
    assert!(connections >= 1000, "this drill needs a higher hard limit of file descriptors than {limit}");
    let at = Loopback::new();
    // A process of its own, for its descriptors.
    let _backend = BackendProcess::start(&[(at.backend(0), Behaviour::Tag)]);
    let config = |pool: &str| {
        let config = Config::new().listener("web", at.port(0), "");
        config.pool_of("web", &[format!("\"{}\"", at.backend(0))], pool)
    };
    let daemon = Daemon::start(config(""));

    let mut idle = on_threads(vec![at.port(0); connections], open);
    daemon.reload(config("connect_timeout = \"2s\""));
    on_threads(vec![at.port(0); NEW], |listen| say_something_and_leave(open(listen)));
    assert_eq!(Scrape::of(&daemon).count(ACTIVE), connections as u64);
    // Half of them leave and the others stay.
    let leaving = idle.split_off(connections / 2);
    on_threads(leaving, say_something_and_leave);
    on_threads(idle, say_something_and_leave);

    let records = daemon.wait_for_records(connections + NEW);
    assert_eq!(records.len(), connections + NEW);
    for record in &records {
        assert_eq!(
            (record.reason, record.tries, record.bytes_in),
            (Termination::Finished, 1, 5),
            "{record:?}"
        );
    }
    let scrape = Scrape::of(&daemon);
    assert_eq!(scrape.count("sluice_listener_connections_total{listener=\"web\"}"), records.len() as u64);
    assert_eq!(scrape.count(ACTIVE), 0);
}

const ACTIVE: &str = "sluice_listener_active_connections{listener=\"web\"}";

fn open(listen: SocketAddr) -> TcpStream {
    let stream = client::connect(listen).unwrap();
    assert_eq!(client::read_line(&stream).unwrap(), BackendProcess::NAME);
    stream
}

#[expect(clippy::needless_pass_by_value, reason = "the connection is over")]
fn say_something_and_leave(stream: TcpStream) {
    (&stream).write_all(b"hello").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client::read_to_end(&stream), (b"hello".to_vec(), End::Closed));
}

/// Does the same to all of them on several threads.
fn on_threads<T: Send, R: Send>(all: Vec<T>, act: impl Fn(T) -> R + Sync) -> Vec<R> {
    let each = all.len().div_ceil(THREADS);
    let mut all = all.into_iter();
    std::thread::scope(|scope| {
        let shares: Vec<Vec<T>> = (0..THREADS).map(|_| all.by_ref().take(each).collect()).collect();
        let act = &act;
        let run = |share: Vec<T>| scope.spawn(move || share.into_iter().map(act).collect::<Vec<_>>());
        let threads: Vec<_> = shares.into_iter().map(run).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    })
}
