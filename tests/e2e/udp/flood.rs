//! Drill: many new clients at once, more than there may be flows.

use std::net::{Ipv4Addr, SocketAddr};

use lb_tests::{UdpClient, eventually};

use super::{LONG, PATIENCE, Site, ask_all, wait_for_dropped};

/// Flows that there may be.
const LIMIT: usize = 200;
/// Clients that are there before.
const CLIENTS: usize = 50;
/// New source ports, in bursts that fit into the sockets of a daemon without privileges.
const BURSTS: u8 = 20;
const BURST: usize = 300;

/// Catches: a flood that costs those who are served a datagram, or their flow.
#[test]
fn a_flood_of_new_flows_is_shed_and_those_that_there_are_lose_nothing() {
    let site = Site::start(["a", "b"], &format!("{LONG}\nmax_connections = {LIMIT}"), "");
    let clients = site.clients(CLIENTS);
    let served = ask_all(&clients);
    let shed = LIMIT - CLIENTS;
    std::thread::scope(|scope| {
        let flood = scope.spawn(|| {
            for burst in 1..=BURSTS {
                // All from ports of their own: a port that was used again would be known already.
                let source = SocketAddr::new(Ipv4Addr::new(127, 5, 0, burst).into(), 0);
                let burst = usize::from(burst);
                let flood: Vec<_> = (0..BURST).map(|_| UdpClient::from(source, site.listen())).collect();
                flood.iter().for_each(|client| client.send(b"flood"));
                wait_for_dropped(&site.daemon, "dns", "new_flow_shed", (burst * BURST - shed) as u64);
            }
        });
        let mut rounds = 0;
        while !flood.is_finished() {
            // Each of these has to be answered: a datagram that is lost fails the test.
            assert_eq!(ask_all(&clients), served, "round {rounds}");
            rounds += 1;
        }
        assert!(rounds > 0);
    });
    assert_eq!(ask_all(&clients), served);
    site.wait_for_flows(LIMIT as u64);
    let flood: usize = site
        .backends
        .iter()
        .map(|backend| backend.received())
        .map(|received| received.iter().filter(|received| received.payload == b"flood").count())
        .sum();
    assert_eq!(flood, shed, "as many as there were places for");

    // It is over when its flows are idle.
    site.daemon.reload(site.config(&format!("idle_timeout = \"200ms\"\nmax_connections = {LIMIT}"), ""));
    site.wait_for_flows(0);
    site.daemon.reload(site.config(&format!("{LONG}\nmax_connections = {LIMIT}"), ""));
    ask_all(&site.clients(LIMIT));
    eventually(PATIENCE, "all flows from before have ended", || site.daemon.access_records().len() == LIMIT);
}
