//! Limits and access lists: who is over is dropped and counted, and whoever has a flow keeps it.

use std::net::SocketAddr;

use lb_admin::BackendState;
use lb_model::Termination;
use lb_tests::{Config, Daemon, Lab, Launch, Loopback, UdpAnswers, UdpBackend, UdpClient};

use super::{LONG, ONE_SHOT, Site, ask_all, wait_for_dropped, wait_for_flows, wait_for_metric};

const TOTAL: &str = "sluice_listener_connections_total{listener=\"dns\"}";

#[test]
fn a_full_listener_sheds_new_flows_and_keeps_those_that_it_has() {
    let site = Site::start(["a"], &format!("{LONG}\nmax_connections = 8"), "");
    let clients = site.clients(8);
    let served = ask_all(&clients);
    let late = site.clients(5);
    for round in 1..=3 {
        late.iter().for_each(|client| client.send(b"me too"));
        site.wait_for_dropped("new_flow_shed", round * 5);
        assert_eq!(ask_all(&clients), served);
    }
    site.wait_for_flows(8);
    wait_for_metric(&site.daemon, TOTAL, 8);
    assert!(site.backend().received().iter().all(|received| received.payload != b"me too"));
    assert!(site.daemon.access_records().is_empty(), "what was shed was no flow");
}

#[test]
fn one_client_has_no_more_than_its_share_of_the_flows() {
    let site = Site::start(["a"], &format!("{LONG}\nmax_connections_per_client = 3"), "");
    let source = Loopback::new();
    let from = || UdpClient::from(SocketAddr::new(source.ip(), 0), site.listen());
    let clients: Vec<_> = (0..3).map(|_| from()).collect();
    ask_all(&clients);
    let late = from();
    late.send(b"me too");
    site.wait_for_dropped("client_limit", 1);
    ask_all(&site.clients(3));
    ask_all(&clients);
    site.wait_for_flows(6);
}

#[test]
fn a_place_that_gets_free_is_used() {
    let site = Site::answering(UdpAnswers::None, ["a"], &format!("{ONE_SHOT}\nmax_connections = 1"), "");
    // From many ports: all workers share the one place.
    for number in 0..40 {
        let [first, second] = [site.client(), site.client()];
        first.send(b"first");
        let flow = site.backend().wait_received(number + 1)[number].from;
        second.send(b"second");
        site.wait_for_dropped("new_flow_shed", number as u64 + 1);
        site.backend().send(flow, b"answer");
        assert_eq!(first.receive(), b"answer");
    }
    wait_for_metric(&site.daemon, TOTAL, 40);
}

#[test]
fn the_process_has_a_limit_over_all_listeners() {
    let at = Loopback::new();
    let backend = UdpBackend::start("a", at.backend(0));
    let config = Config::new()
        .global("max_connections = 6")
        .udp_listener("one", at.port(0), LONG)
        .udp_pool("one", [&backend], "")
        .udp_listener("two", at.port(1), LONG)
        .udp_pool("two", [&backend], "");
    let daemon = Daemon::start(config);
    let clients: Vec<_> = (0..6).map(|i| UdpClient::new(at.port(i % 2))).collect();
    let served = ask_all(&clients);
    let late = [0, 1].map(|i| UdpClient::new(at.port(i)));
    late.iter().for_each(|client| client.send(b"me too"));
    for listener in ["one", "two"] {
        wait_for_dropped(&daemon, listener, "new_flow_shed", 1);
        wait_for_flows(&daemon, listener, 3);
    }
    assert_eq!(ask_all(&clients), served);
}

/// Catches: flows that suffer because others find no local port, or ports that are not given back.
#[test]
fn without_a_local_port_a_new_flow_is_refused_and_nothing_else_suffers() {
    const PORTS: usize = 8;
    let Some(lab) = Lab::require(0) else { return };
    let network = &lab.balancer;
    let range = "net.ipv4.ip_local_port_range=40000 40007";
    assert!(network.command("sysctl").args(["-qw", range]).status().unwrap().success());
    let listen = SocketAddr::new(Lab::BALANCER_V4, 20_000);
    let backend = network.enter(|| UdpBackend::start("a", ([127, 0, 0, 1], 21_000).into()));
    let config = |listener| {
        Config::new().udp_listener("dns", listen, listener).udp_pool(
            "dns",
            std::slice::from_ref(&backend),
            "",
        )
    };
    let daemon = Launch::new(config(LONG)).inside(network).start();
    // They have ports of another network.
    let clients =
        |count| -> Vec<_> { (0..count).map(|_| lab.client.enter(|| UdpClient::new(listen))).collect() };
    let first = clients(PORTS);
    let served = ask_all(&first);
    let late = clients(5);
    late.iter().for_each(|client| client.send(b"me too"));
    wait_for_dropped(&daemon, "dns", "local_resources", 5);
    daemon.wait_for_log("what is missing", |line| line.text.contains("a local port"));
    assert_eq!(ask_all(&first), served);
    assert_eq!(daemon.backend("dns", "a").state, BackendState::Active, "it is not its fault");

    daemon.reload(config("idle_timeout = \"1s\""));
    wait_for_flows(&daemon, "dns", 0);
    ask_all(&late);
}

#[test]
fn a_full_backend_is_passed_over_and_where_all_are_full_it_is_told() {
    let at = Loopback::new();
    let [a, b] =
        [("a", 0), ("b", 1)].map(|(name, i)| UdpBackend::answering(UdpAnswers::None, name, at.backend(i)));
    let entries = [a.entry("max_connections = 1"), b.entry("max_connections = 3")];
    let config = Config::new().udp_listener("dns", at.port(0), ONE_SHOT);
    let daemon = Daemon::start(config.pool_of("dns", &entries, "balance = \"round_robin\""));
    let clients: Vec<_> = (0..4).map(|_| UdpClient::new(at.port(0))).collect();
    for (number, client) in (1..).zip(&clients) {
        client.send(b"question");
        wait_for_metric(&daemon, TOTAL, number);
    }
    let first = a.wait_received(1)[0].from;
    b.wait_received(3);
    let late = UdpClient::new(at.port(0));
    late.send(b"late");
    wait_for_dropped(&daemon, "dns", "backends_full", 1);
    assert_eq!(daemon.wait_for_record(late.address()).reason, Termination::QueueFull);
    a.send(first, b"answer");
    assert!(daemon.wait_for_records(2).iter().any(|record| record.reason == Termination::Finished));
    late.send(b"again");
    assert_eq!(a.wait_received(2)[1].payload, b"again", "it has the place that got free");
    assert_eq!((a.count(), b.count()), (2, 3));
    wait_for_flows(&daemon, "dns", 4);
}

#[test]
fn whom_the_access_list_refuses_gets_no_flow() {
    let site = Site::start(["a"], &format!("{LONG}\ndeny = [\"127.9.0.0/16\"]"), "");
    let denied = UdpClient::from("127.9.0.1:0".parse().unwrap(), site.listen());
    for count in 1..=3 {
        denied.send(b"let me in");
        site.wait_for_dropped("denied", count);
    }
    let welcome = UdpClient::from("127.8.0.1:0".parse().unwrap(), site.listen());
    assert_eq!(welcome.served_by(), "a");
    site.wait_for_flows(1);
    wait_for_metric(&site.daemon, TOTAL, 1);
    assert_eq!(site.backend().count(), 1);
    assert!(site.daemon.access_records().is_empty());
}

/// A list says who may begin a flow: as for connections, a change ends none.
#[test]
fn who_has_a_flow_when_the_list_changes_keeps_it() {
    let site = Site::start(["a"], LONG, "");
    let client = site.client();
    let served = client.ask(b"who?");
    site.daemon.reload(site.config(&format!("{LONG}\ndeny = [\"0.0.0.0/0\"]"), ""));
    assert_eq!(client.ask(b"still?"), served);
    site.client().send(b"new");
    site.wait_for_dropped("denied", 1);
}

/// Catches: a lower limit that ends flows, and a higher one that does not hold at once.
#[test]
fn limits_change_without_ending_flows() {
    let limit = |limit| format!("{LONG}\nmax_connections = {limit}");
    let site = Site::start(["a"], &limit(10), "");
    let clients = site.clients(10);
    let served = ask_all(&clients);
    site.daemon.reload(site.config(&limit(2), ""));
    assert_eq!(ask_all(&clients), served);
    site.client().send(b"me too");
    site.wait_for_dropped("new_flow_shed", 1);
    site.daemon.reload(site.config(&limit(12), ""));
    ask_all(&site.clients(2));
    site.client().send(b"me too");
    site.wait_for_dropped("new_flow_shed", 2);
    assert_eq!(ask_all(&clients), served);
}
