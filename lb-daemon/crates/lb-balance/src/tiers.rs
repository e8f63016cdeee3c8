//! Tiers: who is to take the load while a tier is short of capacity.
//!
//! The rules are Envoy's (<https://www.envoyproxy.io/docs/envoy/latest/intro/arch_overview/upstream/load_balancing/priority>),
//! but in weights instead of hosts and finer than whole percents. Zones work the same way: within a tier, the own zone is
//! the first tier and all others are the second. [`spread`] over zones first and then, with what it returns, over tiers.

use std::mem;

/// What a tier can do, in sums of weights.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Of the members that may take new connections.
    pub usable: u64,
    /// Of all members.
    pub total: u64,
}

impl Capacity {
    /// Tiers count as this much larger than needed, in percent (Envoy's overprovisioning factor): one with at least 5/7 of
    /// its members usable is as good as whole.
    pub const OVERPROVISIONING: u8 = 140;

    /// The share of all connections that it can take. Not 0 where anybody is usable.
    fn health(self) -> Load {
        let least = self.usable.min(1);
        let health = u128::from(self.usable) * u128::from(Load::ALL.0) * u128::from(Self::OVERPROVISIONING);
        let health = health.checked_div(u128::from(self.total) * 100).unwrap_or(0);
        Load(u64::try_from(health).map_or(Load::ALL.0, |health| health.clamp(least, Load::ALL.0)))
    }
}

/// A share of all new connections, in billionths.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Load(u64);

impl Load {
    /// None.
    pub const ZERO: Self = Self(0);
    /// All.
    pub const ALL: Self = Self(1_000_000_000);

    /// The share in percent, from 0 to 100.
    pub fn percent(self) -> f64 {
        self.0 as f64 * 100.0 / Self::ALL.0 as f64
    }
}

/// The load of each tier, most preferred first: each takes what its capacity allows of what those before it have left.
/// Where all together cannot take everything they take it in proportion to what they can. The sum is [`Load::ALL`], or
/// 0 if nobody is usable.
pub fn share_load(tiers: &[Capacity]) -> Vec<Load> {
    // What each tier and those before it can take; differences of these sums always add up.
    let sums = tiers.iter().scan(0, |sum, tier| {
        *sum = Load::ALL.0.min(*sum + tier.health().0);
        Some(*sum)
    });
    let most = sums.clone().last().unwrap_or(0).max(1);
    let mut before = 0;
    sums.map(|sum| sum * Load::ALL.0 / most).map(|sum| Load(sum - mem::replace(&mut before, sum))).collect()
}

/// Whether the tiers together have the capacity for everything.
pub fn suffices(tiers: &[Capacity]) -> bool {
    tiers.iter().map(|tier| tier.health().0).fold(0, u64::saturating_add) >= Load::ALL.0
}

/// A member of a tier that may take new connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TierMember {
    /// Its share of the tier's connections.
    pub weight: u32,
    /// The place of its tier among the loads.
    pub tier: usize,
}

/// Weights with which the members, all in one balancer, give every tier its load, in the order of `members`.
///
/// In a tier proportions stay. Members of a tier with a load have a weight above 0 if they had one; all others have 0,
/// also those of tiers that `loads` does not have. As long as one tier has everything its members keep the weights that
/// they have: consistent hashing then moves nothing. Otherwise the heaviest gets `u32::MAX`, which keeps proportions to
/// within 1 % for members of at least an 80-millionth of its weight.
pub fn spread(members: &[TierMember], loads: &[Load]) -> Vec<u32> {
    let mut tiers: Vec<_> = loads.iter().map(|&load| Tier { load, weight: 0 }).collect();
    for member in members {
        if let Some(tier) = tiers.get_mut(member.tier) {
            tier.weight += u128::from(member.weight);
        }
    }
    let shares =
        members.iter().map(|member| tiers.get(member.tier).map_or(0, |tier| tier.share(member.weight)));
    if tiers.iter().filter(|tier| tier.serves()).count() == 1 {
        return members
            .iter()
            .zip(shares)
            .map(|(member, share)| if share > 0 { member.weight } else { 0 })
            .collect();
    }
    let greatest = shares.clone().max().unwrap_or(0).max(1);
    shares.map(|share| scale(share, greatest)).collect()
}

struct Tier {
    load: Load,
    /// The sum of its members' weights.
    weight: u128,
}

impl Tier {
    fn serves(&self) -> bool {
        self.load > Load::ZERO && self.weight > 0
    }

    /// The share of all connections of a member with this weight: at most 2^90, and no member's rounds to 0.
    fn share(&self, weight: u32) -> u128 {
        ((u128::from(self.load.0) * u128::from(weight)) << 60).checked_div(self.weight).unwrap_or(0)
    }
}

/// The share as a weight where the greatest becomes `u32::MAX`; rounds to the nearest, but only 0 to 0.
fn scale(share: u128, greatest: u128) -> u32 {
    let weight = (share * u128::from(u32::MAX) + greatest / 2) / greatest;
    u32::try_from(weight.max(share.min(1))).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
