//! What is desired, in numbers and in the types of the maps.

use std::net::IpAddr;
use std::num::NonZeroU8;

use lb_common::{
    Address, Backend, BackendIndex, Choice, Half, LineFull, Listed, ListenerControl, ListenerLine, PoolId,
    Tunnel, V4, V6, flow_hash, write_table,
};

use crate::check::ReconcileError;
use crate::desired::{Route, Standing};

// A ring's lines have as many slots as the table that they come from.
const _: () = assert!(lb_common::SLOTS == lb_balance::Maglev::SLOTS);

/// What the maps have to say.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Target {
    pub(crate) backends: Vec<TargetBackend>,
    pub(crate) pools: Vec<TargetPool>,
    pub(crate) listeners_v4: Vec<Listed<V4>>,
    pub(crate) listeners_v6: Vec<Listed<V6>>,
}

/// A backend, but for its generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TargetBackend {
    pub(crate) index: BackendIndex,
    pub(crate) standing: Standing,
    pub(crate) route: Route,
}

/// A pool, but for the half of its ring.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct TargetPool {
    pub(crate) id: PoolId,
    pub(crate) seed: u32,
    pub(crate) choice: Choice,
    /// Backends by slot; none if nobody takes new flows.
    pub(crate) ring: Vec<BackendIndex>,
}

impl Target {
    pub(crate) fn pool(&self, id: PoolId) -> Option<&TargetPool> {
        self.pools.iter().find(|pool| pool.id == id)
    }
}

impl TargetBackend {
    /// The backend in one of its lives; `None` if the ends of its tunnel do not fit.
    pub(crate) fn in_life(&self, generation: NonZeroU8) -> Option<Backend> {
        let Route { destination, source, entropy, next_hop, interface, interface_mac, mtu } = self.route;
        let tunnel = match (source, destination) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                Tunnel::V4 { source: source.into(), destination: destination.into() }
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                Tunnel::V6 { source: source.into(), destination: destination.into() }
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => return None,
        };
        Some(Backend {
            generation,
            next_hop,
            interface_mac,
            interface,
            mtu,
            entropy: entropy.to_be(),
            tunnel,
        })
    }
}

/// Writes a table of listeners into a half that is not in use, with a multiplier that leaves no line over-full.
pub(crate) fn write_listeners<A: Address>(
    lines: &[ListenerLine<A::Listener>],
    half: Half,
    listeners: &[Listed<A>],
) -> Result<ListenerControl, ReconcileError> {
    /// With lines for twice as many listeners one in five attempts fails or fewer.
    const ATTEMPTS: u64 = 1000;
    // Those with one port come first.
    let mut sorted = listeners.to_vec();
    sorted.sort_by_key(|listed| listed.ports.is_range());
    let ranges = sorted.iter().filter(|listed| listed.ports.is_range()).count();
    for attempt in 0..ATTEMPTS {
        let control = ListenerControl::new(flow_hash::absorb(attempt, 0), half, ranges);
        if write_table(lines, control, &sorted) != Err(LineFull) {
            return Ok(control);
        }
    }
    Err(ReconcileError::TooManyRanges)
}
