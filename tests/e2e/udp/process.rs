//! The end of the process: flows may finish, for a while.

use std::time::Duration;

use lb_model::Termination;
use lb_tests::{Config, Daemon, Loopback, UdpAnswers, UdpBackend, UdpClient};
use rustix::process::Signal;

use super::{LONG, ONE_SHOT};

const SOON: Duration = Duration::from_secs(10);

struct Site {
    at: Loopback,
    backend: UdpBackend,
    daemon: Daemon,
}

impl Site {
    fn start(drain_timeout: &str, listener: &str) -> Self {
        let at = Loopback::new();
        let backend = UdpBackend::answering(UdpAnswers::None, "a", at.backend(0));
        let config = Config::new().global(&format!("drain_timeout = \"{drain_timeout}\""));
        let config = config.udp_listener("dns", at.port(0), listener).udp_pool("dns", [&backend], "");
        Self { at, daemon: Daemon::start(config), backend }
    }

    /// Clients whose question the backend has, some on each worker.
    fn asked(&self) -> Vec<UdpClient> {
        let clients: Vec<_> = (0..20).map(|_| UdpClient::new(self.at.port(0))).collect();
        clients.iter().for_each(|client| client.send(b"question"));
        self.backend.wait_received(clients.len());
        clients
    }

    fn drain(&self) {
        self.daemon.signal(Signal::TERM);
        self.daemon.wait_for_log("it drains", |line| line.says("draining"));
    }
}

#[test]
fn an_idle_daemon_ends_at_once() {
    for signal in [Signal::TERM, Signal::INT] {
        let mut site = Site::start("10m", LONG);
        site.daemon.signal(signal);
        assert!(site.daemon.wait_exit(SOON).success(), "{signal:?}:\n{}", site.daemon.log_text());
    }
}

#[test]
fn what_was_asked_is_answered_before_the_daemon_ends() {
    let mut site = Site::start("10m", ONE_SHOT);
    let clients = site.asked();
    site.drain();
    assert!(site.daemon.is_running());
    for received in site.backend.received() {
        site.backend.send(received.from, b"answer");
    }
    clients.iter().for_each(|client| assert_eq!(client.receive(), b"answer"));
    assert!(site.daemon.wait_exit(SOON).success(), "{}", site.daemon.log_text());
    let records = site.daemon.wait_for_records(clients.len());
    assert!(records.iter().all(|record| record.reason == Termination::Finished), "{records:?}");
    UdpClient::new(site.at.port(0)).wait_refused();
}

/// Catches: a worker that is done and closes its socket. The kernel then sends what clients of the others say to another
/// worker, who does not know them.
#[test]
fn flows_of_one_worker_go_on_when_another_is_done() {
    // Few clients, so that some workers have none and are done at once, and others one after the other.
    for _ in 0..6 {
        let mut site = Site::start("10m", ONE_SHOT);
        let clients: Vec<_> = (0..6).map(|_| UdpClient::new(site.at.port(0))).collect();
        for (count, client) in (1..).zip(&clients) {
            client.send(b"question");
            site.backend.wait_received(count);
        }
        let flows = site.backend.received();
        site.drain();
        for ((count, client), flow) in (7..).zip(&clients).zip(&flows) {
            client.send(b"another");
            let received = site.backend.wait_received(count);
            assert_eq!(received[count - 1].from, flow.from, "it is the same flow");
            (0..2).for_each(|_| site.backend.send(flow.from, b"answer"));
            (0..2).for_each(|_| assert_eq!(client.receive(), b"answer"));
            site.daemon.wait_for_record(client.address());
        }
        assert!(site.daemon.wait_exit(SOON).success(), "{}", site.daemon.log_text());
    }
}

#[test]
fn a_daemon_that_drains_begins_no_flows() {
    let site = Site::start("10m", ONE_SHOT);
    let clients = site.asked();
    site.drain();
    // Workers hear of it one after the other.
    let mut sent = 0;
    lb_tests::eventually(SOON, "a late client is turned away", || {
        let late = UdpClient::new(site.at.port(0));
        late.send(b"late");
        sent += 1;
        let name = "sluice_listener_dropped_datagrams_total{listener=\"dns\",reason=\"draining\"}";
        site.daemon.metric(name) >= 4.0
    });
    let late = site.backend.received().iter().filter(|received| received.payload == b"late").count();
    assert!(late < sent, "{late} of {sent}");
    // Who was there may still ask: their flows go on.
    clients[0].send(b"more");
    let received = site.backend.received();
    site.backend.send(received[0].from, b"answer");
    drop(clients);
}

#[test]
fn flows_that_do_not_end_are_ended_at_the_deadline() {
    let mut site = Site::start("300ms", LONG);
    let clients = site.asked();
    site.daemon.signal(Signal::TERM);
    assert!(site.daemon.wait_exit(SOON).success(), "{}", site.daemon.log_text());
    let records = site.daemon.wait_for_records(clients.len());
    assert_eq!(records.len(), clients.len());
    assert!(records.iter().all(|record| record.reason == Termination::Shutdown), "{records:?}");
}

#[test]
fn a_second_signal_ends_flows_at_once() {
    let mut site = Site::start("10m", LONG);
    let clients = site.asked();
    site.drain();
    site.daemon.signal(Signal::TERM);
    site.daemon.wait_exit(SOON);
    let records = site.daemon.wait_for_records(clients.len());
    assert_eq!(records.len(), clients.len());
    assert!(records.iter().all(|record| record.reason == Termination::Shutdown), "{records:?}");
}
