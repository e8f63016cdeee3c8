//! `sni` of a listener: every route, and that each can be reached.

use std::collections::HashMap;
use std::ops::Range;

use lb_model::{AlpnProtocol, ServerNamePattern, SniRoute, SniRoutes};

use super::{PoolNames, collect, has_entries, required};
use crate::diagnostic::Problems;
use crate::document::Document;
use crate::raw::{Located, RawSniRoute, Text};

pub(super) fn convert(
    raw: &[Located<RawSniRoute>],
    pools: &PoolNames,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Option<SniRoutes> {
    check_reach(raw, document, problems);
    let mut routes = Some(Vec::with_capacity(raw.len()));
    for raw in raw {
        collect(&mut routes, route(raw, pools, document, problems));
    }
    routes.map(SniRoutes::new)
}

fn route(
    raw: &Located<RawSniRoute>,
    pools: &PoolNames,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Option<SniRoute> {
    let Located { span: table, value: RawSniRoute { names, pool, .. } } = raw;
    let names = required("names", names.as_ref(), table, document, problems);
    if let Some(names) = names
        && names.value.is_empty()
        && document.is_empty_list(&names.span)
    {
        problems.error(document.diagnostic(names.span.clone(), "must have at least one name"));
    }
    let pool = required("pool", pool.as_ref(), table, document, problems)
        .and_then(|pool| pools.resolve(pool, document, problems));
    Some(SniRoute {
        names: names?.value.iter().map(|Located { value: Text(name), .. }| name.clone()).collect(),
        alpn: protocols(raw).cloned().collect(),
        pool: pool?,
    })
}

/// The protocols that a route is limited to; none are all.
fn protocols(raw: &Located<RawSniRoute>) -> impl Iterator<Item = &AlpnProtocol> {
    let alpn = raw.value.alpn.iter().flat_map(|alpn| &alpn.value);
    alpn.map(|Located { value: Text(protocol), .. }| protocol)
}

/// Whether a route is limited to protocols of which none could be read.
fn has_lost_protocols(raw: &Located<RawSniRoute>, document: &Document<'_>) -> bool {
    protocols(raw).next().is_none() && has_entries("alpn", raw.value.alpn.as_ref(), &raw.span, document)
}

/// Reports names for which earlier routes leave no client over: an error where the same is said twice, else a warning.
fn check_reach(raw: &[Located<RawSniRoute>], document: &Document<'_>, problems: &mut Problems) {
    let mut taken = Taken::default();
    for route in raw {
        for Located { span, value: Text(name) } in route.value.names.iter().flat_map(|names| &names.value) {
            let Some(first) = taken.take(name, Claim { route, span }) else { continue };
            if has_lost_protocols(route, document) || has_lost_protocols(first.route, document) {
                continue;
            }
            let first = document.place(first.span);
            if protocols(route).next().is_none() {
                let message =
                    format!("this listener has \"{name}\" twice: here, and at {first}; leave one out");
                problems.error(document.diagnostic(span.clone(), &message));
            } else {
                let message = format!(
                    "no client that asks for \"{name}\" gets to this route: earlier ones take all that its `alpn` is for, \
                     the first is at {first}"
                );
                problems.warning(document.diagnostic(span.clone(), &message));
            }
        }
    }
}

/// A name in a route.
#[derive(Clone, Copy)]
struct Claim<'r> {
    route: &'r Located<RawSniRoute>,
    /// The place of the name.
    span: &'r Range<usize>,
}

/// Who gets the clients with a name and a protocol; without a protocol, all with that name.
#[derive(Default)]
struct Taken<'r> {
    by: HashMap<(&'r ServerNamePattern, Option<&'r AlpnProtocol>), Claim<'r>>,
}

impl<'r> Taken<'r> {
    /// Gives the clients with `name` that the route is for to `claim`, as far as they are left. Where none is, returns who
    /// got them first.
    fn take(&mut self, name: &'r ServerNamePattern, claim: Claim<'r>) -> Option<Claim<'r>> {
        let all = self.by.get(&(name, None)).copied();
        let mut wanted = protocols(claim.route).peekable();
        if wanted.peek().is_none() {
            self.by.entry((name, None)).or_insert(claim);
            return all;
        }
        let taker = |protocol| all.or_else(|| self.by.get(&(name, Some(protocol))).copied());
        let takers: Option<Vec<_>> = wanted.map(taker).collect();
        for protocol in protocols(claim.route) {
            self.by.entry((name, Some(protocol))).or_insert(claim);
        }
        takers?.into_iter().next()
    }
}
