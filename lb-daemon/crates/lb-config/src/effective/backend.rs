//! Entries of `backends`.

use std::num::NonZeroU32;

use lb_model::{Backend, Discovery, DiscoveryQuery, HealthCheck, Weight, ZoneName};

use super::health_check;
use super::inline::Inline;
use crate::text;

/// The entry of a backend with an address, in a pool with the check `pool_check`.
pub(super) fn configured(backend: &Backend, pool_check: Option<&HealthCheck>) -> String {
    let Backend { name, address, weight, max_connections, tier, zone, health_check } = backend;
    let mut table = Inline::default();
    table.set("address", format_args!("\"{address}\""));
    table.set("name", format_args!("\"{name}\""));
    let settings = Settings { weight, max_connections, tier, zone, health_check };
    entry(table, &settings, pool_check)
}

/// The entry of backends that are looked up.
pub(super) fn discovered(discovery: &Discovery, pool_check: Option<&HealthCheck>) -> String {
    let Discovery { query, weight, tier, zone, max_connections, health_check } = discovery;
    let mut table = Inline::default();
    let key = match query {
        DiscoveryQuery::Addresses { .. } => "address",
        DiscoveryQuery::Services { .. } => "srv",
    };
    table.set(key, format_args!("\"{}\"", text::query(query)));
    let settings = Settings { weight, max_connections, tier, zone, health_check };
    entry(table, &settings, pool_check)
}

/// What both kinds of entries have.
struct Settings<'m> {
    weight: &'m Weight,
    max_connections: &'m Option<NonZeroU32>,
    tier: &'m u8,
    zone: &'m Option<ZoneName>,
    health_check: &'m Option<HealthCheck>,
}

/// The rest of the line, with what cannot be written as a comment.
fn entry(mut table: Inline, settings: &Settings<'_>, pool_check: Option<&HealthCheck>) -> String {
    let Settings { weight, max_connections, tier, zone, health_check } = settings;
    let mut comments = Vec::new();
    table.set("weight", weight.0);
    match max_connections {
        Some(max) => table.set("max_connections", max),
        None => comments.push("max_connections: no limit"),
    }
    table.set("tier", tier);
    match zone {
        Some(zone) => table.set("zone", format_args!("\"{zone}\"")),
        None => comments.push("zone: none"),
    }
    if health_check.as_ref() != pool_check {
        table.set("health_check", health_check::or_off(health_check.as_ref()));
    }
    if comments.is_empty() { format!("{table},") } else { format!("{table}, # {}", comments.join("; ")) }
}
