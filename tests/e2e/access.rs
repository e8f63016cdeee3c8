//! Allow and deny lists.

use std::net::{IpAddr, SocketAddr};

use lb_model::Termination;
use lb_tests::{Backend, Behaviour, Config, Daemon, Lab, Launch, Loopback, client};

#[track_caller]
fn assert_allowed(source: IpAddr, listen: SocketAddr) {
    let stream = client::connect_from(SocketAddr::new(source, 0), listen).unwrap();
    assert_eq!(client::read_line(&stream).unwrap(), "b");
}

#[track_caller]
fn assert_denied(daemon: &Daemon, source: IpAddr, listen: SocketAddr) {
    let record = daemon.record_of_refused(&client::connect_and_read_to_end(source, listen).unwrap());
    assert_eq!((record.reason, record.tries, record.backend), (Termination::Denied, 0, None));
}

#[test]
fn clients_are_told_apart_by_their_address() {
    let at = Loopback::new();
    let backend = Backend::start("b", at.backend(0), Behaviour::Tag);
    let daemon = Daemon::start(
        Config::new()
            .listener("open", at.port(0), "")
            .pool("open", [&backend], "")
            .listener("allow", at.port(1), "allow = [\"127.1.0.0/16\", \"127.0.0.2\"]")
            .pool("allow", [&backend], "")
            .listener("deny", at.port(2), "deny = [\"127.1.0.0/16\"]")
            .pool("deny", [&backend], "")
            .listener("both", at.port(3), "allow = [\"127.1.0.0/16\"]\ndeny = [\"127.1.0.5/32\"]")
            .pool("both", [&backend], ""),
    );
    // Listeners: open, allow, deny, both.
    let expected: [(&str, [bool; 4]); 4] = [
        ("127.0.0.2", [true, true, true, false]),
        ("127.0.0.3", [true, false, true, false]),
        ("127.1.2.3", [true, true, false, true]),
        ("127.1.0.5", [true, true, false, false]),
    ];
    let mut allowed = 0;
    for (source, listeners) in expected {
        let source: IpAddr = source.parse().unwrap();
        for (index, may) in (0..).zip(listeners) {
            if may {
                assert_allowed(source, at.port(index));
                allowed += 1;
            } else {
                assert_denied(&daemon, source, at.port(index));
            }
        }
    }
    assert_eq!(backend.accepted(), allowed, "a denied client does not reach a backend");
}

#[test]
fn ipv6_clients_are_on_ipv6_lists() {
    let at = Loopback::new();
    let (allow, deny, ipv4_only) = (Loopback::v6(), Loopback::v6(), Loopback::v6());
    let backend = Backend::start("b", at.backend(0), Behaviour::Tag);
    let daemon = Daemon::start(
        Config::new()
            .listener("allow", allow, "allow = [\"::1\"]")
            .pool("allow", [&backend], "")
            .listener("deny", deny, "deny = [\"::/64\"]")
            .pool("deny", [&backend], "")
            .listener("ipv4", ipv4_only, "allow = [\"0.0.0.0/0\"]")
            .pool("ipv4", [&backend], ""),
    );
    assert_allowed(allow.ip(), allow);
    assert_denied(&daemon, deny.ip(), deny);
    assert_denied(&daemon, ipv4_only.ip(), ipv4_only);
}

#[test]
fn lists_see_the_address_on_the_wire() {
    let Some(lab) = Lab::require(1) else { return };
    let [host] = lab.backends.as_slice() else { unreachable!("a lab with one backend") };
    let other = "fd77::3";
    lab.client.ip(&format!("address add {other}/64 dev balancer nodad")).unwrap();
    let backend = Backend::start_in(&host.namespace, "b", SocketAddr::new(host.v6, 9000), Behaviour::Tag);
    let listen = SocketAddr::new(Lab::BALANCER_V6, 80);
    let lists = format!("allow = [\"fd77::/64\"]\ndeny = [\"{other}\"]");
    let config = Config::new().listener("web", listen, &lists).pool("web", [&backend], "");
    let daemon = Launch::new(config).inside(&lab.balancer).start();
    lab.client.enter(|| {
        assert_allowed(Lab::CLIENT_V6, listen);
        assert_denied(&daemon, other.parse().unwrap(), listen);
    });
}
