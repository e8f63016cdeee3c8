//! TLS that is passed through: what a client asks for in its ClientHello says who serves it.

mod hellos;
mod programs;
mod refused;
mod relay;
mod reload;
mod routes;
mod waiting;

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use lb_tests::client::Ended;
use lb_tests::{Backend, Behaviour, Config, Daemon, Hello, Loopback, client, eventually};

/// How long a test waits for something that has to happen, with much room for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// TLS alerts that a client hears (RFC 8446 §6).
const UNEXPECTED_MESSAGE: u8 = 10;
const RECORD_OVERFLOW: u8 = 22;
const ILLEGAL_PARAMETER: u8 = 47;
const DECODE_ERROR: u8 = 50;
const PROTOCOL_VERSION: u8 = 70;
const UNRECOGNIZED_NAME: u8 = 112;
const NO_APPLICATION_PROTOCOL: u8 = 120;

/// Backends, each alone in a pool of its name.
struct Site {
    at: Loopback,
    backends: Vec<Backend>,
}

impl Site {
    /// Backends that greet with their name and send back what they get: the hello, too.
    fn new(names: &[&str]) -> Self {
        Self::of(Behaviour::Tag, names)
    }

    fn of(behaviour: Behaviour, names: &[&str]) -> Self {
        let at = Loopback::new();
        let start = |(index, name): (u16, &&str)| Backend::start(name, at.backend(index), behaviour);
        Self { at, backends: (0..).zip(names).map(start).collect() }
    }

    /// A listener `secure` with these lines and [routes](route).
    fn config(&self, lines: &str, routes: &[String]) -> Config {
        let pools = |config: Config, backend| config.pool(Backend::name(backend), [backend], "");
        let listener = secure("secure", self.address(), lines, routes);
        self.backends.iter().fold(Config::new(), pools).table(&listener)
    }

    /// Where `secure` listens.
    fn address(&self) -> SocketAddr {
        self.at.port(0)
    }

    fn backend(&self, name: &str) -> &Backend {
        self.backends.iter().find(|backend| backend.name() == name).unwrap()
    }
}

fn secure(name: &str, bind: SocketAddr, lines: &str, routes: &[String]) -> String {
    let routes: String = routes.iter().map(|route| format!("[[listeners.{name}.sni]]\n{route}\n")).collect();
    format!("[listeners.{name}]\nbind = [\"{bind}\"]\nprotocol = \"tls\"\n{lines}\n{routes}")
}

fn route(names: &[&str], alpn: &[&str], pool: &str) -> String {
    format!("names = {names:?}\nalpn = {alpn:?}\npool = \"{pool}\"")
}

/// Who serves a client with this hello, and gets it as it was sent.
#[track_caller]
fn served_by(address: SocketAddr, hello: &Hello) -> String {
    open(address, hello).1
}

/// A connection that is served, and by whom.
#[track_caller]
fn open(address: SocketAddr, hello: &Hello) -> (TcpStream, String) {
    let hello = hello.bytes();
    let stream = sent(address, &hello);
    let name = greeted(&stream, &hello);
    (stream, name)
}

/// A connection on which `bytes` were sent.
#[track_caller]
fn sent(address: SocketAddr, bytes: &[u8]) -> TcpStream {
    let stream = client::connect(address).unwrap();
    (&stream).write_all(bytes).unwrap();
    stream
}

/// Who greets a client that has sent `hello`, and sends exactly that back.
#[track_caller]
fn greeted(stream: &TcpStream, hello: &[u8]) -> String {
    let name = client::read_line(stream).unwrap();
    assert!(client::read_bytes(stream, hello.len()).unwrap() == hello, "{name} got another hello");
    name
}

/// What becomes of a connection that begins with `bytes`.
#[track_caller]
fn ended(address: SocketAddr, bytes: &[u8]) -> Ended {
    let stream = sent(address, bytes);
    let (bytes, end) = client::read_to_end(&stream);
    Ended { client: stream.local_addr().unwrap(), bytes, end }
}

/// The record with which a fatal alert goes over the wire.
fn alert(code: u8) -> Vec<u8> {
    vec![21, 3, 3, 0, 2, 2, code]
}

/// How many connections of the listener have ended for this reason.
#[track_caller]
fn count(daemon: &Daemon, listener: &str, reason: &str) -> f64 {
    daemon.metric(&format!("sluice_listener_ended_total{{listener=\"{listener}\",reason=\"{reason}\"}}"))
}

/// Waits until the listener has accepted so many connections.
#[track_caller]
fn wait_accepted(daemon: &Daemon, listener: &str, count: usize) {
    let metric = format!("sluice_listener_connections_total{{listener=\"{listener}\"}}");
    let what = format!("{listener} has accepted {count} connections");
    eventually(PATIENCE, &what, || daemon.metrics().lines().any(|line| line == format!("{metric} {count}")));
}
