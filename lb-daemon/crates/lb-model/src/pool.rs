//! Who serves a listener.

use std::num::{NonZeroU8, NonZeroU32};
use std::time::Duration;

use crate::{
    BackendAddress, BackendName, Discovery, DiscoverySettings, HealthCheck, HttpUpstream, Percent, PoolName,
    ZoneName,
};

/// A pool's place in [`Config::pools`](crate::Config::pools).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolId(pub u32);

impl PoolId {
    /// The place as an index.
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

/// Backends that serve the same thing, and how connections are spread over them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pool {
    /// Unique name.
    pub name: PoolName,
    /// How a backend is chosen.
    pub balance: Algorithm,
    /// The backends with an address, in file order; names unique, at most [`Pool::MAX_BACKENDS`]. Empty only where there
    /// are some to discover.
    pub backends: Vec<Backend>,
    /// The backends that are DNS names, in file order.
    pub discover: Vec<Discovery>,
    /// How those names are resolved.
    pub discovery: DiscoverySettings,
    /// How long one attempt to connect may take.
    pub connect_timeout: Duration,
    /// How many different backends one client connection may try.
    pub connect_tries: NonZeroU8,
    /// After this much silence the kernel probes whether the backend is still there. `None`: never.
    pub keepalive: Option<Duration>,
    /// Where connections wait while every backend is at its `max_connections`.
    pub queue: Queue,
    /// When a backend that fails is left alone, and for how long.
    pub passive_health: PassiveHealth,
    /// How long a backend that comes back (or is new) takes to get its full share, in ten steps. `None`: no time.
    pub slow_start: Option<Duration>,
    /// Where fewer than this share of the backends are healthy, all are used regardless of their health: the few would be
    /// overrun. With 0% that is only where none is.
    pub panic_threshold: Percent,
    /// What the backends' zones mean.
    pub zones: Zones,
    /// The PROXY protocol header that backends get first of all, so that they know the client. `None`: none.
    pub send_proxy: Option<SendProxy>,
    /// What HTTP listeners do with its backends.
    pub http: HttpUpstream,
}

/// A PROXY protocol header for backends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SendProxy {
    /// Version 1: a line of text with the addresses.
    V1,
    /// Version 2: binary, with what else is asked for.
    V2(ProxyTlvs),
}

/// What a PROXY protocol header of version 2 tells beside the addresses, where it is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ProxyTlvs {
    /// The protocol that the client offered first (ALPN); known of TLS listeners.
    pub alpn: Include,
    /// The name that the client asked for (SNI); known of TLS listeners.
    pub authority: Include,
    /// An id of the connection, which the access record has too.
    pub unique_id: Include,
    /// A checksum (CRC32c) of the header.
    pub crc32c: Include,
}

/// Whether something is in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Include {
    /// It is.
    Yes,
    /// It is not.
    #[default]
    No,
}

/// What the zones of a pool's backends mean for who gets a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Zones {
    /// Nothing.
    Ignore,
    /// Backends in this instance's own zone get all connections until they are short of capacity.
    PreferLocal,
}

impl Pool {
    /// Most backends in one pool: places in a Maglev table are 16 bit wide.
    pub const MAX_BACKENDS: usize = 4096;
}

/// How a backend is chosen for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Algorithm {
    /// Maglev consistent hashing over client and listener address and port.
    Hash,
    /// In turn, by weight.
    RoundRobin,
    /// Maglev consistent hashing over the client's address alone: a client stays with its backend.
    IpHash,
    /// The backend with the fewest connections per weight.
    LeastConnections,
    /// Of two backends chosen by chance, the one that answers sooner: peak EWMA of connect and first-byte time, times its
    /// connections.
    LeastResponseTime,
    /// Of two backends chosen by chance, the one with fewer connections per weight.
    Random,
}

impl Algorithm {
    /// The name as configured and shown.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Hash => "hash",
            Self::IpHash => "ip_hash",
            Self::RoundRobin => "round_robin",
            Self::LeastConnections => "least_connections",
            Self::LeastResponseTime => "least_response_time",
            Self::Random => "random",
        }
    }
}

/// One server of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backend {
    /// Unique in the pool.
    pub name: BackendName,
    /// Where it is.
    pub address: BackendAddress,
    /// Its share of new connections.
    pub weight: Weight,
    /// Most connections at once over all workers.
    pub max_connections: Option<NonZeroU32>,
    /// Backends of the lowest tier get the connections until they are short of capacity, then the next tier's too.
    pub tier: u8,
    /// The failure domain that it is in.
    pub zone: Option<ZoneName>,
    /// How it is checked. `None`: not at all.
    pub health_check: Option<HealthCheck>,
}

/// A backend's share of new connections in proportion to the others' weights; 0 takes none and keeps what it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Weight(pub u16);

impl Weight {
    /// The weight of a backend that states none.
    pub const DEFAULT: Self = Self(1);
}

/// The bounds of a pool's waiting line, which only pools with `max_connections` on every eligible backend ever use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Queue {
    /// Most connections that wait at once over all workers; 0 refuses at once.
    pub limit: u32,
    /// How long a connection waits at most.
    pub timeout: Duration,
}

/// Back-off of backends that do not accept connections: after `failures` in a row the backend gets no new connections
/// for `backoff`, then twice as long each time it fails again, up to `max_backoff`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PassiveHealth {
    /// Failed connects in a row that it takes.
    pub failures: NonZeroU32,
    /// First back-off.
    pub backoff: Duration,
    /// Longest back-off; never shorter than `backoff`.
    pub max_backoff: Duration,
    /// At most this share of the pool's backends backs off at once, but always one may unless it is 0%: trouble that all
    /// have is rarely theirs.
    pub max_ejected: Percent,
}
