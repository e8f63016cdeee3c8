//! The PROXY protocol: who the client is, told from one proxy to the next.

mod chains;
mod incoming;
mod outgoing;
mod programs;
mod refused;

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};

use lb_tests::client::Ended;
use lb_tests::{Backend, Config, Loopback, ProxyHeader, client};

/// Where proxies connect from whose headers count, and where one does whose headers do not.
const TRUSTED: &str = "127.0.0.2:0";
const UNTRUSTED: &str = "127.0.0.3:0";

/// A listener `web`, which trusts [`TRUSTED`], with further lines for it.
fn behind_proxies(at: Loopback, lines: &str) -> Config {
    Config::new().listener("web", at.port(0), &format!("accept_proxy = [\"127.0.0.2\"]\n{lines}"))
}

/// A daemon's configuration: `web` behind proxies, served by `backend`.
fn served(at: Loopback, backend: &Backend, lines: &str) -> Config {
    behind_proxies(at, lines).pool("web", [backend], "")
}

fn address(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

/// A connection from `source` on which `bytes` were sent.
#[track_caller]
fn sent(source: &str, listener: SocketAddr, bytes: &[u8]) -> TcpStream {
    let stream = client::connect_from(address(source), listener).unwrap();
    (&stream).write_all(bytes).unwrap();
    stream
}

/// What becomes of a trusted proxy's connection that begins with `bytes`.
#[track_caller]
fn ended(listener: SocketAddr, bytes: &[u8]) -> Ended {
    let stream = sent(TRUSTED, listener, bytes);
    let (bytes, end) = client::read_to_end(&stream);
    Ended { client: stream.local_addr().unwrap(), bytes, end }
}

/// A header of version 1.
fn line(source: SocketAddr, destination: SocketAddr) -> Vec<u8> {
    let family = if source.is_ipv4() { "TCP4" } else { "TCP6" };
    let (from, to) = (source.port(), destination.port());
    format!("PROXY {family} {} {} {from} {to}\r\n", source.ip(), destination.ip()).into()
}

/// Some client, so that no two of a test have the same address.
fn client_number(number: u8) -> (SocketAddr, SocketAddr) {
    let ends = [format!("192.0.2.{number}:1000"), "198.51.100.1:443".into()];
    let [source, destination] = ends.map(|end| address(&end));
    (source, destination)
}

/// The header of version 2 for [`client_number`].
fn header_of(number: u8) -> ProxyHeader {
    let (source, destination) = client_number(number);
    ProxyHeader::tcp(source, destination)
}
