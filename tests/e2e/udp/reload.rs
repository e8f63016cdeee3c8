//! Reloads: flows do not notice what is not about them.

use std::net::UdpSocket;

use lb_model::Termination;
use lb_tests::{
    Backend, Behaviour, Config, Daemon, Loopback, Received, UdpAnswers, UdpBackend, UdpClient, client,
    eventually,
};

use super::{LONG, PATIENCE, Site, ask_all, wait_for_flows};

#[test]
fn flows_keep_backend_and_port_over_fifty_reloads() {
    let site = Site::start(["a", "b"], LONG, "balance = \"round_robin\"");
    let clients = site.clients(30);
    let served = ask_all(&clients);
    for round in 0..50_u16 {
        let (listener, pool) = if round % 2 == 0 {
            (format!("{LONG}\nmax_connections = {}", 100 + round), "balance = \"hash\"")
        } else {
            (format!("{LONG}\ndeny = [\"10.0.0.0/8\"]"), "balance = \"random\"")
        };
        // Beside it come and go another listener and another pool.
        let config = site.config(&listener, pool).udp_listener("other", site.at.port(1 + round % 3), LONG);
        site.daemon.reload(config.udp_pool("other", [&site.backends[usize::from(round % 2)]], ""));
        assert_eq!(ask_all(&clients), served, "after reload {round}");
    }
    site.wait_for_flows(30);
    assert!(site.daemon.access_records().is_empty());
}

/// Datagrams are on their way while the configuration changes.
#[test]
fn nothing_is_lost_while_reloads_go_on() {
    let site = Site::start(["a", "b"], LONG, "");
    let clients = site.clients(10);
    let served = ask_all(&clients);
    std::thread::scope(|scope| {
        let reloads = scope.spawn(|| {
            for round in 0..20 {
                site.daemon.reload(site.config(&format!("{LONG}\nmax_connections = {}", 50 + round), ""));
            }
        });
        while !reloads.is_finished() {
            assert_eq!(ask_all(&clients), served);
        }
    });
    assert_eq!(ask_all(&clients), served);
}

/// Catches: a shorter timeout that flows do not know of until their next datagram.
#[test]
fn a_shorter_idle_timeout_ends_flows_that_there_are() {
    let site = Site::start(["a"], LONG, "");
    let clients = site.clients(20);
    ask_all(&clients);
    site.daemon.reload(site.config("idle_timeout = \"100ms\"", ""));
    let records = site.daemon.wait_for_records(20);
    assert!(records.iter().all(|record| record.reason == Termination::IdleTimeout));
    site.wait_for_flows(0);
}

#[test]
fn a_longer_idle_timeout_holds_for_flows_that_there_are() {
    let site = Site::start(["a"], "idle_timeout = \"3s\"", "");
    let clients = site.clients(10);
    let served = ask_all(&clients);
    site.daemon.reload(site.config(LONG, ""));
    lb_tests::observe(std::time::Duration::from_secs(4));
    assert_eq!(ask_all(&clients), served);
    assert!(site.daemon.access_records().is_empty());
}

#[test]
fn one_shot_mode_holds_for_flows_that_there_are() {
    let site = Site::start(["a"], LONG, "");
    let client = site.client();
    let served = client.ask(b"a flow");
    site.daemon.reload(site.config(&format!("{LONG}\nreplies = 1"), ""));
    assert_eq!(client.ask(b"the last"), served);
    let record = site.daemon.wait_for_record(client.address());
    assert_eq!((record.reason, record.datagrams_in), (Termination::Finished, Some(2)));

    site.daemon.reload(site.config(LONG, ""));
    let served = client.ask(b"a flow");
    assert_eq!(client.ask(b"that stays"), served);
    site.wait_for_flows(1);
}

/// The pool has another name too, so its backends are others: flows move there, with their first datagram.
#[test]
fn flows_of_a_listener_that_is_renamed_with_its_pool_lose_nothing() {
    let site = Site::start(["a", "b"], LONG, "balance = \"round_robin\"");
    let clients = site.clients(20);
    ask_all(&clients);
    let renamed = Config::new().udp_listener("names", site.listen(), LONG);
    site.daemon.reload(renamed.udp_pool("names", &site.backends, "balance = \"round_robin\""));
    let moved = ask_all(&clients);
    assert_eq!(ask_all(&clients), moved);
    assert!(site.daemon.access_records().is_empty());
    let new = site.clients(5);
    ask_all(&new);
    wait_for_flows(&site.daemon, "names", 5);
    assert_eq!(
        site.daemon.backend("names", "a").connections + site.daemon.backend("names", "b").connections,
        25
    );
}

/// Only the name is another.
#[test]
fn a_listener_with_another_name_and_the_same_pool_keeps_its_flows() {
    let at = Loopback::new();
    let backends = [0, 1].map(|i| UdpBackend::start(&format!("b{i}"), at.backend(i)));
    let config = |name: &str| {
        let listener = format!(
            "[listeners.{name}]\nbind = [\"{}\"]\nprotocol = \"udp\"\npool = \"pool\"\n{LONG}",
            at.port(0)
        );
        Config::new().table(&listener).udp_pool("pool", &backends, "balance = \"round_robin\"")
    };
    let daemon = Daemon::start(config("before"));
    let clients: Vec<_> = (0..20).map(|_| UdpClient::new(at.port(0))).collect();
    let served = ask_all(&clients);
    for name in ["after", "before", "after"] {
        daemon.reload(config(name));
        assert_eq!(ask_all(&clients), served, "{name}");
    }
    assert!(daemon.access_records().is_empty());
}

#[test]
fn a_removed_listener_finishes_its_flows_and_begins_none() {
    let site = Site::answering(UdpAnswers::None, ["a"], LONG, "");
    let other = || Config::new().udp_listener("other", site.at.port(1), LONG);
    let clients = site.clients(8);
    for client in &clients {
        client.send(b"before");
    }
    let flows: Vec<_> = site.backend().wait_received(8).into_iter().map(|received| received.from).collect();
    site.daemon.reload(other().udp_pool("other", &site.backends, ""));

    // On all workers: the kernel chooses the socket by the client's port.
    let late = site.clients(8);
    late.iter().for_each(|client| client.send(b"late"));
    for flow in &flows {
        site.backend().send(*flow, b"answer");
    }
    for client in &clients {
        assert_eq!(client.receive(), b"answer");
        client.send(b"after");
    }
    let received = site.backend().wait_received(16);
    assert!(received.iter().skip(8).all(|received| flows.contains(&received.from)), "they go on");

    // The same address again: it is served, whoever has asked before.
    site.daemon.reload(site.config(LONG, ""));
    for client in &late {
        let own = client.address().to_string();
        let mut flow = None;
        // The first may find a socket that is just being closed.
        eventually(PATIENCE, "a late client is served", || {
            client.send(own.as_bytes());
            let received = site.backend().received();
            flow = received.iter().rev().find(|received| received.payload == own.as_bytes()).map(|r| r.from);
            flow.is_some()
        });
        site.backend().send(flow.unwrap(), b"welcome");
        assert_eq!(client.receive(), b"welcome");
    }
    let late = |received: &Received| received.payload == b"late";
    assert!(!site.backend().received().iter().any(late), "nobody got what was sent between");
}

/// Catches: sockets of removed listeners that stay open for ever.
#[test]
fn the_port_of_a_removed_listener_is_closed_when_its_flows_have_ended() {
    let site = Site::answering(UdpAnswers::None, ["a"], "idle_timeout = \"1h\"\nreplies = 1", "");
    let client = site.client();
    client.send(b"question");
    let flow = site.backend().wait_received(1)[0].from;
    let without = Config::new().udp_listener("other", site.at.port(1), LONG);
    site.daemon.reload(without.udp_pool("other", &site.backends, ""));
    site.backend().send(flow, b"answer");
    assert_eq!(client.receive(), b"answer");
    assert_eq!(site.daemon.wait_for_record(client.address()).reason, Termination::Finished);
    site.client().wait_refused();
    // Anybody may have it now.
    let other = UdpSocket::bind(site.listen()).unwrap();
    site.daemon.configure(site.config(LONG, ""));
    let output = site.daemon.command(["reload"]);
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(!output.status.success() && message.contains("in use"), "{message}");
    assert!(message.contains(&site.listen().to_string()) && message.contains("ss -lntup"), "{message}");
    drop(other);
}

#[test]
fn an_address_that_another_program_has_is_refused_and_nothing_changes() {
    let site = Site::start(["a"], LONG, "");
    let client = site.client();
    let served = client.ask(b"who?");
    let other = UdpSocket::bind(site.at.port(1)).unwrap();
    let both = || {
        let config = site.config(LONG, "").udp_listener("second", site.at.port(1), LONG);
        config.udp_pool("second", &site.backends, "")
    };
    site.daemon.configure(both());
    let output = site.daemon.command(["reload"]);
    assert!(!output.status.success());
    let message = String::from_utf8(output.stderr).unwrap();
    let address = site.at.port(1).to_string();
    assert!(message.contains("\"second\"") && message.contains(&address), "where: {message}");
    assert!(message.contains("in use") && message.contains("ss -lntup"), "what to do: {message}");
    assert_eq!(client.ask(b"still?"), served);

    drop(other);
    UdpClient::new(site.at.port(1)).wait_refused();
    site.daemon.sluice(["reload"]);
    assert_eq!(UdpClient::new(site.at.port(1)).served_by(), "a");
    assert_eq!(client.ask(b"still?"), served);
}

#[test]
fn an_address_goes_from_tcp_to_udp_and_back() {
    let at = Loopback::new();
    let stream = Backend::start("stream", at.backend(0), Behaviour::Tag);
    let datagrams = UdpBackend::start("datagrams", at.backend(0));
    let tcp = || Config::new().listener("web", at.port(0), "").pool("web", [&stream], "");
    let udp = || Config::new().udp_listener("web", at.port(0), LONG).udp_pool("web", [&datagrams], "");
    let daemon = Daemon::start(tcp());
    for round in 0..3 {
        let connection = client::connect(at.port(0)).unwrap();
        assert_eq!(client::read_line(&connection).unwrap(), "stream", "{round}");
        daemon.reload(udp());
        let refused = client::connect(at.port(0)).unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused, "{round}");
        assert_eq!(UdpClient::new(at.port(0)).served_by(), "datagrams", "{round}");
        daemon.reload(tcp());
    }
}
