//! Connections to backends: where they come from, and where they are kept between requests.

mod idle;

use lb_net::Wire;
use lb_runtime::{Lease, PoolView};
use tokio::net::TcpStream;

pub(crate) use self::idle::IdleConnections;
use crate::unread::Unread;

/// A connection to a backend, and the backend's place for the request that it serves.
#[derive(Debug)]
pub(crate) struct Upstream {
    pub(crate) wire: Wire,
    /// What the backend has sent of a head that is not whole.
    pub(crate) unread: Unread,
    pub(crate) origin: Origin,
    pub(crate) lease: Lease,
}

/// Whether a connection has served a request before: one that has may have died since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    New,
    Kept,
}

impl Upstream {
    pub(crate) fn new(stream: TcpStream, lease: Lease) -> Self {
        Self { wire: Wire::connected(stream), unread: Unread::default(), origin: Origin::New, lease }
    }

    pub(crate) fn kept(wire: Wire, lease: Lease) -> Self {
        Self { wire, unread: Unread::default(), origin: Origin::Kept, lease }
    }

    /// Keeps the connection for the next request. The backend's place is free again.
    pub(crate) fn keep(self, idle: &IdleConnections, pool: &PoolView) {
        idle.put(self.lease.backend(), self.wire, &pool.settings.http);
    }
}
