//! Listeners and their sockets: what is not changed is not touched, what moves loses nobody.

use std::collections::BTreeSet;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use lb_model::Termination;
use lb_tests::{Backend, Behaviour, Config, Daemon, End, Loopback, client};
use rustix::process::Signal;

use super::clients::Clients;
use super::{
    assert_goes_on, assert_refuses, finish, listener, long_transfer, open, pool_beside, pool_of, served_by,
};

/// The inodes of the daemon's listening TCP sockets, each with its address as /proc writes it.
pub(super) fn sockets(daemon: &Daemon) -> BTreeSet<(String, String)> {
    let pid = daemon.pid().as_raw_pid();
    let fds = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
    let links = fds.flatten().filter_map(|fd| fs::read_link(fd.path()).ok());
    let ours: BTreeSet<_> = links
        .filter_map(|link| link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']').map(str::to_owned))
        .collect();
    let tables = ["tcp", "tcp6"].map(|table| fs::read_to_string(format!("/proc/{pid}/net/{table}")).unwrap());
    let lines = tables.iter().flat_map(|table| table.lines().skip(1));
    lines
        .filter_map(|line| {
            /// TCP_LISTEN.
            const LISTEN: &str = "0A";
            let fields: Vec<_> = line.split_ascii_whitespace().collect();
            let (address, state, inode) = (fields.get(1)?, fields.get(3)?, fields.get(9)?);
            (*state == LISTEN && ours.contains(*inode)).then(|| (address.to_string(), inode.to_string()))
        })
        .collect()
}

/// Two backends of two pools.
struct Site {
    at: Loopback,
    a: Backend,
    b: Backend,
}

impl Site {
    fn new() -> Self {
        Self::of(Behaviour::Tag)
    }

    fn of(behaviour: Behaviour) -> Self {
        let at = Loopback::new();
        let a = Backend::start("a", at.backend(0), behaviour);
        let b = Backend::start("b", at.backend(1), behaviour);
        Self { at, a, b }
    }

    fn pools(&self) -> Config {
        pool_beside(pool_of(&self.a), &self.b)
    }

    /// Both pools, and these listeners.
    fn config<const N: usize>(&self, listeners: [String; N]) -> String {
        format!("{}{}", self.pools(), listeners.concat())
    }

    fn port(&self, index: u16) -> SocketAddr {
        self.at.port(index)
    }
}

/// Catches: sockets that are closed and bound again, which resets whoever is in their queues.
#[test]
fn sockets_of_a_listener_that_stays_are_the_same_whatever_else_changes() {
    let site = Site::new();
    let web = |pool: &str, lines: &str| listener("web", &[site.port(0)], pool, lines);
    let daemon = Daemon::start(site.config([web("a", "")]));
    let before = sockets(&daemon);
    assert_eq!(before.len(), 4, "one for each worker");
    for (pool, lines) in [
        ("b", ""),
        ("b", "max_connections = 5\nidle_timeout = \"5s\""),
        ("a", "keepalive = \"off\""),
        ("a", "keepalive = \"7s\"\ndeny = [\"10.0.0.0/8\"]"),
    ] {
        daemon.reload(site.config([web(pool, lines), listener("aa", &[site.port(1)], "a", "")]));
        assert!(sockets(&daemon).is_superset(&before), "{lines:?}");
        assert_eq!(served_by(site.port(0)), pool);
        daemon.reload(site.config([web(pool, lines), listener("zz", &[site.port(2)], "a", "")]));
        assert!(sockets(&daemon).is_superset(&before), "{lines:?}");
    }
    daemon.reload(site.config([listener("renamed", &[site.port(0)], "a", "")]));
    assert_eq!(sockets(&daemon), before, "a new name is no new socket, and those of the others are closed");
}

/// Catches: clients in the accept queue who are forgotten or reset by a reload.
#[test]
fn clients_in_the_accept_queue_survive() {
    for after in ["max_connections = 1", "", "max_connections = 3\nkeepalive = \"off\""] {
        let site = Site::new();
        let web = |pool, lines| site.config([listener("web", &[site.port(0)], pool, lines)]);
        let daemon = Daemon::start(web("a", "max_connections = 1"));
        let (first, _) = open(site.port(0));
        let waiting: Vec<_> = (0..8).map(|_| client::connect(site.port(0)).unwrap()).collect();
        daemon.reload(web("b", after));
        drop(first);
        serve_each(waiting, "b");
    }
}

/// Each of them is greeted by `name` once those before it have left, in whatever order.
#[track_caller]
fn serve_each(waiting: Vec<TcpStream>, name: &str) {
    let greetings: Vec<_> = std::thread::scope(|scope| {
        let greet = |stream: TcpStream| scope.spawn(move || client::read_line(&stream).map_err(|e| e.kind()));
        let threads: Vec<_> = waiting.into_iter().map(greet).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(greetings.iter().all(|greeting| greeting.as_deref() == Ok(name)), "{greetings:?}");
}

/// Catches: a removal that cuts what is open, resets who waits, or leaves the port open for a while.
#[test]
fn a_removed_listener_refuses_at_once_and_finishes_what_it_has() {
    let site = Site::new();
    let other = || listener("other", &[site.port(1)], "b", "");
    let web = listener("web", &[site.port(0)], "a", "max_connections = 2");
    let daemon = Daemon::start(site.config([web, other()]));
    let served = [open(site.port(0)).0, open(site.port(0)).0];
    let waiting: Vec<_> = (0..5).map(|_| client::connect(site.port(0)).unwrap()).collect();
    let text = {
        daemon.configure(site.config([other()]));
        daemon.sluice(["reload"])
    };
    assert_refuses(site.port(0));
    assert!(text.contains("- web"), "{text}");
    assert!(daemon.status().listeners.iter().all(|listener| listener.name != "web"));
    served.iter().for_each(assert_goes_on);
    let client = served[0].local_addr().unwrap();
    finish(&served[0]);
    let record = daemon.wait_for_record(client);
    assert_eq!((record.listener.as_str(), record.reason), ("web", Termination::Finished));
    drop(served);
    serve_each(waiting, "a");
    assert_eq!(served_by(site.port(1)), "b");
}

/// Catches: bytes of a transfer that are lost when its listener, pool and backend all go.
#[test]
fn a_transfer_goes_on_when_all_that_it_came_by_is_removed() {
    let site = Site::of(Behaviour::Exchange);
    let before = Config::new().listener("web", site.port(0), "").pool("web", [&site.a], "");
    let daemon = Daemon::start(before);
    let stream = client::connect(site.port(0)).unwrap();
    std::thread::scope(|scope| {
        let transfer = scope.spawn(|| long_transfer(&stream));
        site.a.wait_open(1);
        let after = Config::new().listener("else", site.port(1), "").pool("else", [&site.b], "");
        daemon.reload(after);
        transfer.join().unwrap();
    });
    let record = daemon.wait_for_record(stream.local_addr().unwrap());
    assert_eq!((record.reason, record.pool.as_str()), (Termination::Finished, "web"));
    assert_eq!(record.backend.as_deref(), Some("a"));
}

/// Catches: a port that is still ours for a moment after it was given up, or a listener that cannot come back.
#[test]
fn a_listener_comes_back_right_after_its_removal() {
    let site = Site::new();
    let other = || listener("other", &[site.port(1)], "b", "");
    let daemon = Daemon::start(site.config([other()]));
    for round in 0..20 {
        let pool = if round % 2 == 0 { "a" } else { "b" };
        daemon.reload(site.config([other(), listener("web", &[site.port(0)], pool, "")]));
        assert_eq!(served_by(site.port(0)), pool, "round {round}");
        daemon.reload(site.config([other()]));
        assert_refuses(site.port(0));
    }
    assert_eq!(daemon.status().generation, 41);
}

/// Catches: a rename that closes and binds again.
#[test]
fn a_renamed_listener_loses_nobody() {
    let site = Site::new();
    let name = |name: &str| site.config([listener(name, &[site.port(0)], "a", "max_connections = 3")]);
    let daemon = Daemon::start(name("web"));
    let before = sockets(&daemon);
    let (kept, _) = open(site.port(0));
    let clients = Clients::start(site.port(0), 3);
    for round in 0..10 {
        daemon.reload(name(["aa", "zz", "web"][round % 3]));
        clients.wait_for_more();
    }
    clients.assert_served_by(["a"]);
    assert_eq!(sockets(&daemon), before);
    assert_goes_on(&kept);
    let status = daemon.status();
    let [now] = status.listeners.as_slice() else { panic!("{:?}", status.listeners) };
    assert_eq!(now.name, "aa");
}

/// Catches: an address that is closed by the one listener before, or after, it is opened by the other.
#[test]
fn an_address_that_moves_between_listeners_loses_nobody() {
    let site = Site::new();
    let (moving, [one, two]) = (site.port(0), [site.port(1), site.port(2)]);
    let with = |owner: &str| {
        let bind = |name, own| if owner == name { vec![own, moving] } else { vec![own] };
        site.config([
            listener("one", &bind("one", one), "a", ""),
            listener("two", &bind("two", two), "b", "keepalive = \"off\""),
        ])
    };
    let daemon = Daemon::start(with("one"));
    let clients = Clients::start(moving, 3);
    for owner in ["two", "one"].repeat(5) {
        daemon.reload(with(owner));
        clients.wait_for_more();
        assert_eq!(served_by(moving), if owner == "one" { "a" } else { "b" });
    }
    clients.assert_served_by(["a", "b"]);
}

/// Catches: clients who meet the settings of the listener's other name for a moment: what they connect to is the same in
/// both configurations, only called differently.
#[test]
fn listeners_that_swap_names_serve_their_own_clients_throughout() {
    let site = Site::new();
    let [left, right] = [site.port(0), site.port(1)];
    let config = |[left_name, right_name]: [&str; 2]| {
        site.config([listener(left_name, &[left], "a", ""), listener(right_name, &[right], "b", "")])
    };
    let daemon = Daemon::start(config(["x", "y"]));
    let clients = [Clients::start(left, 2), Clients::start(right, 2)];
    for names in [["y", "x"], ["x", "y"]].repeat(20) {
        daemon.reload(config(names));
        clients.iter().for_each(Clients::wait_for_more);
    }
    let [left, right] = clients;
    left.assert_served_by(["a"]);
    right.assert_served_by(["b"]);
}

/// Catches: an address that stays, but with the settings of the moment when another was given up.
#[test]
fn an_address_that_stays_when_another_goes_has_current_settings() {
    let site = Site::new();
    let [stays, goes, comes] = [site.port(0), site.port(1), site.port(2)];
    let web =
        |bind: &[SocketAddr], pool: &str, lines: &str| site.config([listener("web", bind, pool, lines)]);
    let daemon = Daemon::start(web(&[stays, goes], "a", ""));
    let sockets_before = sockets(&daemon);
    let (old, _) = open(goes);
    daemon.reload(web(&[stays], "a", ""));
    assert_refuses(goes);
    assert!(sockets(&daemon).is_subset(&sockets_before));
    assert_eq!(served_by(stays), "a");
    assert_goes_on(&old);

    daemon.reload(web(&[stays], "b", ""));
    assert_eq!(served_by(stays), "b", "the pool of now");
    daemon.reload(web(&[stays], "b", "idle_timeout = \"300ms\""));
    let (idle, _) = open(stays);
    assert_eq!(client::read_to_end(&idle).1, End::Reset, "the timeout of now");
    daemon.reload(web(&[stays], "b", "deny = [\"127.0.0.0/8\"]"));
    let refused = client::connect_and_read_to_end(site.at.ip(), stays).unwrap();
    assert_eq!(daemon.record_of_refused(&refused).reason, Termination::Denied, "the access list of now");
    // Two, because the first of all is still there.
    daemon.reload(web(&[stays, comes], "a", "max_connections = 2"));
    let (first, _) = open(comes);
    let second = client::connect(stays).unwrap();
    drop(first);
    assert_eq!(client::read_line(&second).unwrap(), "a", "one limit for both");
    assert_goes_on(&old);
}

/// Catches: a new address that only some of the workers accept on, or a port range that is not taken apart.
#[test]
fn addresses_can_be_added() {
    let site = Site::new();
    let daemon = Daemon::start(site.config([listener("web", &[site.port(0)], "a", "")]));
    let before = sockets(&daemon);
    let v6 = Loopback::v6();
    daemon.reload(site.config([listener("web", &[site.port(0), site.port(1), v6], "a", "")]));
    let after = sockets(&daemon);
    assert!(after.is_superset(&before));
    assert_eq!(after.len(), 12, "each on each of four workers: {after:?}");
    for address in [site.port(0), site.port(1), v6] {
        for _ in 0..16 {
            assert_eq!(served_by(address), "a");
        }
    }
    let bind = daemon.status().listeners[0].bind.clone();
    assert_eq!(bind, [site.port(0), site.port(1), v6].map(|address| address.to_string()));
}

/// Catches: a wildcard that is taken for occupied by our own address, steals its clients, or takes it along when it goes.
#[test]
fn a_wildcard_beside_a_single_address_can_come_and_go() {
    let site = Site::new();
    // A wildcard is everybody's: a port that no other test uses.
    let port = 30_000 + u16::try_from(std::process::id() % 2000).unwrap();
    let single = SocketAddr::new(site.at.ip(), port);
    let wildcard: SocketAddr = ([0, 0, 0, 0], port).into();
    let another: SocketAddr = ([127, 0, 0, 1], port).into();
    let one = || listener("single", &[single], "a", "");
    let all = || listener("wildcard", &[wildcard], "b", "");
    let daemon = Daemon::start(site.config([one()]));
    let kept = sockets(&daemon);
    for _ in 0..3 {
        let clients = Clients::start(single, 2);
        daemon.reload(site.config([one(), all()]));
        clients.wait_for_more();
        assert_eq!(served_by(another), "b");
        daemon.reload(site.config([one()]));
        assert_refuses(another);
        clients.wait_for_more();
        clients.assert_served_by(["a"]);
        assert_eq!(sockets(&daemon), kept);
    }
    daemon.reload(site.config([one(), all()]));
    daemon.reload(site.config([all()]));
    assert_eq!(served_by(single), "b", "the wildcard has it now");
    daemon.reload(site.config([one(), all()]));
    assert_eq!((served_by(single), served_by(another)), ("a".into(), "b".into()));
}

/// Catches: another Sluice's address that is shared with it, because SO_REUSEPORT lets it.
#[test]
fn an_address_of_another_sluice_is_taken() {
    let site = Site::new();
    let daemon = Daemon::start(site.config([listener("web", &[site.port(0)], "a", "")]));
    let _other = Daemon::start(site.config([listener("web", &[site.port(1)], "b", "")]));
    daemon.configure(site.config([listener("web", &[site.port(0), site.port(1)], "a", "")]));
    let error = super::refused_reload(&daemon);
    assert!(error.contains("another Sluice") && error.contains(&site.port(1).to_string()), "{error}");
    for _ in 0..16 {
        assert_eq!(served_by(site.port(1)), "b");
    }
}

/// Catches: sockets that a reload opened, or kept, and that the end does not close.
#[test]
fn after_reloads_the_end_still_closes_every_port_and_waits_for_what_is_open() {
    let site = Site::new();
    let mut daemon = Daemon::start(site.config([listener("web", &[site.port(0)], "a", "")]));
    let (old, _) = open(site.port(0));
    daemon.reload(site.config([listener("new", &[site.port(0), site.port(1)], "b", "")]));
    let (new, _) = open(site.port(1));
    daemon.signal(Signal::TERM);
    lb_tests::eventually(super::PATIENCE, "both ports are closed", || {
        [0, 1].iter().all(|&i| client::connect(site.port(i)).is_err())
    });
    for stream in [old, new] {
        assert!(daemon.is_running());
        assert_goes_on(&stream);
        finish(&stream);
    }
    assert!(daemon.wait_exit(Duration::from_secs(10)).success());
}
