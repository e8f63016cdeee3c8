//! The balancing algorithms, shared by every data path.
//!
//! Two halves: a cold *build* over the backends that may take new connections (made when a view is made, off the
//! workers), and a hot *pick*. Pure: no clock, no random source, no IO. What changes between two builds (who is full,
//! how many connections each has) is asked through [`Candidates`].
#![forbid(unsafe_code)]

mod flow;
mod least_connections;
mod maglev;
mod round_robin;

use lb_model::{Algorithm, Weight};

pub use flow::{FlowHash, Protocol};
pub use least_connections::LeastConnections;
pub use maglev::Maglev;
pub use round_robin::RoundRobin;

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
    /// Its share; members of weight 0 are left out of the build.
    pub weight: Weight,
}

/// What a pick asks about the members at this moment.
pub trait Candidates {
    /// Whether the backend could take this very connection: not full, not tried before.
    fn usable(&self, backend: BackendIndex) -> bool;
    /// Connections that the backend has now.
    fn in_flight(&self, backend: BackendIndex) -> u32;
}

/// What a pick is made from.
#[derive(Debug, Clone, Copy)]
pub struct Turn {
    /// Hash of the flow, for the algorithms that hash.
    pub flow: FlowHash,
    /// A count that the caller increments by one for each pick, starting anywhere.
    pub count: u32,
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
}

impl Balancer {
    /// Builds `algorithm` over `members`, whose order does not matter to consistent hashing.
    pub fn build(algorithm: Algorithm, members: &[Member<'_>]) -> Self {
        let members: Vec<_> = members.iter().copied().filter(|m| m.weight.0 > 0).collect();
        match algorithm {
            Algorithm::Hash => Self::Hash(Maglev::build(&members)),
            Algorithm::RoundRobin => Self::RoundRobin(RoundRobin::build(&members)),
            Algorithm::LeastConnections => Self::LeastConnections(LeastConnections::build(&members)),
        }
    }

    /// Chooses a usable member; `None` if there is none.
    pub fn pick(&self, turn: Turn, candidates: &impl Candidates) -> Option<BackendIndex> {
        match self {
            Self::Hash(maglev) => maglev.pick(turn.flow, candidates),
            Self::RoundRobin(schedule) => schedule.pick(turn.count, candidates),
            Self::LeastConnections(members) => members.pick(turn.count, candidates),
        }
    }
}

#[cfg(test)]
mod tests;
