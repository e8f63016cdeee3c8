//! Wildcard binds: answers come from the address that the client sent to. Clients' sockets are connected, so they would not
//! get them from another.

use std::net::SocketAddr;

use lb_tests::{Config, Lab, Launch, UdpBackend, UdpClient};

use super::{LONG, wait_for_flows};

#[test]
fn answers_come_from_the_address_that_was_sent_to() {
    // A network of its own, where wildcards are free.
    let Some(lab) = Lab::require(0) else { return };
    let network = &lab.balancer;
    network.ip("address add 10.99.0.1/32 dev lo\naddress add fd99::1/128 dev lo nodad").unwrap();
    let backend = network.enter(|| UdpBackend::start("a", "127.0.0.1:9000".parse().unwrap()));
    let config = [("v4", "0.0.0.0:81"), ("v6", "[::]:82"), ("both", "*:83")];
    let config = config.into_iter().fold(Config::new(), |config, (name, bind)| {
        config.udp_listener(name, bind, LONG).udp_pool(name, [&backend], "")
    });
    let daemon = Launch::new(config).inside(network).start();
    let v4 = ["127.0.0.1", "127.0.0.2", "127.200.0.3", "10.99.0.1"];
    let v6 = ["[::1]", "[fd99::1]"];
    let addresses = |hosts: &[&str], port: u16| -> Vec<SocketAddr> {
        hosts.iter().map(|host| format!("{host}:{port}").parse().unwrap()).collect()
    };
    for (listener, addresses) in [
        ("v4", addresses(&v4, 81)),
        ("v6", addresses(&v6, 82)),
        ("both", [addresses(&v4, 83), addresses(&v6, 83)].concat()),
    ] {
        let clients: Vec<_> =
            addresses.iter().map(|&address| network.enter(|| UdpClient::new(address))).collect();
        // Several answers at once, so that some leave in one message.
        for client in &clients {
            (0..20).for_each(|number| client.send(&[number; 10]));
        }
        for client in &clients {
            (0..20).for_each(|number| assert_eq!(client.receive_tagged().1, [number; 10]));
        }
        wait_for_flows(&daemon, listener, addresses.len() as u64);
    }
}

/// `[::]` is not IPv4's, and a single address goes before a wildcard.
#[test]
fn a_single_address_wins_over_a_wildcard() {
    let Some(lab) = Lab::require(0) else { return };
    let network = &lab.balancer;
    let start = |name, address: &str| network.enter(|| UdpBackend::start(name, address.parse().unwrap()));
    let (all, one, v6) =
        (start("all", "127.0.0.1:9000"), start("one", "127.0.0.1:9001"), start("v6", "127.0.0.1:9002"));
    let config = Config::new()
        .udp_listener("all", "0.0.0.0:81", LONG)
        .udp_pool("all", [&all], "")
        .udp_listener("one", "127.0.0.1:81", LONG)
        .udp_pool("one", [&one], "")
        .udp_listener("v6", "[::]:81", LONG)
        .udp_pool("v6", [&v6], "");
    let _daemon = Launch::new(config).inside(network).start();
    for (address, backend) in [("127.0.0.1:81", "one"), ("127.0.0.2:81", "all"), ("[::1]:81", "v6")] {
        let client = network.enter(|| UdpClient::new(address.parse().unwrap()));
        assert_eq!(client.served_by(), backend, "{address}");
    }
}
