//! What the maps are to say, in the names of the configuration: made from a view, without knowledge of what they
//! say now.

use std::net::IpAddr;

use lb_common::{Choice, Mac, PortRange, Protocol};

/// Everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Desired {
    /// Of the flow hash; the same on every instance.
    pub seed: u32,
    /// The listeners that XDP serves.
    pub listeners: Vec<DesiredListener>,
    /// The pools that they use, each name once.
    pub pools: Vec<DesiredPool>,
}

/// A listener at one of its addresses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredListener {
    /// The listener's name.
    pub name: String,
    /// The address.
    pub address: IpAddr,
    /// The ports.
    pub ports: PortRange,
    /// The transport protocol.
    pub protocol: Protocol,
    /// The name of its pool.
    pub pool: String,
    /// How long a flow may be idle, in ticks.
    pub idle: u16,
}

/// A pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredPool {
    /// Its name.
    pub name: String,
    /// What decides on a slot; without slots it does not matter.
    pub choice: Choice,
    /// Its backends, also those that take no new flows.
    pub backends: Vec<DesiredBackend>,
    /// The Maglev table: places in `backends`. Empty if nobody takes new flows.
    pub slots: Vec<lb_balance::BackendIndex>,
}

/// A backend of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DesiredBackend {
    /// Its name.
    pub name: String,
    /// Whether the flows that it has may stay.
    pub standing: Standing,
    /// How to get there.
    pub route: Route,
}

/// Whether a backend may keep the flows that it has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Standing {
    /// Yes, whether it takes new ones or not.
    Alive,
    /// No: they choose again.
    Dead,
}

/// How packets get to a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The end of the tunnel.
    pub destination: IpAddr,
    /// Our end, of the same family.
    pub source: IpAddr,
    /// Bits of the source's last four bytes that may differ between flows.
    pub entropy: u32,
    /// The Ethernet address of the next hop.
    pub next_hop: Mac,
    /// The index of the interface.
    pub interface: u32,
    /// The Ethernet address of the interface.
    pub interface_mac: Mac,
    /// The largest outer packet, in bytes.
    pub mtu: u16,
}
