//! Datagrams, relayed in flows.

mod dns;
mod ends;
mod examples;
mod failure;
mod flood;
mod flows;
mod limits;
mod metrics;
mod process;
mod reload;
mod wildcard;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use lb_tests::{Config, Daemon, Loopback, Served, UdpAnswers, UdpBackend, UdpClient, eventually};
use rustix::process::Signal;

/// How long a test waits for something that has to happen, with much room for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// As many as [`Config`] says. Each has its own socket, and the kernel chooses one for a client by its port.
const WORKERS: usize = 4;

/// Flows that end when the test says so: not by themselves.
const LONG: &str = "idle_timeout = \"1h\"";

/// Each question has one answer.
const ONE_SHOT: &str = "idle_timeout = \"1h\"\nreplies = 1";

/// A daemon whose listener `dns` is served by some backends.
struct Site {
    at: Loopback,
    backends: Vec<UdpBackend>,
    daemon: Daemon,
}

impl Site {
    /// Backends with these names, which say who they are; further lines for the listener and the pool.
    fn start<const N: usize>(names: [&str; N], listener: &str, pool: &str) -> Self {
        Self::answering(UdpAnswers::Tags(1), names, listener, pool)
    }

    fn answering<const N: usize>(answers: UdpAnswers, names: [&str; N], listener: &str, pool: &str) -> Self {
        let at = Loopback::new();
        let start = |(i, name)| UdpBackend::answering(answers, name, at.backend(i));
        let backends: Vec<_> = (0..).zip(names).map(start).collect();
        let daemon = Daemon::start(config(at, &backends, listener, pool));
        Self { at, backends, daemon }
    }

    /// The configuration that it was started with, with other lines.
    fn config(&self, listener: &str, pool: &str) -> Config {
        config(self.at, &self.backends, listener, pool)
    }

    fn listen(&self) -> SocketAddr {
        self.at.port(0)
    }

    fn client(&self) -> UdpClient {
        UdpClient::new(self.listen())
    }

    fn clients(&self, count: usize) -> Vec<UdpClient> {
        (0..count).map(|_| self.client()).collect()
    }

    /// The backend, where there is one.
    fn backend(&self) -> &UdpBackend {
        self.backends.first().expect("there is one")
    }

    #[track_caller]
    fn wait_for_flows(&self, count: u64) {
        wait_for_flows(&self.daemon, "dns", count);
    }

    #[track_caller]
    fn wait_for_dropped(&self, reason: &str, count: u64) {
        wait_for_dropped(&self.daemon, "dns", reason, count);
    }
}

fn config(at: Loopback, backends: &[UdpBackend], listener: &str, pool: &str) -> Config {
    Config::new().udp_listener("dns", at.port(0), listener).udp_pool("dns", backends, pool)
}

/// Waits until a listener has exactly so many flows.
#[track_caller]
fn wait_for_flows(daemon: &Daemon, listener: &str, count: u64) {
    let name = format!("sluice_listener_active_connections{{listener=\"{listener}\"}}");
    wait_for_metric(daemon, &name, count);
}

/// Waits until so many datagrams were dropped for a reason, and no more.
#[track_caller]
fn wait_for_dropped(daemon: &Daemon, listener: &str, reason: &str, count: u64) {
    let name =
        format!("sluice_listener_dropped_datagrams_total{{listener=\"{listener}\",reason=\"{reason}\"}}");
    wait_for_metric(daemon, &name, count);
}

/// Counters are behind what clients see by an instant.
#[track_caller]
fn wait_for_metric(daemon: &Daemon, name: &str, value: u64) {
    eventually(PATIENCE, &format!("{name} is {value}"), || (daemon.metric(name) - value as f64).abs() < 0.5);
}

/// Ends the daemon and with it all flows, so that their records are written.
fn end_at_once(daemon: &Daemon) {
    daemon.signal(Signal::TERM);
    daemon.wait_for_log("it drains", |line| line.text.contains("drain"));
    daemon.signal(Signal::TERM);
}

/// Who serves each client now.
#[track_caller]
fn ask_all(clients: &[UdpClient]) -> Vec<Served> {
    clients.iter().map(|client| client.ask(b"who?")).collect()
}

/// How many of the clients each backend has.
fn shares(served: &[Served]) -> BTreeMap<&str, usize> {
    let mut shares = BTreeMap::new();
    for served in served {
        *shares.entry(served.backend.as_str()).or_default() += 1;
    }
    shares
}

/// Sends what may be lost again and again, as clients of UDP do, until there is an answer.
#[track_caller]
fn ask_until_answered(client: &UdpClient) -> Served {
    let mut served = None;
    eventually(PATIENCE, "there is an answer", || {
        client.send(b"again?");
        served = client.receive_within(Duration::from_millis(50)).map(|(served, _)| served);
        served.is_some()
    });
    served.expect("it was waited for")
}
