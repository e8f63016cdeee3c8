//! What no maps can say: found before anything is written.

use std::collections::HashMap;
use std::net::IpAddr;

use crate::desired::{Desired, DesiredListener, DesiredPool};

/// Why the maps cannot say what is desired. Nothing was written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReconcileError {
    /// A map is too small, also counting what was removed a moment ago.
    #[error(
        "the XDP maps have room for {left} more {what}, and {wanted} are new: make them larger and restart"
    )]
    NoRoom {
        /// Of what.
        what: &'static str,
        /// How many are new.
        wanted: usize,
        /// For how many there is room.
        left: usize,
    },
    /// More port ranges at one address than a line has entries.
    #[error("XDP takes at most four port ranges at one address and protocol")]
    TooManyRanges,
    /// Our end of a tunnel is of another family than the backend's.
    #[error("backend {backend} of pool {pool}: its address and the tunnel's source must be of one family")]
    MixedTunnel {
        /// The pool.
        pool: String,
        /// The backend.
        backend: String,
    },
    /// IPv6 packets cannot go through an IPv4 tunnel.
    #[error("listener {listener} has an IPv6 address: backend {backend} of its pool {pool} needs one too")]
    V6ThroughV4 {
        /// The listener.
        listener: String,
        /// Its pool.
        pool: String,
        /// The backend.
        backend: String,
    },
    /// A pool is not there.
    #[error("listener {listener} wants pool {pool}, which is not among those that XDP has")]
    NoPool {
        /// The listener.
        listener: String,
        /// Its pool.
        pool: String,
    },
}

/// Checks what can be told without the maps.
pub(crate) fn check(desired: &Desired) -> Result<(), ReconcileError> {
    desired.pools.iter().try_for_each(check_tunnels)?;
    let pools: HashMap<&str, &DesiredPool> =
        desired.pools.iter().map(|pool| (pool.name.as_str(), pool)).collect();
    desired.listeners.iter().try_for_each(|listener| check_listener(listener, &pools))
}

fn check_tunnels(pool: &DesiredPool) -> Result<(), ReconcileError> {
    let mixed = |route: &crate::desired::Route| route.source.is_ipv4() != route.destination.is_ipv4();
    match pool.backends.iter().find(|backend| mixed(&backend.route)) {
        None => Ok(()),
        Some(backend) => {
            Err(ReconcileError::MixedTunnel { pool: pool.name.clone(), backend: backend.name.clone() })
        }
    }
}

fn check_listener(
    listener: &DesiredListener,
    pools: &HashMap<&str, &DesiredPool>,
) -> Result<(), ReconcileError> {
    let (name, pool) = (listener.name.clone(), listener.pool.clone());
    let Some(found) = pools.get(pool.as_str()) else {
        return Err(ReconcileError::NoPool { listener: name, pool });
    };
    let too_old = |address: IpAddr| listener.address.is_ipv6() && address.is_ipv4();
    match found.backends.iter().find(|backend| too_old(backend.route.destination)) {
        None => Ok(()),
        Some(backend) => {
            Err(ReconcileError::V6ThroughV4 { listener: name, pool, backend: backend.name.clone() })
        }
    }
}
