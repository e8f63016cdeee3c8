//! Who of a pool gets new connections, and how large a share: tiers, zones, panic, draining and slow start come together
//! here. Pure.

use std::collections::BTreeSet;

use lb_balance::{Capacity, Load, TierMember, share_load, spread, suffices};
use lb_model::{Pool, Standing, Zones};

/// One backend at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Situation {
    /// The weight that holds: an override's, else the configured one.
    pub(crate) weight: u16,
    pub(crate) tier: u8,
    pub(crate) zone: Zone,
    pub(crate) condition: Condition,
    /// How far slow start has got, 1 to [`Self::STEPS`].
    pub(crate) step: u8,
}

/// Where a backend is, seen from here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Zone {
    Own,
    Other,
}

/// What speaks for or against a backend; the first that applies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Condition {
    Draining,
    Unhealthy,
    BackingOff,
    Good,
}

/// The standing of each backend, and its share of new connections.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Membership {
    pub(crate) standings: Box<[Standing]>,
    /// In proportion to each other; 0 gets none.
    pub(crate) weights: Box<[u32]>,
    /// The weights of those on standby, for connections that none of the others takes.
    pub(crate) reserve: Box<[u32]>,
    /// Too few are healthy, so that health is ignored.
    pub(crate) panic: bool,
}

impl Situation {
    /// Steps of slow start.
    pub(crate) const STEPS: u8 = 10;

    /// Whether it could get connections, were it healthy.
    fn is_enabled(&self) -> bool {
        self.weight > 0 && self.condition != Condition::Draining
    }

    /// Whether it could get connections.
    pub(crate) fn is_usable(&self) -> bool {
        self.is_enabled() && self.condition == Condition::Good
    }
}

impl Membership {
    /// `situations` are those of the backends of a pool with these settings, in the same order.
    pub(crate) fn of(settings: &Pool, situations: &[Situation]) -> Self {
        let panic = is_panic(settings, situations);
        let shares: Vec<_> = situations
            .iter()
            .map(|situation| {
                let takes = if panic { situation.is_enabled() } else { situation.is_usable() };
                if takes { scaled(situation, situations) } else { 0 }
            })
            .collect();
        let preferred = match settings.zones {
            Zones::Ignore => shares.clone(),
            Zones::PreferLocal => over_zones(situations, shares.clone()),
        };
        let weights: Box<[u32]> = over_tiers(situations, &preferred).into();
        // As if those that get connections were not there.
        let left: Vec<_> =
            shares.iter().zip(&weights).map(|(&share, &w)| if w > 0 { 0 } else { share }).collect();
        let reserve = over_tiers(situations, &left).into();
        let standings =
            situations.iter().zip(&weights).map(|(situation, &weight)| standing(situation, weight));
        Self { standings: standings.collect(), weights, reserve, panic }
    }
}

/// Within each tier, the own zone takes what it can before the others.
fn over_zones(situations: &[Situation], mut shares: Vec<u32>) -> Vec<u32> {
    let zone = |situation: &Situation| usize::from(situation.zone == Zone::Other);
    for tier in tiers(situations) {
        let of_tier = || situations.iter().enumerate().filter(|(_, situation)| situation.tier == tier);
        let loads = loads(2, of_tier().map(|(i, situation)| (zone(situation), situation, share(&shares, i))));
        let members: Vec<_> = of_tier()
            .map(|(i, situation)| TierMember { weight: share(&shares, i), tier: zone(situation) })
            .collect();
        let spread = spread(&members, &loads);
        let places: Vec<_> = of_tier().map(|(i, _)| i).collect();
        for (i, weight) in places.into_iter().zip(spread) {
            if let Some(share) = shares.get_mut(i) {
                *share = weight;
            }
        }
    }
    shares
}

fn over_tiers(situations: &[Situation], shares: &[u32]) -> Vec<u32> {
    let tiers: Vec<_> = tiers(situations).into_iter().collect();
    let place = |situation: &Situation| tiers.binary_search(&situation.tier).unwrap_or(usize::MAX);
    let each = situations.iter().zip(shares).map(|(situation, &share)| (place(situation), situation, share));
    let loads = loads(tiers.len(), each.clone());
    let members: Vec<_> = each.map(|(tier, _, weight)| TierMember { weight, tier }).collect();
    spread(&members, &loads)
}

/// What each tier can do, best first.
fn tier_capacities(situations: &[Situation], takes: impl Fn(&Situation) -> bool) -> Vec<Capacity> {
    let of_tier = |tier: u8| situations.iter().filter(move |situation| situation.tier == tier);
    let weight = |situation: &Situation| u64::from(situation.weight);
    tiers(situations)
        .into_iter()
        .map(|tier| Capacity {
            usable: of_tier(tier).filter(|situation| takes(situation)).map(weight).sum(),
            total: of_tier(tier).map(weight).sum(),
        })
        .collect()
}

fn tiers(situations: &[Situation]) -> BTreeSet<u8> {
    situations.iter().map(|situation| situation.tier).collect()
}

fn share(shares: &[u32], i: usize) -> u32 {
    shares.get(i).copied().unwrap_or(0)
}

/// The load of each of `count` groups. A group's capacity counts by the configured weights: a backend in its slow start is a
/// whole one, and one that is drained is missed like one that failed.
fn loads<'a>(count: usize, members: impl Iterator<Item = (usize, &'a Situation, u32)>) -> Vec<Load> {
    let mut capacities = vec![Capacity { usable: 0, total: 0 }; count];
    for (group, situation, share) in members {
        let Some(capacity) = capacities.get_mut(group) else { continue };
        capacity.total += u64::from(situation.weight);
        if share > 0 {
            capacity.usable += u64::from(situation.weight);
        }
    }
    share_load(&capacities)
}

/// Whether so few of those that could be used are healthy that health is ignored. Where none could be used, there is
/// nothing to panic for; where the tiers that are left can carry everything, neither (as in Envoy).
fn is_panic(settings: &Pool, situations: &[Situation]) -> bool {
    let enabled = situations.iter().filter(|situation| situation.is_enabled()).count();
    let usable = situations.iter().filter(|situation| situation.is_usable()).count();
    let few = usable == 0 || usable * 100 < enabled * usize::from(settings.panic_threshold.get());
    enabled > 0 && few && !suffices(&tier_capacities(situations, Situation::is_usable))
}

/// A backend's weight as far as slow start has got. The steps are only counted in while some backend is starting.
fn scaled(situation: &Situation, all: &[Situation]) -> u32 {
    let weight = u32::from(situation.weight);
    if all.iter().all(|other| other.step == Situation::STEPS) {
        weight
    } else {
        weight * u32::from(situation.step)
    }
}

fn standing(situation: &Situation, weight: u32) -> Standing {
    match situation.condition {
        Condition::Draining => Standing::Draining,
        _ if situation.weight == 0 => Standing::Disabled,
        Condition::Unhealthy => Standing::Unhealthy,
        Condition::BackingOff => Standing::BackingOff,
        Condition::Good if weight > 0 => Standing::Active,
        Condition::Good => Standing::Standby,
    }
}
