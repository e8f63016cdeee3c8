//! Reloads: all or nothing, and nobody who is connected or connects meanwhile notices.

mod clients;
mod limits;
mod listeners;
mod load;
mod plan;
mod pools;
mod refused;
mod settings;
mod watch;
mod ways;

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use lb_tests::{Backend, Behaviour, Config, Daemon, End, Exchange, Exchanged, Loopback, client};

/// How long a test waits for something that has to happen, with much room for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Two backends in pools of their own, and a daemon whose listener `web` is served by the first.
struct Site {
    at: Loopback,
    a: Backend,
    b: Backend,
    daemon: Daemon,
}

impl Site {
    fn start() -> Self {
        let at = Loopback::new();
        let a = Backend::start("a", at.backend(0), Behaviour::Tag);
        let b = Backend::start("b", at.backend(1), Behaviour::Tag);
        let daemon = Daemon::start(Self::config_of(at, &a, &b, "a", ""));
        Self { at, a, b, daemon }
    }

    fn config_of(at: Loopback, a: &Backend, b: &Backend, pool: &str, lines: &str) -> String {
        format!("{}{}", pool_beside(pool_of(a), b), listener("web", &[at.port(0)], pool, lines))
    }

    /// The configuration with `web` served by `pool`, and further lines for it.
    fn config(&self, pool: &str, lines: &str) -> String {
        Self::config_of(self.at, &self.a, &self.b, pool, lines)
    }

    /// Replaces the file by one that has `web` served by `pool`.
    fn configure(&self, pool: &str) {
        self.daemon.configure(self.config(pool, ""));
    }

    fn served_by(&self) -> String {
        served_by(self.at.port(0))
    }
}

/// A listener as [`Config::listener`] does not write it: with several addresses, or with a pool of another name.
fn listener(name: &str, bind: &[SocketAddr], pool: &str, lines: &str) -> String {
    let bind: Vec<_> = bind.iter().map(|address| format!("\"{address}\"")).collect();
    let bind = bind.join(", ");
    format!("[listeners.{name}]\nbind = [{bind}]\nprotocol = \"tcp\"\npool = \"{pool}\"\n{lines}\n\n")
}

/// A pool of one backend, with the backend's name.
fn pool_of(backend: &Backend) -> Config {
    pool_beside(Config::new(), backend)
}

fn pool_beside(config: Config, backend: &Backend) -> Config {
    config.pool(backend.name(), [backend], "")
}

/// What a client is told that connects now.
#[track_caller]
fn served_by(address: SocketAddr) -> String {
    open(address).1
}

/// A connection, and the name of the backend that serves it.
#[track_caller]
fn open(address: SocketAddr) -> (TcpStream, String) {
    let stream = client::connect(address).unwrap_or_else(|error| panic!("connecting to {address}: {error}"));
    let name = client::read_line(&stream).unwrap_or_else(|error| panic!("asking {address}: {error}"));
    (stream, name)
}

/// Asserts that bytes go both ways over a connection to a [`Behaviour::Tag`](lb_tests::Behaviour::Tag).
#[track_caller]
fn assert_goes_on(mut stream: &TcpStream) {
    stream.write_all(b"still here").unwrap();
    assert_eq!(client::read_bytes(stream, 10).unwrap(), b"still here");
}

/// Ends such a connection in order.
#[track_caller]
fn finish(stream: &TcpStream) {
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(client::read_to_end(stream), (vec![], End::Closed));
}

/// Asserts that nobody listens.
#[track_caller]
fn assert_refuses(address: SocketAddr) {
    let error = client::connect(address).expect_err("nobody should listen there");
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionRefused, "{address}");
}

/// Has the daemon reload a file that is no good; what it says.
#[track_caller]
fn refused_reload(daemon: &Daemon) -> String {
    let output = daemon.command(["reload"]);
    assert!(!output.status.success(), "it should refuse\n{}", daemon.log_text());
    assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    String::from_utf8(output.stderr).unwrap()
}

/// Waits until this many reloads have been applied.
#[track_caller]
fn wait_for_reloads(daemon: &Daemon, count: f64) {
    lb_tests::eventually(PATIENCE, &format!("{count} reloads are applied"), || {
        reloads(daemon, "applied") >= count
    });
    assert!(reloads(daemon, "applied") <= count, "no more than were asked for\n{}", daemon.log_text());
}

fn reloads(daemon: &Daemon, result: &str) -> f64 {
    daemon.metric(&format!("sluice_config_reloads_total{{result=\"{result}\"}}"))
}

/// How many log lines say exactly this.
fn lines(daemon: &Daemon, text: &str) -> usize {
    daemon.log_text().lines().filter(|line| line.contains(text)).count()
}

/// A transfer that takes longer than a reload.
fn long_transfer(stream: &TcpStream) -> Exchanged {
    Exchange { seed: 7, up: 40 << 20, down: 40 << 20 }.run(stream).unwrap()
}
