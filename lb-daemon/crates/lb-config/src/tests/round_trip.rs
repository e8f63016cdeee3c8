//! `effective` loses nothing: for every configuration that can be, reading its text gives it back.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::num::{NonZeroU8, NonZeroU16, NonZeroU32};
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use lb_model::{
    AccessList, Algorithm, Backend, BackendAddress, Bind, BindHost, Config, Global, Listener, Log, LogFormat,
    LogLevel, MaxConnections, PassiveHealth, Pool, PoolId, Protocol, Queue, Weight, Workers,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::{MINIMAL, parse};

fn name() -> impl Strategy<Value = String> {
    "[A-Za-z0-9_.:\\[\\]-]{1,12}"
}

fn named<N: FromStr<Err: std::fmt::Debug>>(name: &str) -> N {
    name.parse().unwrap()
}

fn ip() -> impl Strategy<Value = IpAddr> {
    prop_oneof![
        any::<u32>().prop_map(|bits| IpAddr::V4(Ipv4Addr::from_bits(bits))),
        any::<u128>().prop_map(|bits| IpAddr::V6(Ipv6Addr::from_bits(bits))),
    ]
}

fn duration(min: Duration) -> impl Strategy<Value = Duration> {
    let range =
        |max: Duration| u64::try_from(min.as_nanos()).unwrap()..=u64::try_from(max.as_nanos()).unwrap();
    prop_oneof![range(Duration::from_secs(1).max(min)), range(crate::duration::MAX)]
        .prop_map(Duration::from_nanos)
}

fn positive() -> impl Strategy<Value = Duration> {
    duration(Duration::from_nanos(1))
}

fn keepalive() -> impl Strategy<Value = Option<Duration>> {
    option::of((1u64..=32_767).prop_map(Duration::from_secs))
}

fn count() -> impl Strategy<Value = NonZeroU32> {
    (1..=u32::MAX).prop_map(|count| NonZeroU32::new(count).unwrap())
}

fn global() -> impl Strategy<Value = Global> {
    let workers = option::of((1u16..=1024).prop_map(|count| NonZeroU16::new(count).unwrap()));
    (workers, option::of(count()), duration(Duration::ZERO), any::<u32>()).prop_map(
        |(workers, max_connections, drain_timeout, hash_seed)| Global {
            workers: workers.map_or(Workers::Auto, Workers::Count),
            max_connections: max_connections.map_or(MaxConnections::Auto, MaxConnections::Count),
            drain_timeout,
            hash_seed,
        },
    )
}

fn log() -> impl Strategy<Value = Log> {
    let levels = [LogLevel::Error, LogLevel::Warn, LogLevel::Info, LogLevel::Debug, LogLevel::Trace];
    (select(levels.to_vec()), select(&[LogFormat::Human, LogFormat::Json][..]), any::<bool>())
        .prop_map(|(level, format, access)| Log { level, format, access })
}

fn network() -> impl Strategy<Value = IpNet> {
    (ip(), 0u8..=128)
        .prop_map(|(ip, bits)| IpNet::new(ip, bits.min(if ip.is_ipv4() { 32 } else { 128 })).unwrap().trunc())
}

fn backend_address() -> impl Strategy<Value = BackendAddress> {
    (ip().prop_filter("an address to connect to", |ip| !ip.is_unspecified()), option::of(1u16..))
        .prop_map(|(ip, port)| BackendAddress { ip, port })
}

fn backends() -> impl Strategy<Value = Vec<Backend>> {
    let rest = (backend_address(), any::<u16>(), option::of(count()));
    btree_map(name(), rest, 1..5).prop_map(|backends| {
        let backend = |(name, (address, weight, max_connections)): (
            String,
            (BackendAddress, u16, Option<NonZeroU32>),
        )| {
            Backend { name: named(&name), address, weight: Weight(weight), max_connections }
        };
        backends.into_iter().map(backend).rev().collect()
    })
}

fn passive_health() -> impl Strategy<Value = PassiveHealth> {
    (count(), positive(), positive()).prop_map(|(failures, a, b)| PassiveHealth {
        failures,
        backoff: a.min(b),
        max_backoff: a.max(b),
    })
}

fn pool() -> impl Strategy<Value = Pool> {
    let balance = select(&[Algorithm::Hash, Algorithm::RoundRobin, Algorithm::LeastConnections][..]);
    let tries = (1u8..=8).prop_map(|tries| NonZeroU8::new(tries).unwrap());
    let queue = (any::<u32>(), positive()).prop_map(|(limit, timeout)| Queue { limit, timeout });
    (balance, backends(), positive(), tries, keepalive(), queue, passive_health()).prop_map(
        |(balance, backends, connect_timeout, connect_tries, keepalive, queue, passive_health)| Pool {
            name: named("placeholder"),
            balance,
            backends,
            connect_timeout,
            connect_tries,
            keepalive,
            queue,
            passive_health,
        },
    )
}

/// A listener but for its name, and with ports that no other listener has: listener `n` binds in 100n + 1000…
fn listener() -> impl Strategy<Value = (Listener, usize)> {
    let host = prop_oneof![Just(BindHost::Any), ip().prop_map(BindHost::Ip)];
    (
        vec((host, 0u16..9), 1..4),
        any::<usize>(),
        option::of(count()),
        option::of(positive()),
        keepalive(),
        vec(network(), 0..4),
        vec(network(), 0..4),
    )
        .prop_map(|(binds, pool, max_connections, idle_timeout, keepalive, allow, deny)| {
            let bind = |(index, (host, length)): (usize, (BindHost, u16))| {
                let first = u16::try_from(index).unwrap() * 10 + 1;
                Bind { host, ports: format!("{first}-{}", first + length).parse().unwrap() }
            };
            let listener = Listener {
                name: named("placeholder"),
                bind: binds.into_iter().enumerate().map(bind).collect(),
                protocol: Protocol::Tcp,
                pool: PoolId(0),
                max_connections,
                idle_timeout,
                keepalive,
                access: AccessList::new(allow, deny),
            };
            (listener, pool)
        })
}

/// Gives a listener its name, its ports and its pool.
fn placed(index: usize, name: &str, listener: Listener, pool: PoolId) -> Listener {
    let offset = 1000 + 100 * u16::try_from(index).unwrap();
    let moved = |bind: Bind| {
        let ports = format!("{}-{}", bind.ports.first() + offset, bind.ports.last() + offset);
        Bind { ports: ports.parse().unwrap(), ..bind }
    };
    Listener { name: named(name), bind: listener.bind.into_iter().map(moved).collect(), pool, ..listener }
}

fn config() -> impl Strategy<Value = Config> {
    let pools = btree_map(name(), pool(), 1..4);
    let listeners = btree_map(name(), listener(), 1..4);
    (global(), log(), pools, listeners)
        .prop_map(|(global, log, pools, listeners)| assemble(global, log, pools, listeners))
}

fn assemble(
    global: Global,
    log: Log,
    pools: BTreeMap<String, Pool>,
    listeners: BTreeMap<String, (Listener, usize)>,
) -> Config {
    let pools: Vec<Pool> =
        pools.into_iter().map(|(name, pool)| Pool { name: named(&name), ..pool }).collect();
    let listener = |(index, (name, (listener, pool))): (usize, (String, (Listener, usize)))| {
        placed(index, &name, listener, PoolId(u32::try_from(pool % pools.len()).unwrap()))
    };
    let listeners = listeners.into_iter().enumerate().map(listener).collect();
    Config { global, log, listeners, pools }
}

proptest! {
    #[test]
    fn effective_reads_back(config in config()) {
        let text = crate::effective(&config);
        let loaded = parse(&text).unwrap_or_else(|errors| panic!("{errors}\n{text}"));
        prop_assert_eq!(loaded.config, config);
    }
}

#[test]
fn the_effective_minimum() {
    let expected = r#"version = 1

[global]
workers = "auto"
max_connections = "auto"
drain_timeout = "30s"
hash_seed = 0

[log]
level = "info"
format = "human"
access = true

[listeners.web]
bind = ["127.0.0.1:8080"]
protocol = "tcp"
pool = "web"
# max_connections: no limit
idle_timeout = "10m"
keepalive = "1m"
allow = []
deny = []

[pools.web]
balance = "hash"
backends = [
    { address = "127.0.0.1:9001", name = "127.0.0.1:9001", weight = 1 }, # max_connections: no limit
]
connect_timeout = "5s"
connect_tries = 3
keepalive = "off"
queue = { limit = 1024, timeout = "10s" }
passive_health = { failures = 1, backoff = "1s", max_backoff = "30s" }
"#;
    assert_eq!(crate::effective(&parse(MINIMAL).unwrap().config), expected);
}
