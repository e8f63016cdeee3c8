//! Reloads, and the daemon's end, while clients say hello: what counts is the configuration of the moment when the hello is
//! whole.

use std::io::Write as _;

use lb_model::Termination;
use lb_tests::{Config, Daemon, End, Hello, client};

use rustix::process::Signal;

use super::{
    PATIENCE, Site, UNRECOGNIZED_NAME, alert, greeted, open, route, secure, sent, served_by, wait_accepted,
};

#[test]
fn routes_that_come_between_accept_and_hello_count() {
    let site = Site::new(&["a", "b"]);
    let daemon = Daemon::start(site.config("", &[route(&["x.example"], &[], "a")]));
    let hello = Hello::to("x.example").bytes();
    let (first, rest) = hello.split_at(50);
    let (early, halfway) = (client::connect(site.address()).unwrap(), sent(site.address(), first));
    wait_accepted(&daemon, "secure", 2);
    daemon.reload(site.config("", &[route(&["x.example"], &[], "b")]));
    (&early).write_all(&hello).unwrap();
    (&halfway).write_all(rest).unwrap();
    assert_eq!((greeted(&early, &hello), greeted(&halfway, &hello)), ("b".into(), "b".into()));
}

#[test]
fn a_route_that_is_gone_is_no_route() {
    let site = Site::new(&["a", "b"]);
    let daemon = Daemon::start(site.config("", &[route(&["x.example"], &[], "a")]));
    let (served, _) = open(site.address(), &Hello::to("x.example"));
    let early = client::connect(site.address()).unwrap();
    wait_accepted(&daemon, "secure", 2);
    // Its pool is gone, too.
    let config = Config::new().pool("b", [site.backend("b")], "");
    daemon.reload(config.table(&secure("secure", site.address(), "", &[route(&["y.example"], &[], "b")])));
    (&early).write_all(&Hello::to("x.example").bytes()).unwrap();
    assert_eq!(client::read_to_end(&early), (alert(UNRECOGNIZED_NAME), End::Closed));
    assert_eq!(daemon.wait_for_record(early.local_addr().unwrap()).reason, Termination::NoRoute);
    assert_eq!(served_by(site.address(), &Hello::to("y.example")), "b");
    (&served).write_all(b"goes on").unwrap();
    assert_eq!(client::read_bytes(&served, 7).unwrap(), b"goes on");
}

/// Whom a listener has taken is served as it was last configured.
#[test]
fn a_listener_that_goes_serves_those_that_it_has() {
    let site = Site::new(&["a", "b"]);
    let daemon = Daemon::start(site.config("pool = \"b\"", &[route(&["x.example"], &[], "a")]));
    let [routed, other] = [(), ()].map(|()| client::connect(site.address()).unwrap());
    wait_accepted(&daemon, "secure", 2);
    let elsewhere = secure("elsewhere", site.at.port(1), "pool = \"b\"", &[]);
    daemon.reload(Config::new().pool("b", [site.backend("b")], "").table(&elsewhere));
    for (stream, name, pool) in [(routed, "x.example", "a"), (other, "y.example", "b")] {
        let hello = Hello::to(name).bytes();
        (&stream).write_all(&hello).unwrap();
        assert_eq!(greeted(&stream, &hello), pool);
        let client = stream.local_addr().unwrap();
        drop(stream);
        let record = daemon.wait_for_record(client);
        assert_eq!((record.listener.as_str(), record.pool.as_str()), ("secure", pool));
    }
    assert_eq!(served_by(site.at.port(1), &Hello::to("x.example")), "b");
}

#[test]
fn a_listener_that_changes_its_protocol_serves_who_waits_and_who_comes() {
    let site = Site::new(&["a", "b"]);
    let tls = site.config("pool = \"b\"", &[route(&["x.example"], &[], "a")]);
    let pools = Config::new().pool("a", [site.backend("a")], "").pool("b", [site.backend("b")], "");
    let plain = pools.table(&format!(
        "[listeners.secure]\nbind = [\"{}\"]\nprotocol = \"tcp\"\npool = \"b\"",
        site.address()
    ));
    let daemon = Daemon::start(&tls);
    let early = client::connect(site.address()).unwrap();
    wait_accepted(&daemon, "secure", 1);
    daemon.reload(&plain);
    let hello = Hello::to("x.example").bytes();
    (&early).write_all(&hello).unwrap();
    assert_eq!(greeted(&early, &hello), "b");
    assert_eq!(client::read_line(&client::connect(site.address()).unwrap()).unwrap(), "b");
    daemon.reload(&tls);
    assert_eq!(served_by(site.address(), &Hello::to("x.example")), "a");
}

#[test]
fn who_says_hello_while_the_daemon_ends_is_served_or_cut_at_its_deadline() {
    let site = Site::new(&["a"]);
    let lines = "pool = \"a\"\nheader_timeout = \"60s\"";
    let mut daemon = Daemon::start(site.config(lines, &[]).global("drain_timeout = \"2s\""));
    let hello = Hello::to("x.example").bytes();
    let (first, rest) = hello.split_at(50);
    let [served, cut] = [(), ()].map(|()| sent(site.address(), first));
    wait_accepted(&daemon, "secure", 2);
    daemon.signal(Signal::TERM);
    daemon.wait_for_log("draining", |line| line.says("draining"));
    (&served).write_all(rest).unwrap();
    assert_eq!(greeted(&served, &hello), "a");
    let client = served.local_addr().unwrap();
    drop(served);
    assert_eq!(client::read_to_end(&cut), (vec![], End::Reset));
    daemon.wait_exit(PATIENCE);
    assert_eq!(daemon.wait_for_record(client).reason, Termination::Finished);
    assert_eq!(daemon.wait_for_record(cut.local_addr().unwrap()).reason, Termination::Shutdown);
}
