//! The example configuration for datagrams does what it says, started as it is.

use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;

use lb_admin::BackendState;
use lb_model::Termination;
use lb_tests::{Lab, Launch, NameServer, UdpBackend, UdpClient};

#[test]
fn the_example_serves_dns_and_logs() {
    // A network of its own, so that its ports are free.
    let Some(lab) = Lab::require(0) else { return };
    let network = &lab.balancer;
    let local = |host, port| SocketAddr::new(Ipv4Addr::new(127, 0, 0, host).into(), port);
    let servers = [1, 2].map(|host| network.enter(|| NameServer::start(local(host, 9153))));
    for server in &servers {
        server.addresses("example.com", &[Ipv4Addr::new(192, 0, 2, 1).into()]);
    }
    let logs = [1, 2]
        .map(|host| network.enter(|| UdpBackend::start(&format!("127.0.0.{host}:9514"), local(host, 9514))));
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../config/udp-dns.toml");
    let daemon = Launch::with_file(&file).inside(network).start();

    let dig = |command: &mut Command| {
        let output = command.args(["@127.0.0.1", "-p", "8153", "+short", "+time=20", "example.com"]).output();
        String::from_utf8(output.unwrap().stdout).unwrap()
    };
    assert_eq!(dig(&mut network.command("dig")), "192.0.2.1\n");
    daemon.wait_for_log("the question", |line| line.text.contains(Termination::Finished.label()));

    // What one host says is on one server.
    let clients: Vec<_> = (0..8).map(|_| network.enter(|| UdpClient::new(local(1, 8514)))).collect();
    let places: Vec<_> = clients.iter().map(UdpClient::served_by).collect();
    assert!(places.iter().all(|place| *place == places[0]), "{places:?}");
    for log in &logs {
        daemon.wait_for_state("log", log.name(), BackendState::Active);
    }
}
