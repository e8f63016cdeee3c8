//! Weighted round robin over a schedule that is made once.

use crate::{BackendIndex, Candidates, Member};

/// Members in turn. Within one pass over the schedule each has as many turns as its weight (divided by what all weights
/// have in common), spread as evenly as possible: weights 3 and 1 give `a a b a`, not `a a a b`.
#[derive(Debug)]
pub struct RoundRobin {
    schedule: Box<[BackendIndex]>,
}

impl RoundRobin {
    /// Longest schedule; weights that need more are scaled down, at least to one turn each.
    const MAX_TURNS: u64 = 65_536;

    /// Makes the schedule over `members`, all of a weight above 0.
    pub fn build(members: &[Member<'_>]) -> Self {
        let turns = turns(members);
        // Turn k of n lies at (2k + 1) / 2n of the pass; fractions are compared as integers over a common denominator.
        let mut schedule: Vec<_> = members
            .iter()
            .zip(&turns)
            .flat_map(|(member, &n)| (0..n).map(move |k| (((2 * k + 1) << 32) / (2 * n), member.index)))
            .collect();
        schedule.sort_unstable();
        Self { schedule: schedule.into_iter().map(|(_, index)| index).collect() }
    }

    /// The member whose turn it is at `count`, or the next in the schedule that is usable.
    pub fn pick(&self, count: u32, candidates: &impl Candidates) -> Option<BackendIndex> {
        let start = (count as usize).checked_rem(self.schedule.len())?;
        let (before, after) = self.schedule.split_at_checked(start)?;
        after.iter().chain(before).copied().find(|&backend| candidates.usable(backend))
    }

    /// Turns in one pass.
    pub fn turns(&self) -> usize {
        self.schedule.len()
    }
}

/// How many turns each member has in one pass.
fn turns(members: &[Member<'_>]) -> Vec<u64> {
    let weights = members.iter().map(|member| u64::from(member.weight));
    let common = weights.clone().fold(0, gcd).max(1);
    let total = weights.clone().sum::<u64>() / common;
    weights
        .map(|weight| match weight / common {
            turns if total <= RoundRobin::MAX_TURNS => turns,
            turns => (turns * RoundRobin::MAX_TURNS / total).max(1),
        })
        .collect()
}

fn gcd(a: u64, b: u64) -> u64 {
    if b == 0 { a } else { gcd(b, a % b) }
}
