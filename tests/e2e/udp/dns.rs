//! Name servers behind a one-shot listener, asked by a resolver that people use.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::process::{Child, Command, Stdio};

use lb_model::Termination;
use lb_tests::{Config, Daemon, Loopback, NameServer};

/// Names, each asked for both its addresses.
const NAMES: u8 = 100;

#[test]
fn two_hundred_questions_at_once_get_their_own_answers() {
    let at = Loopback::new();
    let servers = [0, 1].map(|i| NameServer::start(at.backend(i)));
    for (server, number) in servers.iter().flat_map(|server| (0..NAMES).map(move |number| (server, number))) {
        server.addresses(&name(number), &[address("A", number), address("AAAA", number)]);
    }
    let entries = servers.each_ref().map(|server| format!("\"{}\"", server.address()));
    let config = Config::new().udp_listener("dns", at.port(0), "replies = 1\nidle_timeout = \"1h\"");
    let daemon = Daemon::start(config.pool_of("dns", &entries, "balance = \"round_robin\""));

    let ask = |number: u8| ["A", "AAAA"].map(|kind| (kind, number, dig(at, kind, &name(number))));
    let questions: Vec<_> = (0..NAMES).flat_map(ask).collect();
    for (kind, number, dig) in questions {
        let output = dig.wait_with_output().unwrap();
        let answer = String::from_utf8(output.stdout).unwrap();
        assert!(output.status.success(), "{answer}");
        assert_eq!(answer.trim().parse(), Ok(address(kind, number)), "{kind} {}", name(number));
    }
    let records = daemon.wait_for_records(2 * usize::from(NAMES));
    assert_eq!(records.len(), 2 * usize::from(NAMES), "nobody had to ask twice");
    assert!(records.iter().all(|record| record.reason == Termination::Finished));
    let backends: BTreeSet<_> = records.iter().map(|record| record.backend.clone()).collect();
    assert_eq!(backends.len(), 2);
}

fn name(number: u8) -> String {
    format!("host{number}.example")
}

fn address(kind: &str, number: u8) -> IpAddr {
    match kind {
        "A" => Ipv4Addr::new(192, 0, 2, number).into(),
        _ => Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, number.into()).into(),
    }
}

/// Asks once, and waits for as long as a busy machine may take.
fn dig(at: Loopback, kind: &str, name: &str) -> Child {
    let mut dig = Command::new("dig");
    dig.arg(format!("@{}", at.ip())).arg("-p").arg(at.port(0).port().to_string());
    dig.args(["+short", "+tries=1", "+time=20", "+notcp", name, kind]);
    dig.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().expect("running dig (bind9-dnsutils)")
}
