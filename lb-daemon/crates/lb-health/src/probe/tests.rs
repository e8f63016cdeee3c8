//! Probes against real servers on the loopback. A server is a future that runs beside the probe, for ever.

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use lb_model::{HealthCheck, Probe};
use tokio::net::{TcpListener, UdpSocket};

use super::*;
use crate::schedule::TargetKey;

mod dns;
mod exec;
mod http;
mod tcp;
mod tls;
mod udp;

/// Long enough for everything that answers, however busy the machine is.
const PATIENT: Duration = Duration::from_secs(20);
/// For what never answers.
const SHORT: Duration = Duration::from_millis(500);

fn key(address: SocketAddr, probe: Probe, timeout: Duration) -> ProbeKey {
    let check = HealthCheck { timeout, ..HealthCheck::new(probe) };
    ProbeKey::new(&target(address, check))
}

fn target(address: SocketAddr, check: HealthCheck) -> Target {
    let key = TargetKey { pool: "web".parse().unwrap(), backend: "web-1".parse().unwrap() };
    Target { key, address, check, first: b"" }
}

async fn probe(address: SocketAddr, probe: Probe, timeout: Duration) -> ProbeResult {
    run(&key(address, probe, timeout), &TrustStores::default()).await
}

/// Runs `server` for as long as `client` takes.
async fn beside<T>(server: impl Future, client: impl Future<Output = T>) -> T {
    tokio::select! {
        done = client => done,
        _ = async { server.await; std::future::pending::<()>().await } => unreachable!(),
    }
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

async fn udp_socket() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// An address that refuses: nobody else uses it, and its port was free a moment ago.
async fn refusing() -> SocketAddr {
    TcpListener::bind("127.0.3.2:0").await.unwrap().local_addr().unwrap()
}

fn message(result: ProbeResult) -> String {
    result.unwrap_err().to_string()
}
