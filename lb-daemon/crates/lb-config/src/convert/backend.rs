//! One entry of `backends` to a [`Backend`], or to a [`Discovery`] of some.

use std::ops::Range;

use lb_model::{Backend, BackendAddress, BackendName, Discovery, DiscoveryQuery, HealthCheck, Probe, Weight};

use super::health_check::{self, PoolCheck};
use super::required;
use crate::diagnostic::Problems;
use crate::document::Document;
use crate::raw::{Located, RawBackend, ShortOr, Text};
use crate::target::Target;

/// What an entry stands for, and the place of what tells it from the others.
pub(super) enum Entry<'r> {
    Backend { backend: Backend, name_span: &'r Range<usize> },
    Discovery { discovery: Discovery, query_span: &'r Range<usize> },
}

/// Where the addresses of backends come from.
enum Origin {
    Address(BackendAddress),
    Query(DiscoveryQuery),
}

pub(super) fn convert<'r>(
    raw: &'r Located<ShortOr<RawBackend>>,
    pool_check: &PoolCheck,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Option<Entry<'r>> {
    let unset = RawBackend::default();
    let settings = raw.value.long().unwrap_or(&unset);
    let weight = settings.weight.as_ref().map_or(Weight::DEFAULT, |weight| Weight(weight.value.0));
    let tier = settings.tier.as_ref().map_or(0, |tier| tier.value.0);
    let zone = settings.zone.as_ref().map(|zone| zone.value.0.clone());
    let max_connections = settings.max_connections.as_ref().map(|max| max.value.0);
    let health_check =
        health_check::of_backend(settings.health_check.as_ref(), pool_check, document, problems);

    let (origin, span) = origin(raw, document, problems)?;
    if let Some(check) = &health_check {
        require_port(check, &origin, span, document, problems);
    }
    let name = raw.value.long().and_then(|table| table.name.as_ref());
    Some(match origin {
        Origin::Address(address) => Entry::Backend {
            backend: Backend {
                name: name.map_or_else(|| default_name(address), |name| name.value.0.clone()),
                address,
                weight,
                max_connections,
                tier,
                zone,
                health_check,
            },
            name_span: name.map_or(&raw.span, |name| &name.span),
        },
        Origin::Query(query) => {
            if let Some(name) = name {
                let message = "what a DNS name resolves to is called by its addresses: leave `name` out";
                problems.error(document.diagnostic(name.span.clone(), message));
            }
            Entry::Discovery {
                discovery: Discovery { query, weight, tier, zone, max_connections, health_check },
                query_span: span,
            }
        }
    })
}

/// The address or the name, and its place.
fn origin<'r>(
    raw: &'r Located<ShortOr<RawBackend>>,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Option<(Origin, &'r Range<usize>)> {
    let of_target = |target: &Target| match target.clone() {
        Target::Address(address) => Origin::Address(address),
        Target::Name { name, port } => Origin::Query(DiscoveryQuery::Addresses { name, port }),
    };
    let table = match &raw.value {
        ShortOr::Short(Text(target)) => return Some((of_target(target), &raw.span)),
        ShortOr::Long(table) => table,
    };
    if let (Some(_), Some(srv)) = (&table.address, &table.srv) {
        let message = "a backend has an `address` or an `srv`, not both";
        problems.error(document.diagnostic(srv.span.clone(), message));
    }
    if let Some(srv) = &table.srv {
        let query = DiscoveryQuery::Services { name: srv.value.0.clone() };
        return Some((Origin::Query(query), &srv.span));
    }
    if document.has_key(&raw.span, "srv") {
        return None;
    }
    let address = required("address", table.address.as_ref(), &raw.span, document, problems)?;
    Some((of_target(&address.value.0), &address.span))
}

/// A backend without a port is reached on the port that a client connected to, which a check cannot know.
fn require_port(
    check: &HealthCheck,
    origin: &Origin,
    span: &Range<usize>,
    document: &Document<'_>,
    problems: &mut Problems,
) {
    let probes_a_port = !matches!(check.probe, Probe::Exec(_));
    let has_port = match origin {
        Origin::Address(address) => address.port.is_some(),
        Origin::Query(DiscoveryQuery::Addresses { port, .. }) => port.is_some(),
        Origin::Query(DiscoveryQuery::Services { .. }) => true,
    };
    if probes_a_port && !has_port && check.port.is_none() {
        let message =
            "this backend has no port that could be checked: set `port` in its health_check or the pool's";
        problems.error(document.diagnostic(span.clone(), message));
    }
}

/// What a backend is called that has no name: its address, in the one way in which the model writes it.
fn default_name(address: BackendAddress) -> BackendName {
    address.to_string().parse().expect("addresses are short and consist of what names may have")
}
