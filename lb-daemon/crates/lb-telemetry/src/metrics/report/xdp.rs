//! What a scrape tells of the XDP data path.

use lb_common::{DropReason, Family, FlowEvent, PassReason};

/// What the XDP programs have counted, and the state of their flow tables.
#[derive(Debug)]
pub struct XdpReport<'a> {
    /// The listeners that they serve, names unique.
    pub listeners: Vec<XdpListenerReport<'a>>,
    /// The backends of those listeners' pools, names unique in their pool.
    pub backends: Vec<XdpBackendReport<'a>>,
    /// Packets that passed, each reason once.
    pub passed: Vec<(PassReason, u64)>,
    /// Packets that were dropped, each reason once.
    pub dropped: Vec<(DropReason, u64)>,
    /// What happened to the flow tables, each event once.
    pub flow_events: Vec<(FlowEvent, u64)>,
    /// The flow tables, each family once.
    pub flow_tables: Vec<FlowTableReport>,
}

/// A listener of the XDP data path.
#[derive(Debug)]
pub struct XdpListenerReport<'a> {
    /// Its name.
    pub name: &'a str,
    /// What was counted for it, over all its addresses.
    pub counts: XdpCounts,
}

/// A backend of the XDP data path.
#[derive(Debug)]
pub struct XdpBackendReport<'a> {
    /// The name of its pool.
    pub pool: &'a str,
    /// Its name.
    pub name: &'a str,
    /// What was counted for it.
    pub counts: XdpCounts,
}

/// What XDP programs count for a listener or a backend, since it is there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct XdpCounts {
    /// Packets of clients that were sent on.
    pub packets: u64,
    /// Bytes of them, from the IP header on.
    pub bytes: u64,
    /// Flows that were put into the flow table.
    pub flows: u64,
}

/// The flow table of a family.
#[derive(Debug, Clone, Copy)]
pub struct FlowTableReport {
    /// Which IP clients speak.
    pub family: Family,
    /// The memory that it takes.
    pub bytes: u64,
    /// Flows that it can hold.
    pub ways: u64,
    /// Flows that sweeps took out of it.
    pub swept: u64,
    /// Flows that the last sweep left in it, if there was one.
    pub flows: Option<FlowStates>,
}

/// Flows by how far they have got.
#[derive(Debug, Clone, Copy)]
pub struct FlowStates {
    /// Flows with one packet.
    pub new: u64,
    /// Flows with more.
    pub confirmed: u64,
    /// Flows whose client has said good-bye.
    pub closing: u64,
}
