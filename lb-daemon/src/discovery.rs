//! Backends that are DNS names: what is asked, and what the answers make of a configuration's pools.

use std::collections::BTreeSet;
use std::time::Instant;

use lb_discovery::{Resolver, State, Status, Wanted};
use lb_model::{Config, PoolName};
use lb_runtime::Discovered;

/// Everything that a configuration wants resolved.
pub(crate) fn wanted(config: &Config) -> Vec<Wanted> {
    let pools = config.pools.iter();
    let names = pools.flat_map(|pool| pool.discover.iter().map(|discovery| (discovery, pool.discovery)));
    names.map(|(discovery, settings)| Wanted { query: discovery.query.clone(), settings }).collect()
}

/// Something that a name stands for and that is no backend all the same.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LeftOut {
    pool: PoolName,
    note: String,
}

impl LeftOut {
    pub(crate) fn warn(&self) {
        let Self { pool, note } = self;
        tracing::warn!(%pool, "{note}");
    }
}

/// The backends that the answers so far give the pools of `config`, and what is left out of them, for people.
pub(crate) fn discovered(config: &Config, resolver: &Resolver) -> (Discovered, BTreeSet<LeftOut>) {
    let mut left_out = BTreeSet::new();
    let pools = config.pools.iter().filter(|pool| !pool.discover.is_empty());
    let discovered = pools
        .map(|pool| {
            let answer = |query: &lb_model::DiscoveryQuery| {
                resolver.answer(&Wanted { query: query.clone(), settings: pool.discovery })
            };
            let (backends, notes) = lb_discovery::backends(pool, answer);
            left_out
                .extend(notes.iter().map(|note| LeftOut { pool: pool.name.clone(), note: note.to_string() }));
            (pool.name.clone(), backends)
        })
        .collect();
    (discovered, left_out)
}

/// How a name stands, for people.
pub(crate) fn describe(status: &Status, now: Instant) -> String {
    let seconds = |later: Instant| later.saturating_duration_since(now).as_secs();
    match &status.state {
        State::Unresolved => "not resolved yet".into(),
        State::Resolved => match status.next {
            Some(next) => format!("resolved; asked again in {} s", seconds(next)),
            None => "resolved; being asked again".into(),
        },
        State::Failing { reason, kept_until: Some(until), .. } => {
            format!("{reason}; the last answer is kept for {} s more", seconds(*until))
        }
        State::Failing { reason, kept_until: None, .. } => reason.to_string(),
    }
}

/// Since when a name has had no good answer.
pub(crate) fn failing_since(status: &Status) -> Option<Instant> {
    match &status.state {
        State::Unresolved | State::Resolved => None,
        State::Failing { since, .. } => Some(*since),
    }
}
