//! Weighted least connections.

use std::cmp::Ordering;

use crate::{BackendIndex, Candidates, Member};

/// The member with the fewest connections in proportion to its weight, the new one counted in, so that of two idle
/// members the heavier comes first. Equals take turns.
#[derive(Debug)]
pub struct LeastConnections {
    members: Box<[(BackendIndex, u64)]>,
}

impl LeastConnections {
    /// Builds over `members`, all of a weight above 0.
    pub fn build(members: &[Member<'_>]) -> Self {
        Self { members: members.iter().map(|m| (m.index, u64::from(m.weight.0))).collect() }
    }

    /// The usable member with the least load; where several have it, the first from place `count` on.
    pub fn pick(&self, count: u32, candidates: &impl Candidates) -> Option<BackendIndex> {
        let start = (count as usize).checked_rem(self.members.len())?;
        let (before, after) = self.members.split_at_checked(start)?;
        after
            .iter()
            .chain(before)
            .filter(|(backend, _)| candidates.usable(*backend))
            .map(|&(backend, weight)| (u64::from(candidates.in_flight(backend)) + 1, weight, backend))
            .min_by(|&a, &b| compare_load(a, b))
            .map(|(_, _, backend)| backend)
    }
}

/// Compares connections per weight without dividing: a/v < b/w exactly if a·w < b·v. `min_by` keeps the first of equals.
fn compare_load((a, v, _): (u64, u64, BackendIndex), (b, w, _): (u64, u64, BackendIndex)) -> Ordering {
    (a * w).cmp(&(b * v))
}
