//! The balancing algorithms, shared by every data path.
//!
//! Two halves: a cold *build* over the backends that may take new connections (made when a view is made, off the
//! workers), and a hot *pick*. Pure: no clock, no random source, no IO. What changes between two builds (who is full,
//! how many connections each has) is asked through [`Candidates`].
#![forbid(unsafe_code)]

mod contender;
mod ewma;
mod flow;
mod least_connections;
mod least_response_time;
mod maglev;
mod random;
mod round_robin;
mod tiers;

use std::time::Duration;

use lb_model::Algorithm;

pub use ewma::PeakEwma;
pub use flow::{FlowHash, Protocol};
pub use least_connections::LeastConnections;
pub use least_response_time::LeastResponseTime;
pub use maglev::Maglev;
pub use random::TwoChoices;
pub use round_robin::RoundRobin;
pub use tiers::{Capacity, Load, TierMember, share_load, spread, suffices};

/// A backend's place in its pool, in configuration order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BackendIndex(pub u16);

impl BackendIndex {
    /// The place as an index.
    pub fn index(self) -> usize {
        usize::from(self.0)
    }
}

/// A backend as a build sees it.
#[derive(Debug, Clone, Copy)]
pub struct Member<'a> {
    /// What a pick returns.
    pub index: BackendIndex,
    /// The name, which alone decides where consistent hashing puts the backend.
    pub name: &'a str,
    /// Its share in proportion to the others' weights, whatever their scale. Members of weight 0 are left out of the
    /// build.
    pub weight: u32,
}

/// What a pick asks about the members at this moment.
pub trait Candidates {
    /// Whether the backend could take this very connection: not full, not tried before.
    fn usable(&self, backend: BackendIndex) -> bool;
    /// Connections that the backend has now.
    fn in_flight(&self, backend: BackendIndex) -> u32;
    /// How long the backend takes to answer, of late; `None` if it is not known. See [`PeakEwma`].
    fn response_time(&self, backend: BackendIndex) -> Option<Duration>;
}

/// What a pick is made from.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    /// For the algorithms that hash: of the tuple for [`Algorithm::Hash`], of the client for [`Algorithm::IpHash`].
    pub flow: FlowHash,
    /// A count that the caller increments by one for each pick, starting anywhere.
    pub count: u32,
    /// A uniformly random word, for the algorithms that leave something to chance.
    pub random: u64,
}

/// One pool's algorithm, built over the members that are eligible.
#[derive(Debug)]
pub enum Balancer {
    /// See [`Maglev`].
    Hash(Maglev),
    /// See [`RoundRobin`].
    RoundRobin(RoundRobin),
    /// See [`LeastConnections`].
    LeastConnections(LeastConnections),
    /// See [`LeastResponseTime`].
    LeastResponseTime(LeastResponseTime),
    /// See [`TwoChoices`].
    Random(TwoChoices),
}

impl Balancer {
    /// Builds `algorithm` over `members`, whose order does not matter to consistent hashing.
    pub fn build(algorithm: Algorithm, members: &[Member<'_>]) -> Self {
        let members: Vec<_> = members.iter().copied().filter(|m| m.weight > 0).collect();
        match algorithm {
            Algorithm::Hash | Algorithm::IpHash => Self::Hash(Maglev::build(&members)),
            Algorithm::RoundRobin => Self::RoundRobin(RoundRobin::build(&members)),
            Algorithm::LeastConnections => Self::LeastConnections(LeastConnections::build(&members)),
            Algorithm::LeastResponseTime => Self::LeastResponseTime(LeastResponseTime::build(&members)),
            Algorithm::Random => Self::Random(TwoChoices::build(&members)),
        }
    }

    /// Chooses a usable member; `None` if there is none.
    pub fn pick(&self, turn: Turn, candidates: &impl Candidates) -> Option<BackendIndex> {
        match self {
            Self::Hash(maglev) => maglev.pick(turn.flow, candidates),
            Self::RoundRobin(schedule) => schedule.pick(turn.count, candidates),
            Self::LeastConnections(members) => members.pick(turn.count, candidates),
            Self::LeastResponseTime(choices) => choices.pick(turn.random, candidates),
            Self::Random(choices) => choices.pick(turn.random, candidates),
        }
    }

    /// The table, of the algorithms that have one: what changes in it tells which flows move.
    pub fn maglev(&self) -> Option<&Maglev> {
        match self {
            Self::Hash(maglev) => Some(maglev),
            Self::RoundRobin(_)
            | Self::LeastConnections(_)
            | Self::LeastResponseTime(_)
            | Self::Random(_) => None,
        }
    }
}

#[cfg(test)]
mod tests;
