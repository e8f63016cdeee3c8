//! Who serves which client.

use lb_model::Termination;
use lb_tests::{Daemon, End, Hello};

use super::{NO_APPLICATION_PROTOCOL, Site, UNRECOGNIZED_NAME, alert, count, ended, open, route, served_by};

#[test]
fn the_name_says_who_serves() {
    let site = Site::new(&["exact", "wildcard", "default"]);
    let routes = [
        route(&["*.example.com"], &[], "wildcard"),
        route(&["www.example.com", "example.org"], &[], "exact"),
    ];
    let daemon = Daemon::start(site.config("pool = \"default\"", &routes));
    for (name, pool) in [
        ("www.example.com", "exact"),
        ("WWW.Example.COM", "exact"),
        ("example.org", "exact"),
        ("api.example.com", "wildcard"),
        ("example.com", "default"),
        ("a.www.example.com", "default"),
        ("www.example.org", "default"),
    ] {
        let (stream, served) = open(site.address(), &Hello::to(name));
        assert_eq!(served, pool, "{name}");
        let client = stream.local_addr().unwrap();
        drop(stream);
        let record = daemon.wait_for_record(client);
        assert_eq!((record.pool.as_str(), record.backend.as_deref()), (pool, Some(pool)));
        assert_eq!(record.server_name.unwrap(), name.to_ascii_lowercase());
    }
    assert_eq!(served_by(site.address(), &Hello::anonymous()), "default");
}

/// RFC 6066 §3 permits names only, but there are clients that ask for what is in their URL.
#[test]
fn an_ip_address_as_server_name_is_none() {
    let site = Site::new(&["named", "default"]);
    let daemon = Daemon::start(site.config("pool = \"default\"", &[route(&["*.example"], &[], "named")]));
    let hello = replaced(&Hello::to("192-0-2-10").bytes(), b"192-0-2-10", b"192.0.2.10");
    let stream = super::sent(site.address(), &hello);
    assert_eq!(super::greeted(&stream, &hello), "default");
    let client = stream.local_addr().unwrap();
    drop(stream);
    assert_eq!(daemon.wait_for_record(client).server_name, None);
}

fn replaced(bytes: &[u8], old: &[u8], new: &[u8]) -> Vec<u8> {
    let at = bytes.windows(old.len()).position(|window| window == old).unwrap();
    let (before, rest) = bytes.split_at(at);
    [before, new, rest.split_at(old.len()).1].concat()
}

#[test]
fn of_the_routes_for_a_name_the_first_that_has_an_offered_protocol_serves() {
    let site = Site::new(&["h2", "http1", "acme", "any"]);
    let routes = [
        route(&["a.example"], &["h2"], "h2"),
        route(&["a.example"], &["http/1.1", "http/1.0"], "http1"),
        route(&["*.example"], &["acme-tls/1"], "acme"),
        route(&["b.example"], &[], "any"),
    ];
    let _daemon = Daemon::start(site.config("", &routes));
    for (name, offered, pool) in [
        ("a.example", &["h2", "http/1.1"][..], "h2"),
        ("a.example", &["http/1.1", "h2"], "h2"),
        ("a.example", &["http/1.0"], "http1"),
        ("a.example", &["acme-tls/1"], "acme"),
        ("b.example", &["acme-tls/1"], "any"),
        ("b.example", &[], "any"),
    ] {
        assert_eq!(served_by(site.address(), &Hello::to(name).offering(offered)), pool, "{name} {offered:?}");
    }
}

#[test]
fn whom_no_route_is_for_hears_why() {
    let site = Site::new(&["h2"]);
    let daemon = Daemon::start(site.config("", &[route(&["a.example"], &["h2"], "h2")]));
    let cases = [
        (Hello::to("b.example"), UNRECOGNIZED_NAME),
        (Hello::to("b.example").offering(&["h2"]), UNRECOGNIZED_NAME),
        (Hello::anonymous().offering(&["h2"]), UNRECOGNIZED_NAME),
        (Hello::to("a.example").offering(&["http/1.1"]), NO_APPLICATION_PROTOCOL),
        (Hello::to("a.example"), NO_APPLICATION_PROTOCOL),
    ];
    for (hello, code) in &cases {
        let ended = ended(site.address(), &hello.bytes());
        assert_eq!((ended.bytes, ended.end), (alert(*code), End::Closed), "{hello:?}");
        let record = daemon.wait_for_record(ended.client);
        assert_eq!((record.reason, record.pool.as_str(), record.tries), (Termination::NoRoute, "", 0));
        assert_eq!((record.bytes_in, record.bytes_out), (0, 0), "nothing was relayed");
    }
    assert_eq!(served_by(site.address(), &Hello::to("a.example").offering(&["h2"])), "h2");
    assert_eq!(count(&daemon, "secure", "no_route"), 5.0);
    assert_eq!(site.backend("h2").accepted(), 1);
}

#[test]
fn a_thousand_names_find_their_pools() {
    let site = Site::new(&["p0", "p1", "p2", "p3", "p4", "p5", "p6"]);
    let name = |number: usize| format!("host-{number}.customer-{}.example.com", number % 100);
    let pool = |number: usize| format!("p{}", number % 7);
    let routes: Vec<_> = (0..1000).map(|number| route(&[&name(number)], &[], &pool(number))).collect();
    let _daemon = Daemon::start(site.config("", &routes));
    for number in (0..1000).step_by(37).chain([999]) {
        assert_eq!(served_by(site.address(), &Hello::to(&name(number))), pool(number), "{number}");
    }
    let unknown = ended(site.address(), &Hello::to(&name(1000)).bytes());
    assert_eq!(unknown.bytes, alert(UNRECOGNIZED_NAME));
}
