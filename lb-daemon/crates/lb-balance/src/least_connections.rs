//! Weighted least connections.

use crate::contender::Contender;
use crate::{BackendIndex, Candidates, Member};

/// The member with the fewest connections in proportion to its weight, the new one counted in. Equals take turns, and so
/// do members without connections, these as often as their weights say: else the heaviest of them would get all
/// connections for as long as each ends before the next comes.
#[derive(Debug)]
pub struct LeastConnections {
    members: Box<[(BackendIndex, u32)]>,
}

impl LeastConnections {
    /// Builds over `members`, all of a weight above 0.
    pub fn build(members: &[Member<'_>]) -> Self {
        Self { members: members.iter().map(|member| (member.index, member.weight)).collect() }
    }

    /// The usable member with the least load; where several have it, the one whose turn `count` is.
    pub fn pick(&self, count: u32, candidates: &impl Candidates) -> Option<BackendIndex> {
        let start = (count as usize).checked_rem(self.members.len())?;
        let (before, after) = self.members.split_at_checked(start)?;
        let usable = |&&(backend, _): &&(BackendIndex, u32)| candidates.usable(backend);
        let contender =
            |&(backend, weight): &(BackendIndex, u32)| Contender::new(backend, weight, candidates);
        let idle = self.members.iter().filter(usable).map(contender).filter(Contender::is_idle);
        pick_idle(count, idle).or_else(|| {
            let all = after.iter().chain(before).filter(usable).map(contender);
            // Keeps the first of equals.
            all.min_by(Contender::compare_load).map(|contender| contender.backend)
        })
    }
}

/// The one of several whose turn it is, by weight. Each pass reads who is idle anew, and other workers change that: whom the
/// first pass has seen is taken where a later one finds nobody.
fn pick_idle(count: u32, mut idle: impl Iterator<Item = Contender> + Clone) -> Option<BackendIndex> {
    let first = idle.clone().next()?;
    let (members, total) =
        idle.clone().fold((0, 0u64), |(members, total), each| (members + 1, total + u64::from(each.weight)));
    if idle.clone().all(|each| each.weight == first.weight) {
        let turn = (count as usize).checked_rem(members).unwrap_or(0);
        return Some(idle.nth(turn).unwrap_or(first).backend);
    }
    // Multiples of the golden ratio spread evenly over an interval, however few they are (Knuth, TAOCP 3, 6.4).
    let spread = u64::from(count).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut point = (u128::from(spread) * u128::from(total)) >> 64;
    for each in idle {
        match point.checked_sub(u128::from(each.weight)) {
            Some(rest) => point = rest,
            None => return Some(each.backend),
        }
    }
    Some(first.backend)
}
