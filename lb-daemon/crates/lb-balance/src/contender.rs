//! A member at the moment of a pick, to be compared with others.

use std::cmp::Ordering;

use crate::{BackendIndex, Candidates};

/// A usable member with its load.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Contender {
    pub(crate) backend: BackendIndex,
    pub(crate) weight: u32,
    in_flight: u32,
}

impl Contender {
    /// The member as it is now.
    pub(crate) fn new(backend: BackendIndex, weight: u32, candidates: &impl Candidates) -> Self {
        Self { backend, weight, in_flight: candidates.in_flight(backend) }
    }

    /// Whether it has no connection.
    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight == 0
    }

    /// Compares connections per weight, the new one counted in, so that of two idle members the heavier has less load.
    /// Without division: a/v < b/w exactly if a·w < b·v.
    pub(crate) fn compare_load(&self, other: &Self) -> Ordering {
        self.load_at(other.weight).cmp(&other.load_at(self.weight))
    }

    /// Compares that load times the nanoseconds that each takes to answer.
    pub(crate) fn compare_cost(&self, nanos: u64, other: &Self, other_nanos: u64) -> Ordering {
        let cost = |nanos: u64, load: u64| u128::from(nanos) * u128::from(load);
        cost(nanos, self.load_at(other.weight)).cmp(&cost(other_nanos, other.load_at(self.weight)))
    }

    /// Connections times the weight that they are compared at: at most 2^32 · (2^32 - 1), which is no overflow.
    fn load_at(&self, weight: u32) -> u64 {
        (u64::from(self.in_flight) + 1) * u64::from(weight)
    }
}
