//! Weighted least connections.

use crate::contender::Contender;
use crate::{BackendIndex, Candidates, Member};

/// The member with the fewest connections in proportion to its weight, the new one counted in, so that of two idle
/// members the heavier comes first. Equals take turns.
#[derive(Debug)]
pub struct LeastConnections {
    members: Box<[(BackendIndex, u32)]>,
}

impl LeastConnections {
    /// Builds over `members`, all of a weight above 0.
    pub fn build(members: &[Member<'_>]) -> Self {
        Self { members: members.iter().map(|member| (member.index, member.weight)).collect() }
    }

    /// The usable member with the least load; where several have it, the first from place `count` on.
    pub fn pick(&self, count: u32, candidates: &impl Candidates) -> Option<BackendIndex> {
        let start = (count as usize).checked_rem(self.members.len())?;
        let (before, after) = self.members.split_at_checked(start)?;
        after
            .iter()
            .chain(before)
            .filter(|(backend, _)| candidates.usable(*backend))
            .map(|&(backend, weight)| Contender::new(backend, weight, candidates))
            .min_by(Contender::compare_load) // keeps the first of equals
            .map(|contender| contender.backend)
    }
}
