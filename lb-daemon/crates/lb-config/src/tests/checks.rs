//! What conversion refuses, warns of, and lets pass.

use std::fmt::Write as _;
use std::time::Duration;

use lb_model::{
    Admin, Algorithm, BackendAddress, DiscoverySettings, Percent, Pool, PoolId, Watch, Weight, Zones,
};

use super::{MINIMAL, error_lines, parse, warning_lines, with_pool};

/// The minimal configuration with `lines` added to its listener.
fn with_listener(lines: &str) -> String {
    MINIMAL.replace("[pools.web]", &format!("{lines}\n[pools.web]"))
}

#[test]
fn defaults_are_the_documented_ones() {
    let loaded = parse(MINIMAL).unwrap();
    assert_eq!(loaded.warnings, []);
    let config = loaded.config;
    assert_eq!(config.global, crate::default::GLOBAL);
    assert_eq!(config.log, crate::default::LOG);
    let listener = &config.listeners[0];
    assert_eq!((listener.pool, listener.max_connections), (Some(PoolId(0)), None));
    assert_eq!(listener.idle_timeout, crate::default::IDLE_TIMEOUT);
    assert_eq!(listener.keepalive, crate::default::CLIENT_KEEPALIVE);
    assert_eq!((listener.sni.is_empty(), &listener.accept_proxy, listener.replies), (true, &vec![], None));
    assert_eq!(listener.header_timeout, crate::default::HEADER_TIMEOUT);
    let pool = &config.pools[0];
    assert_eq!((pool.balance, pool.send_proxy), (crate::default::ALGORITHM, None));
    assert_eq!(pool.backends[0].name.as_str(), "127.0.0.1:9001");
    assert_eq!(pool.backends[0].weight, Weight::DEFAULT);
    assert_eq!((pool.keepalive, pool.queue), (None, crate::default::QUEUE));
    assert_eq!((pool.slow_start, pool.panic_threshold, pool.zones), (None, Percent::ZERO, Zones::Ignore));
    assert_eq!(pool.passive_health, crate::default::PASSIVE_HEALTH);
    assert_eq!(
        (pool.backends[0].tier, &pool.backends[0].zone, &pool.backends[0].health_check),
        (0, &None, &None)
    );
    assert_eq!((&pool.discover, pool.discovery), (&vec![], DiscoverySettings::DEFAULT));
    assert_eq!(config.admin, Admin::default());
}

#[test]
fn names_are_sorted_and_references_follow() {
    let text = MINIMAL.replace("pools.web", "pools.b").replace("\"web\"", "\"b\"")
        + "[pools.a]\nbackends = [\"10.0.0.1\"]\n[listeners.a]\nbind = [\"*:1\"]\nprotocol = \"tcp\"\npool = \"a\"\n";
    let config = parse(&text).unwrap().config;
    let served: Vec<_> = config
        .listeners
        .iter()
        .map(|listener| (listener.name.as_str(), config.pool(listener.pool.unwrap()).unwrap().name.as_str()))
        .collect();
    assert_eq!(served, [("a", "a"), ("web", "b")]);
}

#[test]
fn backends_may_do_without_port_and_are_named_by_their_normal_address() {
    let config = parse(&with_pool("").replace("127.0.0.1:9001", "[2001:DB8:0::1]")).unwrap().config;
    let backend = &config.pools[0].backends[0];
    assert_eq!(backend.name.as_str(), "[2001:db8::1]");
    assert_eq!(backend.address, "[2001:db8::1]".parse::<BackendAddress>().unwrap());
}

#[test]
fn backend_names_are_unique_in_a_pool() {
    let text = MINIMAL.replace(
        "[\"127.0.0.1:9001\"]",
        "[\n\"10.0.0.1:80\",\n{ address = \"10.0.0.1:80\" },\n{ address = \"10.0.0.1:80\", name = \"b\" },\n{ address = \"10.0.0.2:80\", name = \"b\" }]",
    );
    assert_eq!(
        error_lines(&text),
        [
            "9:1: pools.web.backends[1]: two backends of this pool are called \"10.0.0.1:80\": this one, and that at sluice.toml:8:1; give one of them a `name`",
            "11:35: pools.web.backends[3].name: two backends of this pool are called \"b\": this one, and that at sluice.toml:10:35; give one of them a `name`",
        ]
    );
}

#[test]
fn binds_do_not_overlap() {
    let text = with_listener(
        "[listeners.b]\nprotocol = \"tcp\"\npool = \"web\"\nbind = [\"127.0.0.1:8000-9000\", \"*:1\", \"[::]:1\", \"0.0.0.0:8080\"]",
    );
    assert_eq!(
        error_lines(&text),
        [
            "9:9: listeners.b.bind[0]: 127.0.0.1:8000-9000 of listener b overlaps 127.0.0.1:8080 of listener web at sluice.toml:3:9",
            "9:39: listeners.b.bind[2]: [::]:1 of listener b overlaps *:1 of listener b at sluice.toml:9:32",
        ]
    );
}

#[test]
fn durations_have_bounds() {
    let listener = |line: &str| error_lines(&with_listener(line)).join("\n");
    let pool = |line: &str| error_lines(&with_pool(line)).join("\n");
    assert_eq!(
        listener("idle_timeout = \"0s\""),
        "6:16: listeners.web.idle_timeout: must be longer than zero; write \"off\" for never"
    );
    assert!(listener("keepalive = \"1500ms\"").contains("whole seconds, from 1s to 32767s"));
    assert!(listener("keepalive = \"10h\"").contains("whole seconds, from 1s to 32767s"));
    assert!(listener("idle_timeout = \"400d\"").contains("at most 365d; or write \"off\""));
    assert!(listener("idle_timeout = \"never\"").contains("; or write \"off\""));
    assert!(pool("connect_timeout = \"off\"").contains("expected a whole number and a unit"));
    assert!(pool("connect_timeout = \"0s\"").contains("must be longer than zero"));
    assert!(pool("queue = { timeout = \"0s\" }").contains("write limit = 0"));
    assert!(pool("passive_health = { backoff = \"0s\" }").contains("must be longer than zero"));
    assert_eq!(
        pool("passive_health = { backoff = \"1m\" }"),
        "8:30: pools.web.passive_health.backoff: `max_backoff` (30s) must not be shorter than `backoff` (1m)"
    );
    assert!(pool("connect_tries = 9").contains("from 1 to 8"));

    let off = parse(&with_listener("idle_timeout = \"off\"\nkeepalive = \"off\"")).unwrap().config;
    assert_eq!((off.listeners[0].idle_timeout, off.listeners[0].keepalive), (None, None));
    assert!(parse(&format!("{MINIMAL}[global]\ndrain_timeout = \"0s\"")).is_ok());
    assert!(pool("slow_start = \"0s\"").contains("write \"off\" for never"));
}

#[test]
fn lists_are_not_empty_and_not_too_long() {
    assert_eq!(
        error_lines(&MINIMAL.replace("[\"127.0.0.1:8080\"]", "[]").replace("[\"127.0.0.1:9001\"]", "[]")),
        [
            "3:8: listeners.web.bind: must name at least one address",
            "7:12: pools.web.backends: must name at least one backend",
        ]
    );
    let mut backends = String::new();
    for n in 0..=Pool::MAX_BACKENDS {
        let _ = write!(backends, "\"10.1.{}.{}\",", n / 256, n % 256);
    }
    assert_eq!(
        error_lines(&MINIMAL.replace("\"127.0.0.1:9001\"", &backends)),
        ["7:12: pools.web.backends: a pool has at most 4096 backends, this one has 4097"]
    );
}

#[test]
fn other_versions_are_refused() {
    assert_eq!(
        error_lines(&MINIMAL.replace("version = 1", "version = 2")),
        ["1:11: version: this release reads version 1 of the file format only"]
    );
}

#[test]
fn what_is_probably_not_meant_is_warned_of() {
    let text = with_pool("[pools.spare]\nbackends = [{ address = \"10.0.0.1:80\", weight = 0 }]");
    assert_eq!(
        warning_lines(&text),
        [
            "8:1: pools.spare: every backend has weight 0: this pool takes no connections",
            "8:8: pools.spare: no listener uses the pool \"spare\"",
        ]
    );
}

#[test]
fn tables_of_backends_may_have_headers() {
    let text = MINIMAL.replace(
        "backends = [\"127.0.0.1:9001\"]",
        "[[pools.web.backends]]\naddress = \"10.0.0.1:80\"\n[[pools.web.backends]]\nweight = 3",
    );
    assert_eq!(error_lines(&text), ["9:1: pools.web.backends[1]: the key `address` is missing"]);
    assert!(parse(&text.replace("weight = 3", "address = \"10.0.0.2:80\"")).is_ok());
}

#[test]
fn the_settings_of_the_process_arrive() {
    let text = format!(
        "{MINIMAL}[global]\nzone = \"a\"\nstate_dir = \"/var/lib/x\"\nwatch = true\nnameservers = [\"10.0.0.53\", \"[::1]:5353\"]"
    );
    let global = parse(&text).unwrap().config.global;
    assert_eq!(global.zone.unwrap().as_str(), "a");
    assert_eq!(global.state_dir.unwrap(), std::path::Path::new("/var/lib/x"));
    assert_eq!(global.watch, Watch::On);
    assert_eq!(global.nameservers, ["10.0.0.53:53".parse().unwrap(), "[::1]:5353".parse().unwrap()]);

    assert_eq!(
        error_lines(&format!(
            "{MINIMAL}[global]\nzone = \"a b\"\nstate_dir = \"\"\nwatch = \"on\"\nnameservers = [\"dns.example.com\"]"
        )),
        [
            "9:8: global.zone: a name consists of letters, digits and `_ - . : [ ]`, not ' '",
            "10:13: global.state_dir: the path is empty; leave the key out where there is no file",
            "11:9: global.watch: expected true or false, found the text \"on\"",
            "12:16: global.nameservers[0]: \"dns.example.com\" is not an IP address; expected for example 192.0.2.1 or [2001:db8::1]",
        ]
    );
}

#[test]
fn the_settings_of_a_pool_arrive() {
    let pool = |lines: &str| {
        parse(&with_pool(lines)).unwrap_or_else(|errors| panic!("{errors}")).config.pools.remove(0)
    };
    for (word, algorithm) in [
        ("hash", Algorithm::Hash),
        ("round_robin", Algorithm::RoundRobin),
        ("ip_hash", Algorithm::IpHash),
        ("least_connections", Algorithm::LeastConnections),
        ("least_response_time", Algorithm::LeastResponseTime),
        ("random", Algorithm::Random),
    ] {
        assert_eq!(pool(&format!("balance = \"{word}\"")).balance, algorithm);
    }
    let pool = pool(
        "slow_start = \"30s\"\npanic_threshold = \"50%\"\nzones = \"ignore\"\npassive_health = { max_ejected = \"25%\" }",
    );
    assert_eq!(pool.slow_start, Some(Duration::from_secs(30)));
    assert_eq!(pool.panic_threshold.to_string(), "50%");
    assert_eq!(pool.passive_health.max_ejected.to_string(), "25%");
    assert_eq!(pool.zones, Zones::Ignore);

    assert_eq!(
        error_lines(&with_pool(
            "balance = \"lest_connections\"\npanic_threshold = \"half\"\nzones = \"prefer_locale\"\npassive_health = { max_ejectd = \"1%\" }"
        )),
        [
            "8:11: pools.web.balance: \"lest_connections\" is not possible here; did you mean \"least_connections\"?",
            "9:19: pools.web.panic_threshold: \"half\" is not a percentage; expected a whole number from 0% to 100%, for example \"50%\"",
            "10:9: pools.web.zones: \"prefer_locale\" is not possible here; did you mean \"prefer_local\"?",
            "11:20: pools.web.passive_health.max_ejectd: unknown key; did you mean \"max_ejected\"?",
        ]
    );
}

#[test]
fn who_prefers_its_zone_has_one() {
    let text = with_pool("zones = \"prefer_local\"");
    assert_eq!(
        error_lines(&text),
        ["8:9: pools.web.zones: this instance is in no zone: say in which with `zone` in [global]"]
    );
    let in_zone = format!("{text}[global]\nzone = \"a\"");
    assert_eq!(
        warning_lines(&in_zone),
        ["8:9: pools.web.zones: no backend of this pool has a `zone`: none is preferred"]
    );
    let with_zone =
        in_zone.replace("\"127.0.0.1:9001\"", "{ address = \"127.0.0.1:9001\", zone = \"a\", tier = 255 }");
    let loaded = parse(&with_zone).unwrap();
    assert_eq!(loaded.warnings, []);
    let pool = &loaded.config.pools[0];
    assert_eq!((pool.zones, pool.backends[0].tier), (Zones::PreferLocal, 255));
    assert_eq!(pool.backends[0].zone.as_ref().unwrap().as_str(), "a");
    // A zone with a mistake in it is a zone.
    assert_eq!(error_lines(&with_zone.replace("[global]\nzone = \"a\"", "[global]\nzone = \"\"")).len(), 1);
}
