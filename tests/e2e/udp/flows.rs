//! Flows: one backend each, and nothing is lost, mixed up or changed on the way.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use lb_model::Termination;
use lb_tests::{
    Backend, Behaviour, Config, Content, Daemon, Digest, Loopback, UdpAnswers, UdpBackend, UdpClient, client,
};

use super::{LONG, Site, WORKERS, ask_all, end_at_once, shares, wait_for_metric};

/// Catches: a backend that is chosen for each datagram, and clients whose flows are mixed up.
#[test]
fn a_client_stays_with_its_backend_whatever_the_algorithm() {
    for balance in ["hash", "round_robin", "ip_hash", "least_connections", "least_response_time", "random"] {
        let site = Site::start(["a", "b", "c"], LONG, &format!("balance = \"{balance}\""));
        let clients = site.clients(60);
        let served = ask_all(&clients);
        for _ in 0..4 {
            assert_eq!(ask_all(&clients), served, "{balance}");
        }
        assert_eq!(served.iter().collect::<BTreeSet<_>>().len(), 60, "{balance}: no two share a flow");
        let shares = shares(&served);
        match balance {
            "ip_hash" => assert_eq!(shares.len(), 1, "it is one address: {shares:?}"),
            "round_robin" => assert!(shares.values().all(|n| n.abs_diff(20) <= WORKERS), "{shares:?}"),
            "least_connections" => assert!(shares.values().all(|&n| n == 20), "{shares:?}"),
            _ => assert_eq!(shares.len(), 3, "{balance}: some for everybody"),
        }
        site.wait_for_flows(60);
    }
}

/// Round robin is exact where there is one worker: several go round each for itself.
#[test]
fn round_robin_respects_weights() {
    let at = Loopback::new();
    let [a, b] = [("a", 0), ("b", 1)].map(|(name, i)| UdpBackend::start(name, at.backend(i)));
    let entries = [a.entry("weight = 3"), b.entry("")];
    let config = Config::new().udp_listener("dns", at.port(0), LONG);
    let config = config.pool_of("dns", &entries, "balance = \"round_robin\"").to_string();
    let _daemon = Daemon::start(config.replace("workers = 4", "workers = 1"));
    let clients: Vec<_> = (0..40).map(|_| UdpClient::new(at.port(0))).collect();
    let served = ask_all(&clients);
    assert_eq!(shares(&served).into_iter().collect::<Vec<_>>(), [("a", 30), ("b", 10)]);
}

#[test]
fn a_hash_knows_a_client_again_whose_flow_has_ended() {
    for balance in ["hash", "ip_hash"] {
        let site = Site::start(["a", "b", "c"], "replies = 1", &format!("balance = \"{balance}\""));
        // By its port for one, by its address for the other.
        let source = |i: u8| SocketAddr::new(Ipv4Addr::new(127, 3, 0, i).into(), 0);
        let clients: Vec<_> = (1..=60).map(|i| UdpClient::from(source(i), site.listen())).collect();
        let places = || clients.iter().map(UdpClient::served_by).collect::<Vec<_>>();
        let first = places();
        assert_eq!(places(), first, "{balance}");
        assert_eq!(first.iter().collect::<BTreeSet<_>>().len(), 3, "{balance}: some for everybody");
        assert_eq!(site.daemon.wait_for_records(120).len(), 120, "each question was a flow of its own");
    }
}

/// Catches: a listener that joins, cuts or drops what is empty or large.
#[test]
fn datagrams_of_any_size_arrive_unchanged_both_ways() {
    const LARGEST: usize = 65_507;

    let site = Site::answering(UdpAnswers::Echo, ["a"], LONG, "");
    let client = site.client();
    let sizes = [0, 1, 0, 0, 2, 511, 1472, 1473, 9000, 32_768, 65_506, LARGEST, 0, LARGEST];
    let content = |seed: usize, size| Content::new(seed as u64).take(size);
    for (seed, size) in sizes.into_iter().enumerate() {
        client.send(&content(seed, size));
        let answer = client.receive();
        assert_eq!(Digest::of(&answer), Digest::of(&content(seed, size)), "of {size} bytes");
    }
    for ((seed, size), received) in sizes.into_iter().enumerate().zip(site.backend().received()) {
        assert_eq!(Digest::of(&received.payload), Digest::of(&content(seed, size)), "of {size} bytes");
    }
    client.assert_nothing_more();
    end_at_once(&site.daemon);
    let record = site.daemon.wait_for_record(client.address());
    let bytes = sizes.iter().sum::<usize>() as u64;
    assert_eq!((record.bytes_in, record.bytes_out), (bytes, bytes));
    assert_eq!((record.datagrams_in, record.datagrams_out), (Some(14), Some(14)));
}

/// Catches: batches whose parts overtake each other, and what is joined on the way and not taken apart again.
#[test]
fn a_burst_keeps_its_order_and_its_datagrams() {
    const BURST: usize = 500;
    /// What a socket of the daemon has room for without privileges.
    const ROOM: usize = 100;

    // The kernel joins those of one size. Small ones, so that they fit into any socket.
    for size in [|_| 32, |index| index % 97] {
        let site = Site::answering(UdpAnswers::None, ["a"], LONG, "");
        let client = site.client();
        let content = |index: usize| Content::new(index as u64).take(size(index));
        for index in 0..BURST {
            client.send(&content(index));
        }
        let received = site.backend().wait_received(BURST);
        let from = received[0].from;
        for (index, received) in received.iter().enumerate() {
            assert_eq!(received.from, from, "it is one flow");
            assert!(received.payload == content(index), "number {index} is another");
        }
        for indexes in (0..BURST).collect::<Vec<_>>().chunks(ROOM) {
            for &index in indexes {
                site.backend().send(from, &content(index));
            }
            for &index in indexes {
                assert!(client.receive() == content(index), "answer {index} is another");
            }
        }
        client.assert_nothing_more();
        assert_eq!(site.backend().count(), BURST);
    }
}

/// Catches: answers that go to another client, under load of many flows on all workers.
#[test]
fn clients_at_once_get_their_own_answers() {
    let site = Site::start(["a", "b", "c"], LONG, "");
    let clients = site.clients(100);
    for round in 0..20_u64 {
        let content = |index: usize| Content::new(round * 1000 + index as u64).take(50 + index);
        for (index, client) in clients.iter().enumerate() {
            client.send(&content(index));
        }
        for (index, client) in clients.iter().enumerate() {
            assert!(client.receive_tagged().1 == content(index), "client {index} has got another's answer");
        }
    }
    site.wait_for_flows(100);
}

#[test]
fn each_address_and_port_that_a_client_sends_to_is_another_flow() {
    let (at, beside) = (Loopback::new(), Loopback::new());
    let backend = UdpBackend::start("a", at.backend(0));
    let bind = format!("\"{}:20000-20004\", \"{}\"", at.ip(), beside.port(7));
    let listener = format!("[listeners.dns]\nbind = [{bind}]\nprotocol = \"udp\"\npool = \"dns\"\n{LONG}");
    let daemon = Daemon::start(Config::new().table(&listener).udp_pool("dns", [&backend], ""));
    let locals = [at.port(0), at.port(1), at.port(2), at.port(3), at.port(4), beside.port(7)];
    let source = Loopback::new().port(0);
    let client = UdpClient::from(source, locals[0]);
    let mut ports = BTreeSet::new();
    for local in locals {
        client.turn_to(local);
        let served = client.ask(b"who?");
        assert_eq!(client.ask(b"and now?"), served);
        ports.insert(served.port);
    }
    assert_eq!(ports.len(), locals.len());
    end_at_once(&daemon);
    let records = daemon.wait_for_records(locals.len());
    assert!(records.iter().all(|record| record.client == source));
    let seen: BTreeSet<_> = records.iter().map(|record| record.local).collect();
    assert_eq!(seen, BTreeSet::from(locals));
}

#[test]
fn a_backend_without_a_port_is_served_on_that_of_the_listener() {
    let (at, there) = (Loopback::new(), Loopback::new());
    let backends = [0, 1].map(|i| UdpBackend::start(&format!("b{i}"), there.port(i)));
    let entry = format!("{{ address = \"{}\", name = \"host\" }}", there.ip());
    let config = Config::new().udp_listener("dns", format!("{}:20000-20001", at.ip()), LONG);
    let _daemon = Daemon::start(config.pool_of("dns", &[entry], ""));
    for (i, backend) in (0..).zip(&backends) {
        assert_eq!(UdpClient::new(at.port(i)).served_by(), backend.name());
    }
}

#[test]
fn each_family_is_served_by_either() {
    let at = Loopback::new();
    let v4 = UdpBackend::start("v4", at.backend(0));
    let v6 = UdpBackend::start("v6", Loopback::v6());
    let (listen_to4, listen_to6) = (Loopback::v6(), Loopback::v6());
    let config = Config::new()
        .udp_listener("v6to4", listen_to4, "replies = 1")
        .udp_pool("v6to4", [&v4], "")
        .udp_listener("v6to6", listen_to6, "replies = 1")
        .udp_pool("v6to6", [&v6], "")
        .udp_listener("v4to6", at.port(0), "replies = 1")
        .udp_pool("v4to6", [&v6], "");
    let daemon = Daemon::start(config);
    for (local, backend) in [(listen_to4, "v4"), (listen_to6, "v6"), (at.port(0), "v6")] {
        let client = UdpClient::new(local);
        assert_eq!(client.served_by(), backend);
        let record = daemon.wait_for_record(client.address());
        assert_eq!((record.local, record.reason), (local, Termination::Finished));
    }
}

#[test]
fn tcp_and_udp_have_ports_of_their_own() {
    let at = Loopback::new();
    let stream = Backend::start("stream", at.backend(0), Behaviour::Tag);
    let datagrams = UdpBackend::start("datagrams", at.backend(0));
    let config = Config::new()
        .listener("tcp", at.port(0), "")
        .pool("tcp", [&stream], "")
        .udp_listener("udp", at.port(0), LONG)
        .udp_pool("udp", [&datagrams], "");
    let daemon = Daemon::start(config);
    let mut connection = client::connect(at.port(0)).unwrap();
    assert_eq!(client::read_line(&connection).unwrap(), "stream");
    assert_eq!(UdpClient::new(at.port(0)).served_by(), "datagrams");
    connection.write_all(b"!").unwrap();
    assert_eq!(client::read_bytes(&connection, 1).unwrap(), b"!");
    for listener in ["tcp", "udp"] {
        wait_for_metric(&daemon, &format!("sluice_listener_connections_total{{listener=\"{listener}\"}}"), 1);
    }
}

/// Catches: flows that are told apart by the client's port alone.
#[test]
fn hosts_of_one_network_are_told_apart() {
    /// Below those that the kernel gives to anybody.
    const PORT: u16 = 20_000;

    let site = Site::start(["a", "b"], LONG, "balance = \"least_connections\"");
    let host = |i| IpAddr::from(Ipv4Addr::new(127, 4, 0, i));
    let clients: Vec<_> =
        (1..=20).map(|i| UdpClient::from(SocketAddr::new(host(i), PORT), site.listen())).collect();
    let served = ask_all(&clients);
    assert_eq!(shares(&served).into_iter().collect::<Vec<_>>(), [("a", 10), ("b", 10)]);
    assert_eq!(ask_all(&clients), served);
}
