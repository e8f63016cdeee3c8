//! Backends that are DNS names.

use std::time::Duration;

use lb_model::{DiscoveryQuery, DiscoverySettings, IpFamilies, Pool, Weight};

use super::{error_lines, parse, warning_lines, with_backends, with_pool};

fn pool(text: &str) -> Pool {
    parse(text).unwrap_or_else(|errors| panic!("{errors}")).config.pools.remove(0)
}

#[test]
fn names_and_services_are_looked_up() {
    let pool = pool(&with_backends(
        r#""app.example.com:80", "my_app", "10.0.0.1:80",
        { address = "b.example.com.", weight = 3, tier = 1, zone = "a", max_connections = 7 },
        { srv = "_http._tcp.example.com", weight = 0 }"#,
    ));
    let addresses = |name: &str, port| DiscoveryQuery::Addresses { name: name.parse().unwrap(), port };
    let queries: Vec<_> = pool.discover.iter().map(|discovery| discovery.query.clone()).collect();
    assert_eq!(
        queries,
        [
            addresses("app.example.com", Some(80)),
            addresses("my_app", None),
            addresses("b.example.com.", None),
            DiscoveryQuery::Services { name: "_http._tcp.example.com".parse().unwrap() },
        ]
    );
    let [_, _, third, fourth] = &pool.discover[..] else { panic!("{:?}", pool.discover) };
    assert_eq!((third.weight, third.tier, third.max_connections.unwrap().get()), (Weight(3), 1, 7));
    assert_eq!(third.zone.as_ref().unwrap().as_str(), "a");
    assert_eq!(fourth.weight, Weight(0));
    assert_eq!(pool.backends.len(), 1);
}

#[test]
fn a_pool_may_consist_of_names() {
    let pool = pool(&with_backends("\"localhost:9001\""));
    assert_eq!((pool.backends.len(), pool.discover.len()), (0, 1));
}

#[test]
fn an_address_with_a_mistake_is_no_name() {
    let text = with_backends("\"10.0.0.300:80\", { address = \"10.0.0\" }, \"app..com\"");
    assert_eq!(
        error_lines(&text),
        [
            "7:13: pools.web.backends[0]: \"10.0.0.300\" is not an IP address; expected for example 192.0.2.1 or [2001:db8::1]",
            "7:42: pools.web.backends[1].address: \"10.0.0\" is not an IP address; expected for example 192.0.2.1 or [2001:db8::1]",
            "7:54: pools.web.backends[2]: \"app..com\" is neither an IP address nor a DNS name; expected for example 192.0.2.1, [2001:db8::1] or app.example.com",
        ]
    );
}

#[test]
fn what_is_looked_up_has_no_name_of_its_own() {
    assert_eq!(
        error_lines(&with_backends(
            "{ address = \"app:80\", name = \"a\" },\n{ address = \"app:81\", srv = \"_x._tcp.a\" },\n{ srv = \"a b\" },\n{ tier = 1 }"
        )),
        [
            "7:42: pools.web.backends[0].name: what a DNS name resolves to is called by its addresses: leave `name` out",
            "8:29: pools.web.backends[1].srv: a backend has an `address` or an `srv`, not both",
            "9:9: pools.web.backends[2].srv: \"a b\" is not a DNS name; expected for example \"example.com\" or \".\"",
            "10:1: pools.web.backends[3]: the key `address` is missing",
        ]
    );
}

#[test]
fn each_name_is_looked_up_once() {
    let text = with_backends(
        "\"app:80\",\n{ address = \"APP.:80\" },\n\"app:81\",\n\"app\",\n{ srv = \"app\" },\n{ srv = \"app.\" }",
    );
    assert_eq!(
        error_lines(&text),
        [
            "8:13: pools.web.backends[1].address: this pool looks up \"APP.:80\" twice: here, and at sluice.toml:7:13; leave one out",
            "12:9: pools.web.backends[5].srv: this pool looks up \"app.\" twice: here, and at sluice.toml:11:9; leave one out",
        ]
    );
}

#[test]
fn settings_have_bounds() {
    let text = |lines: &str| with_backends("\"app:80\"") + &format!("discovery = {{ {lines} }}\n");
    assert_eq!(pool(&text("")).discovery, DiscoverySettings::DEFAULT);
    assert_eq!(
        pool(&text("families = \"ipv6\", min_ttl = \"1s\", max_ttl = \"1s\", keep = \"0s\"")).discovery,
        DiscoverySettings {
            families: IpFamilies::Ipv6,
            min_ttl: Duration::from_secs(1),
            max_ttl: Duration::from_secs(1),
            keep: Duration::ZERO,
        }
    );
    for (lines, expected) in [
        (
            "min_ttl = \"0s\"",
            "8:25: pools.web.discovery.min_ttl: must be longer than zero; a DNS server needs a pause between questions",
        ),
        (
            "max_ttl = \"4s\"",
            "8:25: pools.web.discovery.max_ttl: `max_ttl` (4s) must not be shorter than `min_ttl` (5s)",
        ),
        (
            "min_ttl = \"1h\"",
            "8:25: pools.web.discovery.min_ttl: `max_ttl` (5m) must not be shorter than `min_ttl` (1h)",
        ),
        (
            "families = \"ipv5\"",
            "8:26: pools.web.discovery.families: \"ipv5\" is not possible here; did you mean \"ipv4\"?",
        ),
        ("min_tll = \"1s\"", "8:15: pools.web.discovery.min_tll: unknown key; did you mean \"min_ttl\"?"),
    ] {
        assert_eq!(error_lines(&text(lines)), [expected]);
    }
}

#[test]
fn settings_without_a_name_are_warned_of() {
    assert_eq!(
        warning_lines(&with_pool("discovery = { keep = \"1m\" }")),
        ["8:13: pools.web.discovery: no backend of this pool is a DNS name: nothing is looked up"]
    );
}
