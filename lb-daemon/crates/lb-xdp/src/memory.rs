//! The maps that userspace writes, in its own memory.

use aya::Ebpf;
use lb_common::{
    BackendEntry, Control, Family, ListenerLine, ListenerV4, ListenerV6, PoolEntry, RingLine, flow,
};

use crate::mapped::{MapError, Mapped, MappedOne};

/// The maps of a loaded program.
#[derive(Debug)]
pub(crate) struct Maps {
    control: MappedOne<Control>,
    listeners_v4: Mapped<ListenerLine<ListenerV4>>,
    listeners_v6: Mapped<ListenerLine<ListenerV6>>,
    pools: Mapped<PoolEntry>,
    rings: Mapped<RingLine>,
    backends: Mapped<BackendEntry>,
    flows_v4: Mapped<flow::Line>,
    flows_v6: Mapped<flow::Line>,
}

impl Maps {
    pub(crate) fn new(object: &Ebpf) -> Result<Self, MapError> {
        Ok(Self {
            control: MappedOne::new(object, "CONTROL")?,
            listeners_v4: Mapped::new(object, "LISTENERS_V4")?,
            listeners_v6: Mapped::new(object, "LISTENERS_V6")?,
            pools: Mapped::new(object, "POOLS")?,
            rings: Mapped::new(object, "RINGS")?,
            backends: Mapped::new(object, "BACKENDS")?,
            flows_v4: Mapped::new(object, "FLOWS_V4")?,
            flows_v6: Mapped::new(object, "FLOWS_V6")?,
        })
    }

    pub(crate) fn memory(&self) -> Memory<'_> {
        Memory {
            control: &self.control,
            listeners_v4: &self.listeners_v4,
            listeners_v6: &self.listeners_v6,
            pools: &self.pools,
            rings: &self.rings,
            backends: &self.backends,
            flows_v4: &self.flows_v4,
            flows_v6: &self.flows_v6,
        }
    }
}

/// What is read and written, wherever it is.
#[derive(Debug, Clone, Copy)]
pub struct Memory<'a> {
    /// The only value of its map.
    pub control: &'a Control,
    /// Listeners at IPv4 addresses, both halves.
    pub listeners_v4: &'a [ListenerLine<ListenerV4>],
    /// Listeners at IPv6 addresses, both halves.
    pub listeners_v6: &'a [ListenerLine<ListenerV6>],
    /// By number.
    pub pools: &'a [PoolEntry],
    /// Two for each pool.
    pub rings: &'a [RingLine],
    /// By number.
    pub backends: &'a [BackendEntry],
    /// The flows of clients with IPv4.
    pub flows_v4: &'a [flow::Line],
    /// The flows of clients with IPv6.
    pub flows_v6: &'a [flow::Line],
}

impl<'a> Memory<'a> {
    /// The flows of clients of a family.
    pub fn flows(&self, family: Family) -> &'a [flow::Line] {
        match family {
            Family::V4 => self.flows_v4,
            Family::V6 => self.flows_v6,
        }
    }
}
