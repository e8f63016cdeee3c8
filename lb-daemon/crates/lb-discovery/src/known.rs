//! What is known of one name: the answer that counts now, made of the latest results and of what is kept of
//! earlier ones. Pure: time and results come in as arguments.
//!
//! Each host's addresses of each family are a part of their own. A part whose question failed stays as it was,
//! for a while; one that the answer says is not there goes at once. Where a result has no address at all, nothing
//! goes at once: that a service has vanished as a whole is more likely a mistake.

use std::collections::BTreeMap;
use std::mem;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lb_model::{DiscoveryQuery, IpFamilies};

use crate::endpoint::{self, Endpoint};
use crate::error::{LookupError, NoAnswer};

/// An address family.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Family {
    V4,
    V6,
}

impl Family {
    /// Those that are wanted.
    pub(crate) fn of(families: IpFamilies) -> &'static [Self] {
        match families {
            IpFamilies::Both => &[Self::V4, Self::V6],
            IpFamilies::Ipv4 => &[Self::V4],
            IpFamilies::Ipv6 => &[Self::V6],
        }
    }

    pub(crate) fn has(self, ip: IpAddr) -> bool {
        ip.is_ipv4() == (self == Self::V4)
    }
}

/// A host that a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target {
    pub(crate) host: Arc<str>,
    pub(crate) port: Option<u16>,
    /// Never zero.
    pub(crate) weight: u16,
    pub(crate) rank: u8,
}

impl Target {
    /// For the name of hosts, not of a service: the name itself.
    pub(crate) fn named(name: &str, port: Option<u16>) -> Self {
        Self { host: name.into(), port, weight: 1, rank: 0 }
    }
}

/// Something that was found, and for how long it may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found<T> {
    pub(crate) what: T,
    pub(crate) ttl: Duration,
}

/// The addresses of each target's host in each wanted family, never an empty list.
pub(crate) type Addresses = BTreeMap<(Arc<str>, Family), Result<Found<Vec<IpAddr>>, LookupError>>;

/// What a name resolves to: one address at least.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Resolution {
    targets: Vec<Target>,
    /// How long the targets may be used; `None` for ever.
    ttl: Option<Duration>,
    addresses: Addresses,
}

impl Resolution {
    /// Fails if there is no address, with the reason that says most.
    pub(crate) fn new(
        targets: Vec<Target>,
        ttl: Option<Duration>,
        addresses: Addresses,
    ) -> Result<Self, LookupError> {
        if addresses.values().any(Result::is_ok) {
            return Ok(Self { targets, ttl, addresses });
        }
        // That something could not be learnt matters more than that something is not there, and that the name is
        // there without an address more than that it is not.
        let weight = |error: &LookupError| (error.reason.is_negative(), error.reason == NoAnswer::NoSuchName);
        let error = addresses.into_values().filter_map(Result::err).min_by_key(weight);
        Err(error.expect("a name has a target, and a target was asked for in one family at least"))
    }

    /// How long all that was found may be used.
    fn ttl(&self) -> Option<Duration> {
        self.addresses.values().flatten().map(|found| found.ttl).chain(self.ttl).min()
    }
}

/// What is new after a result.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Learned {
    /// How long what was found may be used, if something was.
    pub(crate) ttl: Option<Duration>,
    /// Why some or all of it is not confirmed.
    pub(crate) failure: Option<LookupError>,
}

/// The answer that counts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Known {
    targets: Vec<Target>,
    parts: BTreeMap<(Arc<str>, Family), Part>,
}

#[derive(Debug, Clone)]
struct Part {
    ips: Vec<IpAddr>,
    /// When it was last true.
    confirmed: Instant,
    standing: Standing,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Standing {
    /// The latest result has it.
    Current,
    /// The latest result could not say.
    Kept,
}

impl Part {
    /// It, if it may be used still although the latest result does not have it.
    fn kept(self, now: Instant, keep: Duration) -> Option<Self> {
        let may = now.saturating_duration_since(self.confirmed) < keep;
        may.then_some(Self { standing: Standing::Kept, ..self })
    }
}

impl Known {
    /// Takes a result in. What it does not confirm may be kept for `keep` since it was confirmed.
    pub(crate) fn learn(
        &mut self,
        result: Result<Resolution, LookupError>,
        now: Instant,
        keep: Duration,
    ) -> Learned {
        let mut before = mem::take(&mut self.parts);
        match result {
            Ok(resolution) => {
                let ttl = resolution.ttl();
                self.targets = resolution.targets;
                let mut failure = None;
                for (key, addresses) in resolution.addresses {
                    let part = match addresses {
                        Ok(Found { what: ips, .. }) => {
                            Some(Part { ips, confirmed: now, standing: Standing::Current })
                        }
                        Err(error) if error.reason.is_negative() => None,
                        Err(error) => {
                            failure.get_or_insert(error);
                            before.remove(&key).and_then(|part| part.kept(now, keep))
                        }
                    };
                    self.parts.extend(part.map(|part| (key, part)));
                }
                Learned { ttl, failure }
            }
            Err(error) => {
                let kept = |(key, part): (_, Part)| Some((key, part.kept(now, keep)?));
                self.parts = before.into_iter().filter_map(kept).collect();
                Learned { ttl: None, failure: Some(error) }
            }
        }
    }

    /// When something that is kept may no longer be; `None` where nothing is kept.
    pub(crate) fn kept_until(&self, keep: Duration) -> Option<Instant> {
        let kept = self.parts.values().filter(|part| part.standing == Standing::Kept);
        kept.filter_map(|part| part.confirmed.checked_add(keep)).min()
    }

    /// What can be taken over where the name stays and the question about it does not.
    pub(crate) fn adapted(&self, query: &DiscoveryQuery, families: IpFamilies) -> Self {
        let mut adapted = self.clone();
        adapted.parts.retain(|(_, family), _| Family::of(families).contains(family));
        if let DiscoveryQuery::Addresses { name, port } = query {
            adapted.targets = vec![Target::named(name.as_str(), *port)];
        }
        adapted
    }

    pub(crate) fn endpoints(&self) -> Arc<[Endpoint]> {
        let families = [Family::V4, Family::V6];
        let of_target = |target: &Target| {
            let Target { ref host, port, weight, rank } = *target;
            let parts = families.iter().filter_map(|family| self.parts.get(&(Arc::clone(host), *family)));
            let ips = parts.flat_map(|part| part.ips.iter());
            ips.map(|&ip| Endpoint { ip, port, weight, rank }).collect::<Vec<_>>()
        };
        endpoint::set(self.targets.iter().flat_map(of_target).collect())
    }
}

#[cfg(test)]
mod tests;
