//! What clients connect to.

use std::num::NonZeroU32;
use std::time::Duration;

use crate::{AccessList, Bind, ListenerName, PoolId};

/// Addresses, ports and a protocol that clients connect to, and the pool that serves them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Unique name.
    pub name: ListenerName,
    /// Where to listen; never empty, no two overlap in one configuration.
    pub bind: Vec<Bind>,
    /// What is spoken.
    pub protocol: Protocol,
    /// Who serves it.
    pub pool: PoolId,
    /// Most connections at once over all workers; further ones wait in the kernel's accept queue.
    pub max_connections: Option<NonZeroU32>,
    /// A connection on which nothing moves for this long is reset. `None`: never.
    pub idle_timeout: Option<Duration>,
    /// After this much silence the kernel probes whether the client is still there. `None`: never.
    pub keepalive: Option<Duration>,
    /// Which clients may connect.
    pub access: AccessList,
}

/// What a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Bytes, relayed untouched.
    Tcp,
}
