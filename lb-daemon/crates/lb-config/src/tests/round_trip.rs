//! `effective` loses nothing: for every configuration that can be, reading its text gives it back.

mod health_check;
mod http;
mod listener;

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::num::{NonZeroU8, NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use ipnet::IpNet;
use lb_model::{
    Admin, AdminSocket, AdminTcp, AdminTls, Algorithm, Backend, BackendAddress, Config, Discovery,
    DiscoveryQuery, DiscoverySettings, Global, HealthCheck, HttpUpstream, Include, IpFamilies, Listener, Log,
    LogFormat, LogLevel, MaxConnections, PassiveHealth, Percent, Pool, Probe, Protocol, ProxyTlvs, Queue,
    SendProxy, Watch, Weight, Workers, ZoneName, Zones,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use self::health_check::health_check;
use self::http::upstream;
use self::listener::{listener, placed};
use super::{MINIMAL, parse};

fn name() -> impl Strategy<Value = String> {
    "[A-Za-z0-9_.:\\[\\]-]{1,12}"
}

fn named<N: FromStr<Err: std::fmt::Debug>>(name: &str) -> N {
    name.parse().unwrap()
}

fn zone() -> impl Strategy<Value = Option<ZoneName>> {
    option::of(name().prop_map(|zone| named(&zone)))
}

/// A DNS name that cannot be taken for an address.
fn dns_name() -> impl Strategy<Value = String> {
    "([a-z0-9_]{1,5}\\.){0,2}[a-z_]{1,5}"
}

/// A path, also one that TOML has to escape.
fn path() -> impl Strategy<Value = PathBuf> {
    vec(any::<char>(), 0..12)
        .prop_map(|name| PathBuf::from(format!("/{}", String::from_iter(name).replace('\0', ""))))
}

fn percent() -> impl Strategy<Value = Percent> {
    (0..=100u8).prop_map(|number| named(&format!("{number}%")))
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
    let nameserver = (connectable_ip(), 1u16..).prop_map(SocketAddr::from);
    (
        workers,
        option::of(count()),
        duration(Duration::ZERO),
        any::<u32>(),
        zone(),
        option::of(path()),
        select(vec![Watch::Off, Watch::On]),
        vec(nameserver, 0..3),
    )
        .prop_map(
            |(workers, max_connections, drain_timeout, hash_seed, zone, state_dir, watch, nameservers)| {
                Global {
                    workers: workers.map_or(Workers::Auto, Workers::Count),
                    max_connections: max_connections.map_or(MaxConnections::Auto, MaxConnections::Count),
                    drain_timeout,
                    hash_seed,
                    zone,
                    state_dir,
                    watch,
                    nameservers,
                }
            },
        )
}

fn admin() -> impl Strategy<Value = Admin> {
    let socket =
        prop_oneof![Just(AdminSocket::Default), Just(AdminSocket::Off), path().prop_map(AdminSocket::Path),];
    (socket, option::of(admin_tcp())).prop_map(|(socket, tcp)| Admin { socket, tcp })
}

/// Ports are higher than those of listeners.
fn admin_tcp() -> impl Strategy<Value = AdminTcp> {
    let tls = (path(), path(), option::of(path()))
        .prop_map(|(cert_file, key_file, client_ca_file)| AdminTls { cert_file, key_file, client_ca_file });
    (canonical_ip(), 10_000u16.., path(), any::<bool>(), option::of(tls)).prop_map(
        |(ip, port, token_file, has_token, tls)| {
            let ip = if tls.is_some() { ip } else { Ipv4Addr::LOCALHOST.into() };
            let has_client_ca = tls.as_ref().is_some_and(|tls| tls.client_ca_file.is_some());
            AdminTcp {
                bind: SocketAddr::new(ip, port),
                token_file: (has_token || !has_client_ca).then_some(token_file),
                tls,
            }
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

fn canonical_ip() -> impl Strategy<Value = IpAddr> {
    ip().prop_map(|ip| ip.to_canonical())
}

fn connectable_ip() -> impl Strategy<Value = IpAddr> {
    canonical_ip().prop_filter("an address to connect to", |ip| !ip.is_unspecified())
}

fn backend_address() -> impl Strategy<Value = BackendAddress> {
    (connectable_ip(), option::of(1u16..)).prop_map(|(ip, port)| BackendAddress { ip, port })
}

fn weight() -> impl Strategy<Value = Weight> {
    any::<u16>().prop_map(Weight)
}

fn backend() -> impl Strategy<Value = Backend> {
    (backend_address(), weight(), option::of(count()), any::<u8>(), zone(), option::of(health_check()))
        .prop_map(|(address, weight, max_connections, tier, zone, health_check)| Backend {
            name: named("placeholder"),
            address,
            weight,
            max_connections,
            tier,
            zone,
            health_check: health_check.map(|check| with_port(check, address.port)),
        })
}

fn backends() -> impl Strategy<Value = Vec<Backend>> {
    btree_map(name(), backend(), 1..5).prop_map(|backends| {
        backends.into_iter().map(|(name, backend)| Backend { name: named(&name), ..backend }).rev().collect()
    })
}

/// A check that knows which port to probe, of a backend on `port`.
fn with_port(check: HealthCheck, port: Option<u16>) -> HealthCheck {
    let needs_none = matches!(check.probe, Probe::Exec(_)) || port.is_some();
    HealthCheck { port: check.port.or((!needs_none).then_some(1)), ..check }
}

/// A name to look up, but for the name itself: that is only sometimes with a last dot.
fn discovery() -> impl Strategy<Value = Discovery> {
    let name = || select(vec!["placeholder", "placeholder."]).prop_map(named);
    let query = prop_oneof![
        (name(), option::of(1u16..)).prop_map(|(name, port)| DiscoveryQuery::Addresses { name, port }),
        name().prop_map(|name| DiscoveryQuery::Services { name }),
    ];
    (query, weight(), any::<u8>(), zone(), option::of(count()), option::of(health_check())).prop_map(
        |(query, weight, tier, zone, max_connections, health_check)| {
            let port = match query {
                DiscoveryQuery::Addresses { port, .. } => port,
                DiscoveryQuery::Services { .. } => Some(1),
            };
            let health_check = health_check.map(|check| with_port(check, port));
            Discovery { query, weight, tier, zone, max_connections, health_check }
        },
    )
}

fn discover() -> impl Strategy<Value = Vec<Discovery>> {
    btree_map(dns_name(), discovery(), 1..4).prop_map(|discover| {
        let named = |(name, discovery): (String, Discovery)| {
            let name = named(&discovery.query.name().as_str().replace("placeholder", &name));
            let query = match discovery.query {
                DiscoveryQuery::Addresses { port, .. } => DiscoveryQuery::Addresses { name, port },
                DiscoveryQuery::Services { .. } => DiscoveryQuery::Services { name },
            };
            Discovery { query, ..discovery }
        };
        discover.into_iter().map(named).rev().collect()
    })
}

/// The backends of a pool: of one kind or of both.
fn members() -> impl Strategy<Value = (Vec<Backend>, Vec<Discovery>)> {
    let different =
        prop_oneof![(backends(), Just(vec![])), (Just(vec![]), discover()), (backends(), discover()),];
    (different, option::of(health_check())).prop_map(|((mut backends, mut discover), common)| {
        if let Some(check) = common {
            let check = with_port(check, None);
            backends.iter_mut().for_each(|backend| backend.health_check = Some(check.clone()));
            discover.iter_mut().for_each(|discovery| discovery.health_check = Some(check.clone()));
        }
        (backends, discover)
    })
}

fn discovery_settings() -> impl Strategy<Value = DiscoverySettings> {
    let families = select(vec![IpFamilies::Both, IpFamilies::Ipv4, IpFamilies::Ipv6]);
    let some =
        (families, positive(), positive(), duration(Duration::ZERO)).prop_map(|(families, a, b, keep)| {
            DiscoverySettings { families, min_ttl: a.min(b), max_ttl: a.max(b), keep }
        });
    prop_oneof![Just(DiscoverySettings::DEFAULT), some]
}

fn passive_health() -> impl Strategy<Value = PassiveHealth> {
    (count(), positive(), positive(), percent()).prop_map(|(failures, a, b, max_ejected)| PassiveHealth {
        failures,
        backoff: a.min(b),
        max_backoff: a.max(b),
        max_ejected,
    })
}

fn algorithm() -> impl Strategy<Value = Algorithm> {
    select(vec![
        Algorithm::Hash,
        Algorithm::RoundRobin,
        Algorithm::IpHash,
        Algorithm::LeastConnections,
        Algorithm::LeastResponseTime,
        Algorithm::Random,
    ])
}

fn send_proxy() -> impl Strategy<Value = SendProxy> {
    let include = || select(vec![Include::Yes, Include::No]);
    let tlvs = (include(), include(), include(), include())
        .prop_map(|(alpn, authority, unique_id, crc32c)| ProxyTlvs { alpn, authority, unique_id, crc32c });
    prop_oneof![Just(SendProxy::V1), tlvs.prop_map(SendProxy::V2)]
}

fn pool() -> impl Strategy<Value = Pool> {
    let tries = (1u8..=8).prop_map(|tries| NonZeroU8::new(tries).unwrap());
    let queue = (any::<u32>(), positive()).prop_map(|(limit, timeout)| Queue { limit, timeout });
    let zones = select(vec![Zones::Ignore, Zones::PreferLocal]);
    let health = (passive_health(), option::of(positive()), percent(), zones, option::of(send_proxy()));
    let queue = (queue, upstream());
    (algorithm(), members(), discovery_settings(), positive(), tries, keepalive(), queue, health).prop_map(
        |(balance, members, discovery, connect_timeout, connect_tries, keepalive, queue, health)| {
            let (backends, discover) = members;
            let (passive_health, slow_start, panic_threshold, zones, send_proxy) = health;
            let (queue, http) = queue;
            Pool {
                name: named("placeholder"),
                balance,
                backends,
                discover,
                discovery,
                connect_timeout,
                connect_tries,
                keepalive,
                queue,
                passive_health,
                slow_start,
                panic_threshold,
                zones,
                send_proxy,
                http,
            }
        },
    )
}

fn config() -> impl Strategy<Value = Config> {
    let pools = btree_map(name(), pool(), 1..4);
    let listeners = btree_map(name(), listener(), 1..4);
    (global(), log(), admin(), pools, listeners)
        .prop_map(|(global, log, admin, pools, listeners)| assemble(global, log, admin, pools, listeners))
}

fn assemble(
    global: Global,
    log: Log,
    admin: Admin,
    pools: BTreeMap<String, Pool>,
    listeners: BTreeMap<String, Listener>,
) -> Config {
    let listeners: Vec<Listener> = listeners
        .into_iter()
        .enumerate()
        .map(|(index, (name, listener))| placed(index, &name, listener, pools.len()))
        .collect();
    // Only who is somewhere can prefer what is near.
    let zones = |pool: &Pool| if global.zone.is_some() { pool.zones } else { Zones::Ignore };
    let serves = |protocol: Protocol, index: usize| {
        let mut listeners = listeners.iter().filter(|listener| listener.protocol == protocol);
        listeners.any(|listener| listener.pools().iter().any(|pool| pool.index() == index))
    };
    // There is no header for datagrams, and none for requests.
    let sends_header = |index: usize| !serves(Protocol::Udp, index) && !serves(Protocol::Http, index);
    // Where there are no requests, what is to become of them has no meaning.
    let http = |index: usize, pool: &Pool| {
        if serves(Protocol::Http, index) { pool.http.clone() } else { HttpUpstream::DEFAULT }
    };
    let pools = pools
        .into_iter()
        .enumerate()
        .map(|(index, (name, pool))| Pool {
            name: named(&name),
            zones: zones(&pool),
            send_proxy: pool.send_proxy.filter(|_| sends_header(index)),
            http: http(index, &pool),
            ..pool
        })
        .collect();
    Config { global, log, admin, listeners, pools }
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
# zone: none
# state_dir: $STATE_DIRECTORY, else overrides do not survive a restart
watch = false
# nameservers: those of /etc/resolv.conf

[log]
level = "info"
format = "human"
access = true

[admin]
# socket: $RUNTIME_DIRECTORY/admin.sock, else /run/sluice/admin.sock
# tcp: none

[listeners.web]
bind = ["127.0.0.1:8080"]
protocol = "tcp"
pool = "web"
accept_proxy = []
# max_connections: no limit
# max_connections_per_client: no limit
idle_timeout = "10m"
keepalive = "1m"
allow = []
deny = []

[pools.web]
balance = "hash"
backends = [
    { address = "127.0.0.1:9001", name = "127.0.0.1:9001", weight = 1, tier = 0 }, # max_connections: no limit; zone: none
]
health_check = "off"
slow_start = "off"
panic_threshold = "0%"
zones = "ignore"
connect_timeout = "5s"
connect_tries = 3
keepalive = "off"
send_proxy = "off"
queue = { limit = 1024, timeout = "10s" }
passive_health = { failures = 1, backoff = "1s", max_backoff = "30s", max_ejected = "100%" }
"#;
    assert_eq!(crate::effective(&parse(MINIMAL).unwrap().config), expected);
}
