//! Backends that are found by asking DNS.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use crate::{DnsName, HealthCheck, Weight, ZoneName};

/// A DNS name whose answers are backends: each address, or each SRV record's target and port, is one, named by its address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovery {
    /// What is asked, unique in its pool.
    pub query: DiscoveryQuery,
    /// The share of each of them. SRV records have their own: this is multiplied with it.
    pub weight: Weight,
    /// Their tier. SRV records with the lowest priority are in this one, those with the next in the one below, and so on.
    pub tier: u8,
    /// Their zone.
    pub zone: Option<ZoneName>,
    /// Most connections at once to each of them, over all workers.
    pub max_connections: Option<NonZeroU32>,
    /// How they are checked.
    pub health_check: Option<HealthCheck>,
}

/// A question whose answers are backends.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DiscoveryQuery {
    /// The A and AAAA records of a name.
    Addresses {
        /// The name.
        name: DnsName,
        /// The backends' port; `None` is the port that the client connected to.
        port: Option<u16>,
    },
    /// The SRV records of a name (RFC 2782), and the addresses of their targets.
    Services {
        /// The name, for example `_http._tcp.example.com`.
        name: DnsName,
    },
}

impl DiscoveryQuery {
    /// The name that is asked for.
    pub fn name(&self) -> &DnsName {
        match self {
            Self::Addresses { name, .. } | Self::Services { name } => name,
        }
    }
}

/// As it is shown: `web.example.com:80`, `srv _http._tcp.example.com`.
impl fmt::Display for DiscoveryQuery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Addresses { name, port: Some(port) } => write!(f, "{name}:{port}"),
            Self::Addresses { name, port: None } => write!(f, "{name}"),
            Self::Services { name } => write!(f, "srv {name}"),
        }
    }
}

/// How a pool's names are resolved.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiscoverySettings {
    /// Which addresses are wanted.
    pub families: IpFamilies,
    /// An answer is good for its TTL, but for no shorter time than this; never zero.
    pub min_ttl: Duration,
    /// And for no longer time than this; at least `min_ttl`.
    pub max_ttl: Duration,
    /// How long the last good answer is kept while there is none: no answer, an error, or an empty one.
    pub keep: Duration,
}

impl DiscoverySettings {
    /// A record with a TTL of 0 is asked for every five seconds; a name server that is down for an hour is survived.
    pub const DEFAULT: Self = Self {
        families: IpFamilies::Both,
        min_ttl: Duration::from_secs(5),
        max_ttl: Duration::from_secs(300),
        keep: Duration::from_secs(3600),
    };
}

/// Address families.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum IpFamilies {
    /// Both.
    Both,
    /// IPv4 alone.
    Ipv4,
    /// IPv6 alone.
    Ipv6,
}
