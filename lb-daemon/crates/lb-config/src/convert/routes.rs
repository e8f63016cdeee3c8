//! `routes` of a listener: every route, and that no request is for two.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::ops::Range;

use lb_model::{PathPrefix, Route, RouteHost, RouteTable};

use super::{PoolNames, collect, has_entries, header_edits, required};
use crate::diagnostic::Problems;
use crate::document::Document;
use crate::raw::{Located, RawListener, RawRoute, Text};

pub(super) fn convert(
    listener: &RawListener,
    pools: &PoolNames,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Option<RouteTable> {
    let raw = listener.routes.as_ref().map_or(&[][..], |routes| &routes.value);
    check_claims(raw, document, problems);
    warn_of_idle_pool(listener, raw, document, problems);
    let mut routes = Some(Vec::with_capacity(raw.len()));
    for raw in raw {
        collect(&mut routes, route(raw, pools, document, problems));
    }
    routes.map(RouteTable::new)
}

fn route(
    raw: &Located<RawRoute>,
    pools: &PoolNames,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Option<Route> {
    let Located {
        span: table,
        value: RawRoute { hosts: _, path_prefix: _, pool, request_headers, response_headers },
    } = raw;
    let pool = required("pool", pool.as_ref(), table, document, problems)
        .and_then(|pool| pools.resolve(pool, document, problems));
    let request_headers = header_edits::convert(request_headers.as_ref(), document, problems);
    let response_headers = header_edits::convert(response_headers.as_ref(), document, problems);
    Some(Route {
        hosts: hosts(raw).map(|(_, host)| host.clone()).collect(),
        path_prefix: path_prefix(raw),
        pool: pool?,
        request_headers,
        response_headers,
    })
}

/// The hosts that a route is limited to, and their places; none are all.
fn hosts(raw: &Located<RawRoute>) -> impl Iterator<Item = (&Range<usize>, &RouteHost)> {
    let hosts = raw.value.hosts.iter().flat_map(|hosts| &hosts.value);
    hosts.map(|Located { span, value: Text(host) }| (span, host))
}

fn path_prefix(raw: &Located<RawRoute>) -> PathPrefix {
    raw.value.path_prefix.as_ref().map_or_else(PathPrefix::root, |prefix| prefix.value.0.clone())
}

/// Whether something that a route is limited to could not be read.
fn is_incomplete(raw: &Located<RawRoute>, document: &Document<'_>) -> bool {
    let RawRoute { hosts, path_prefix, .. } = &raw.value;
    let has_lost_hosts = hosts.as_ref().is_none_or(|hosts| hosts.value.is_empty())
        && has_entries("hosts", hosts.as_ref(), &raw.span, document);
    has_lost_hosts || (path_prefix.is_none() && document.has_key(&raw.span, "path_prefix"))
}

/// Reports requests that two routes are for: those with the same host, or none, and the same prefix.
fn check_claims(raw: &[Located<RawRoute>], document: &Document<'_>, problems: &mut Problems) {
    let mut first: HashMap<(Option<&RouteHost>, PathPrefix), &Range<usize>> = HashMap::new();
    for route in raw.iter().filter(|route| !is_incomplete(route, document)) {
        let whole = &route.value.path_prefix.as_ref().map_or(&route.span, |prefix| &prefix.span);
        let mut claims: Vec<_> = hosts(route).map(|(span, host)| (span, Some(host))).collect();
        if claims.is_empty() {
            claims.push((whole, None));
        }
        for (span, host) in claims {
            let path = path_prefix(route);
            let what = host
                .map_or_else(|| format!("\"{path}\" of all hosts"), |host| format!("\"{path}\" of {host}"));
            match first.entry((host, path)) {
                Entry::Vacant(entry) => {
                    entry.insert(span);
                }
                Entry::Occupied(entry) => {
                    let earlier = document.place(entry.get());
                    let message =
                        format!("this listener has {what} twice: here, and at {earlier}; leave one out");
                    problems.error(document.diagnostic(span.clone(), &message));
                }
            }
        }
    }
}

/// Warns of a pool for the rest where a route leaves nothing.
fn warn_of_idle_pool(
    listener: &RawListener,
    raw: &[Located<RawRoute>],
    document: &Document<'_>,
    problems: &mut Problems,
) {
    let is_for_all = |route: &&Located<RawRoute>| {
        hosts(route).next().is_none() && path_prefix(route).is_root() && !is_incomplete(route, document)
    };
    if let Some(pool) = &listener.pool
        && let Some(route) = raw.iter().find(is_for_all)
    {
        let place = document.place(&route.span);
        let message =
            format!("no request gets to this pool: the route at {place} is for all that others leave");
        problems.warning(document.diagnostic(pool.span.clone(), &message));
    }
}
