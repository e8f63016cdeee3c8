//! Makes backends of what was found.

use std::collections::HashSet;
use std::fmt;
use std::num::NonZeroU32;
use std::sync::Arc;

use lb_model::{Backend, BackendAddress, BackendName, Discovery, DiscoveryQuery, Pool, Weight};

use crate::endpoint::Endpoint;

/// Addresses that were found and make no backend, to be warned of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// What was asked.
    pub query: DiscoveryQuery,
    /// The addresses; never empty.
    pub addresses: Vec<BackendAddress>,
    /// Why they make none.
    pub reason: Reason,
}

/// Why an address makes no backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The pool has a backend with this address or this name.
    Duplicate,
    /// The pool is full.
    TooMany,
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (count, name) = (self.addresses.len(), self.query.name());
        let example = self.addresses.first().map(ToString::to_string).unwrap_or_default();
        write!(f, "{count} of the addresses of {name} (for example {example}) ")?;
        match self.reason {
            Reason::Duplicate => {
                f.write_str("are left out: the pool has a backend with that address or name")
            }
            Reason::TooMany => {
                write!(f, "are left out: a pool has at most {} backends", Pool::MAX_BACKENDS)
            }
        }
    }
}

/// The backends of a pool that were found: for each of its names, in file order, one for each address that
/// `answers` has, in their order. They are named by their addresses, and come after those that the pool has of
/// itself.
pub fn backends(
    pool: &Pool,
    answers: impl Fn(&DiscoveryQuery) -> Option<Arc<[Endpoint]>>,
) -> (Vec<Backend>, Vec<Note>) {
    let mut taken = Taken::by(&pool.backends);
    let (mut found, mut notes) = (vec![], vec![]);
    for discovery in &pool.discover {
        let endpoints = answers(&discovery.query).unwrap_or_default();
        let (mut duplicates, mut too_many) = (vec![], vec![]);
        for backend in expand(discovery, &endpoints) {
            if taken.has(&backend) {
                duplicates.push(backend.address);
            } else if taken.names.len() >= Pool::MAX_BACKENDS {
                too_many.push(backend.address);
            } else {
                taken.add(&backend);
                found.push(backend);
            }
        }
        for (addresses, reason) in [(duplicates, Reason::Duplicate), (too_many, Reason::TooMany)] {
            if !addresses.is_empty() {
                notes.push(Note { query: discovery.query.clone(), addresses, reason });
            }
        }
    }
    (found, notes)
}

/// A name's backends, as if there were no others.
fn expand(discovery: &Discovery, endpoints: &[Endpoint]) -> impl Iterator<Item = Backend> {
    let product = |endpoint: &Endpoint| u32::from(discovery.weight.0) * u32::from(endpoint.weight);
    let most = endpoints.iter().map(product).max().and_then(NonZeroU32::new);
    endpoints.iter().map(move |endpoint| Backend {
        name: name(endpoint.address()),
        address: endpoint.address(),
        weight: most.map_or(Weight(0), |most| scaled(product(endpoint), most)),
        max_connections: discovery.max_connections,
        tier: discovery.tier.saturating_add(endpoint.rank),
        zone: discovery.zone.clone(),
        health_check: discovery.health_check.clone(),
    })
}

/// `weight` where the greatest of its kind is `most`: all of them are made smaller alike where that does not fit.
/// None becomes zero, which would mean to take it out.
fn scaled(weight: u32, most: NonZeroU32) -> Weight {
    let greatest = u64::from(u16::MAX).min(u64::from(most.get()));
    let scaled = (u64::from(weight) * greatest).div_ceil(u64::from(most.get()));
    Weight(u16::try_from(scaled).unwrap_or(u16::MAX))
}

fn name(address: BackendAddress) -> BackendName {
    address.to_string().parse().expect("addresses are short and consist of what names may have")
}

/// The names and addresses that a pool has.
struct Taken {
    names: HashSet<BackendName>,
    addresses: HashSet<BackendAddress>,
}

impl Taken {
    fn by(backends: &[Backend]) -> Self {
        let mut taken = Self { names: HashSet::new(), addresses: HashSet::new() };
        backends.iter().for_each(|backend| taken.add(backend));
        taken
    }

    fn has(&self, backend: &Backend) -> bool {
        self.names.contains(&backend.name) || self.addresses.contains(&backend.address)
    }

    fn add(&mut self, backend: &Backend) {
        self.names.insert(backend.name.clone());
        self.addresses.insert(backend.address);
    }
}

#[cfg(test)]
mod tests;
