//! Listeners of every protocol.

use std::collections::BTreeSet;
use std::num::NonZeroU16;
use std::time::Duration;

use lb_model::{
    AccessList, AlpnProtocol, Bind, BindHost, Http, Listener, PoolId, Protocol, Route, RouteTable,
    ServerNamePattern, SniRoute, SniRoutes,
};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use super::{count, ip, keepalive, named, network, positive};

/// A listener but for its name, and with ports that no other has once it is [`placed`]. Its pools are any numbers.
pub(super) fn listener() -> impl Strategy<Value = Listener> {
    prop_oneof![tcp(), tls(), udp(), http()]
}

fn tcp() -> impl Strategy<Value = Listener> {
    (common(), pool(), vec(network(), 0..3), positive(), connection_timeouts()).prop_map(
        |(common, pool, accept_proxy, header_timeout, (idle_timeout, keepalive))| {
            // Where no header comes first, how long it may take has no meaning.
            let header_timeout =
                if accept_proxy.is_empty() { crate::default::HEADER_TIMEOUT } else { header_timeout };
            Listener {
                protocol: Protocol::Tcp,
                pool: Some(pool),
                accept_proxy,
                header_timeout,
                idle_timeout,
                keepalive,
                ..common
            }
        },
    )
}

fn tls() -> impl Strategy<Value = Listener> {
    let served = prop_oneof![(pool().prop_map(Some), Just(vec![])), (option::of(pool()), vec(route(), 1..4))]
        .prop_filter("names in one route each", |(_, routes)| is_each_name_in_one_route(routes));
    (common(), served, vec(network(), 0..3), positive(), connection_timeouts()).prop_map(
        |(common, (pool, sni), accept_proxy, header_timeout, (idle_timeout, keepalive))| Listener {
            protocol: Protocol::Tls,
            pool,
            sni: SniRoutes::new(sni),
            accept_proxy,
            header_timeout,
            idle_timeout,
            keepalive,
            ..common
        },
    )
}

fn udp() -> impl Strategy<Value = Listener> {
    let replies = option::of((1..=u16::MAX).prop_map(|replies| NonZeroU16::new(replies).unwrap()));
    (common(), pool(), replies, positive()).prop_map(|(common, pool, replies, idle_timeout)| Listener {
        protocol: Protocol::Udp,
        pool: Some(pool),
        replies,
        idle_timeout: Some(idle_timeout),
        ..common
    })
}

fn http() -> impl Strategy<Value = Listener> {
    let served = (super::http::http(), pool(), any::<bool>());
    (common(), served, vec(network(), 0..3), positive(), connection_timeouts()).prop_map(
        |(
            common,
            ((http, routes), pool, with_pool),
            accept_proxy,
            header_timeout,
            (idle_timeout, keepalive),
        )| {
            Listener {
                protocol: Protocol::Http,
                pool: (with_pool || routes.is_empty()).then_some(pool),
                http: Some(Http { routes: RouteTable::new(routes), ..http }),
                accept_proxy,
                header_timeout,
                idle_timeout,
                keepalive,
                ..common
            }
        },
    )
}

/// What every protocol has.
fn common() -> impl Strategy<Value = Listener> {
    let host = prop_oneof![Just(BindHost::Any), ip().prop_map(BindHost::Ip)];
    (
        vec((host, 0u16..9), 1..4),
        (option::of(count()), option::of(count())),
        vec(network(), 0..4),
        vec(network(), 0..4),
    )
        .prop_map(|(binds, (max_connections, max_connections_per_client), allow, deny)| Listener {
            name: named("placeholder"),
            bind: binds.into_iter().enumerate().map(bind).collect(),
            protocol: Protocol::Tcp,
            pool: None,
            sni: SniRoutes::default(),
            http: None,
            accept_proxy: vec![],
            header_timeout: crate::default::HEADER_TIMEOUT,
            replies: None,
            max_connections,
            max_connections_per_client,
            idle_timeout: None,
            keepalive: None,
            access: AccessList::new(allow, deny),
        })
}

fn bind((index, (host, length)): (usize, (BindHost, u16))) -> Bind {
    let first = u16::try_from(index).unwrap() * 10 + 1;
    Bind { host, ports: named_ports(first, first + length) }
}

fn named_ports(first: u16, last: u16) -> lb_model::PortRange {
    format!("{first}-{last}").parse().unwrap()
}

fn pool() -> impl Strategy<Value = PoolId> {
    any::<u32>().prop_map(PoolId)
}

fn connection_timeouts() -> impl Strategy<Value = (Option<Duration>, Option<Duration>)> {
    (option::of(positive()), keepalive())
}

fn route() -> impl Strategy<Value = SniRoute> {
    let name =
        "(\\*\\.)?([a-z0-9_]([a-z0-9_-]{0,3}[a-z0-9_])?\\.){0,2}[a-z]{1,5}".prop_map(|name| named(&name));
    let protocol = "[!-~]{1,8}".prop_map(|protocol| protocol.parse::<AlpnProtocol>().unwrap());
    (vec(name, 1..4), vec(protocol, 0..3), pool()).prop_map(|(names, alpn, pool)| SniRoute {
        names,
        alpn,
        pool,
    })
}

fn is_each_name_in_one_route(routes: &[SniRoute]) -> bool {
    let mut names: BTreeSet<&ServerNamePattern> = BTreeSet::new();
    routes.iter().flat_map(|route| &route.names).all(|name| names.insert(name))
}

/// Gives a listener its name, its ports and one of `pools` pools wherever it has one: listener `n` binds in 100n + 1000…
pub(super) fn placed(index: usize, name: &str, listener: Listener, pools: usize) -> Listener {
    let offset = 1000 + 100 * u16::try_from(index).unwrap();
    let moved = |bind: Bind| Bind {
        ports: named_ports(bind.ports.first() + offset, bind.ports.last() + offset),
        ..bind
    };
    let pool = |PoolId(any): PoolId| PoolId(any % u32::try_from(pools).unwrap());
    let routes = |http: &Http| {
        RouteTable::new(
            http.routes.iter().map(|route| Route { pool: pool(route.pool), ..route.clone() }).collect(),
        )
    };
    Listener {
        name: named(name),
        bind: listener.bind.into_iter().map(moved).collect(),
        pool: listener.pool.map(pool),
        sni: SniRoutes::new(
            listener.sni.iter().map(|route| SniRoute { pool: pool(route.pool), ..route.clone() }).collect(),
        ),
        http: listener.http.map(|http| Http { routes: routes(&http), ..http }),
        ..listener
    }
}
