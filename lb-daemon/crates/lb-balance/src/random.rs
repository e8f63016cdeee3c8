//! The power of two choices (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing", IEEE TPDS 12/10,
//! 2001), with weights.

use std::cmp::Ordering;

use crate::contender::Contender;
use crate::{BackendIndex, Candidates, Member};
use lb_common::flow_hash::absorb;

/// Of two members drawn by weight, the one with fewer connections per weight.
///
/// Weights count twice, as they must: if the draw alone respected them, members would be filled to equal numbers of
/// connections where those last; if the comparison alone did, light members would get nothing where connections are
/// over before the next one comes. Hence two idle members are equals, and the first drawn is taken.
#[derive(Debug)]
pub struct TwoChoices {
    shares: Box<[Share]>,
    /// The sum of all weights.
    total: u64,
}

/// The part of `0..total` that belongs to a member: as many points as its weight, from `start` on.
#[derive(Debug, Clone, Copy)]
struct Share {
    backend: BackendIndex,
    weight: u32,
    start: u64,
}

impl TwoChoices {
    /// How many draws may hit unusable members before the members are gone through in order.
    const ATTEMPTS: u64 = 16;

    /// Builds over `members`, all of a weight above 0.
    pub fn build(members: &[Member<'_>]) -> Self {
        let mut total = 0;
        let shares = members.iter().map(|member| {
            let start = total;
            total += u64::from(member.weight);
            Share { backend: member.index, weight: member.weight, start }
        });
        Self { shares: shares.collect(), total }
    }

    /// The better of two different usable members, or the only one; `random` is uniform.
    pub fn pick(&self, random: u64, candidates: &impl Candidates) -> Option<BackendIndex> {
        self.pick_by(random, candidates, compare_load)
    }

    /// As `pick`, with another notion of which is better: the second is taken if it compares as less.
    pub(crate) fn pick_by(
        &self,
        random: u64,
        candidates: &impl Candidates,
        compare: impl FnOnce(&Contender, &Contender) -> Ordering,
    ) -> Option<BackendIndex> {
        let first = self.draw(absorb(random, 0), None, candidates)?;
        let Some(second) = self.draw(absorb(random, 1), Some(first), candidates) else {
            return Some(first.backend);
        };
        let contender = |share: Share| Contender::new(share.backend, share.weight, candidates);
        let (first, second) = (contender(first), contender(second));
        Some(if compare(&second, &first).is_lt() { second.backend } else { first.backend })
    }

    /// Draws a usable member by weight. Where most are unusable it may be the next usable one after a random place.
    fn draw(&self, random: u64, except: Option<Share>, candidates: &impl Candidates) -> Option<Share> {
        let usable = |share: &Share| candidates.usable(share.backend);
        (0..Self::ATTEMPTS)
            .filter_map(|attempt| self.at_chance(absorb(random, attempt), except))
            .find(usable)
            .or_else(|| {
                let start = point(absorb(random, Self::ATTEMPTS), self.shares.len() as u64);
                let (before, after) = self.shares.split_at_checked(usize::try_from(start).ok()?)?;
                let others = after.iter().chain(before).copied();
                others.filter(|share| except.is_none_or(|e| e.backend != share.backend)).find(usable)
            })
    }

    /// A member by weight. The points of `except` are cut out instead of drawn again: they may be nearly all.
    fn at_chance(&self, random: u64, except: Option<Share>) -> Option<Share> {
        let cut = except.map_or(0..0, |share| share.start..share.start + u64::from(share.weight));
        let length = cut.end - cut.start;
        let point = point(random, self.total - length);
        let point = if point < cut.start { point } else { point + length };
        let after = self.shares.partition_point(|share| share.start <= point);
        let share = self.shares.get(after.checked_sub(1)?).copied()?;
        (point < self.total).then_some(share)
    }
}

/// Compares connections per weight, but two idle members are equals.
pub(crate) fn compare_load(a: &Contender, b: &Contender) -> Ordering {
    if a.is_idle() && b.is_idle() { Ordering::Equal } else { a.compare_load(b) }
}

/// A point below `below`, 0 if there is none: Lemire's multiply-shift instead of a modulo
/// (<https://arxiv.org/abs/1805.10941>).
fn point(random: u64, below: u64) -> u64 {
    ((u128::from(random) * u128::from(below)) >> 64) as u64
}
