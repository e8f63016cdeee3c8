//! What HTTP listeners and their pools have.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU16;

use lb_model::{
    AccessLog, AccessLogDestination, AccessLogFormat, ByteRate, HeaderEdit, HeaderName, HeaderValue, Http,
    HttpUpstream, Networks, PathPrefix, PoolId, Route, RouteHost, RouteTable,
};
use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::{count, duration, ip, named, network, path, positive};

/// Everything but the routes, and some of those.
pub(super) fn http() -> impl Strategy<Value = (Http, Vec<Route>)> {
    let sizes = Http::HEADER_BYTES.prop_flat_map(|header| (Just(header), 1..=header));
    let max_header_count = (1u16..=10_000).prop_map(|count| NonZeroU16::new(count).unwrap());
    let rate = || option::of(count().prop_map(ByteRate));
    let limits = (sizes, max_header_count, option::of(any::<u64>()), option::of(count()));
    let paces = (option::of(positive()), rate(), rate(), duration(std::time::Duration::ZERO), positive());
    let rest = (vec(network(), 0..3), option::of(header_name()), option::of(access_log()));
    (limits, paces, rest, routes()).prop_map(|(limits, paces, rest, routes)| {
        let (
            (max_header_bytes, max_uri_bytes),
            max_header_count,
            max_body_bytes,
            max_requests_per_connection,
        ) = limits;
        let (body_timeout, min_body_rate, min_response_rate, min_rate_grace, keepalive_timeout) = paces;
        let (trusted_proxies, request_id_header, access_log) = rest;
        let http = Http {
            routes: RouteTable::default(),
            max_header_bytes,
            max_header_count,
            max_uri_bytes,
            max_body_bytes,
            body_timeout,
            min_body_rate,
            min_response_rate,
            min_rate_grace,
            keepalive_timeout,
            max_requests_per_connection,
            trusted_proxies: Networks::new(trusted_proxies),
            request_id_header,
            access_log,
        };
        (http, routes)
    })
}

pub(super) fn upstream() -> impl Strategy<Value = HttpUpstream> {
    let timeout = || option::of(positive());
    (timeout(), timeout(), timeout(), any::<u32>(), positive()).prop_map(
        |(first_byte_timeout, idle_timeout, total_timeout, max_idle_connections, idle_connection_timeout)| {
            HttpUpstream {
                first_byte_timeout,
                idle_timeout,
                total_timeout,
                max_idle_connections,
                idle_connection_timeout,
            }
        },
    )
}

fn access_log() -> impl Strategy<Value = AccessLog> {
    let destination = prop_oneof![
        Just(AccessLogDestination::Stdout),
        Just(AccessLogDestination::Stderr),
        path().prop_map(AccessLogDestination::File),
    ];
    let format = select(vec![AccessLogFormat::Json, AccessLogFormat::Combined]);
    (format, destination).prop_map(|(format, destination)| AccessLog { format, destination })
}

/// Routes of which no two are for the same requests.
fn routes() -> impl Strategy<Value = Vec<Route>> {
    vec(route(), 0..4).prop_map(|mut routes| {
        let mut known = BTreeSet::new();
        routes.retain(|route| {
            let path = &route.path_prefix;
            let hosts: Vec<_> = match &route.hosts[..] {
                [] => vec![(None, path.clone())],
                hosts => hosts.iter().map(|host| (Some(host.clone()), path.clone())).collect(),
            };
            hosts.into_iter().all(|claim| known.insert(claim))
        });
        routes
    })
}

fn route() -> impl Strategy<Value = Route> {
    let name = "([a-z0-9_]([a-z0-9_-]{0,3}[a-z0-9_])?\\.){0,2}[a-z]{1,5}";
    let address = ip().prop_map(|ip| if ip.is_ipv6() { format!("[{ip}]") } else { ip.to_string() });
    let host = prop_oneof![name.prop_map(String::from), address];
    let host = host.prop_map(|host| named::<RouteHost>(&host));
    let prefix =
        "/|(/([a-z$\"\\\\']|%[0-9A-F]{2}){1,3}){1,3}".prop_map(|prefix| named::<PathPrefix>(&prefix));
    (vec(host, 0..3), prefix, any::<u32>(), header_edits(), header_edits()).prop_map(
        |(hosts, path_prefix, pool, request_headers, response_headers)| Route {
            hosts,
            path_prefix,
            pool: PoolId(pool),
            request_headers,
            response_headers,
        },
    )
}

fn header_name() -> impl Strategy<Value = HeaderName> {
    // With a letter that no name of Sluice's begins with.
    "[Xx][a-zA-Z0-9!#$%&'*+.^_`|~-]{0,5}".prop_map(|name| named(&name))
}

fn header_value() -> impl Strategy<Value = HeaderValue> {
    "([!-~é€]([ -~\té€]{0,8}[!-~é€])?)|\\$\\{BACKEND\\}|\\$\\$".prop_map(|value| named(&value))
}

/// Edits in the order in which they are made: those that have values by name.
fn header_edits() -> impl Strategy<Value = Vec<HeaderEdit>> {
    let name = || header_name().prop_map(|name| name.to_string());
    let (set, add) = (btree_map(name(), header_value(), 0..3), btree_map(name(), header_value(), 0..3));
    (vec(name(), 0..3), set, add).prop_map(|(remove, set, add)| {
        let mut known = BTreeSet::new();
        let mut is_new = |name: &String| known.insert(name.to_ascii_lowercase());
        let mut edits = Vec::new();
        edits.extend(remove.into_iter().filter(&mut is_new).map(|name| HeaderEdit::Remove(named(&name))));
        let set: BTreeMap<_, _> = set.into_iter().filter(|(name, _)| is_new(name)).collect();
        edits.extend(set.into_iter().map(|(name, value)| HeaderEdit::Set(named(&name), value)));
        edits.extend(add.into_iter().map(|(name, value)| HeaderEdit::Add(named(&name), value)));
        edits
    })
}
