//! What the programs count, over all CPUs.

use aya::maps::{MapError as AyaMapError, PerCpuArray, PerCpuValues};
use aya::{Ebpf, Pod};
use lb_common::{BackendIndex, DropReason, FlowEvent, ListenerId, PassReason};

/// Reads what programs count, be it the kernel's or a test's. Nothing here is ever set back: a number that is
/// given to another listener or backend goes on where it was.
pub trait Counters {
    /// What was counted under a listener's number.
    fn listener(&self, id: ListenerId) -> Result<Counts, CountersError>;
    /// What was counted under a backend's number.
    fn backend(&self, index: BackendIndex) -> Result<Counts, CountersError>;
    /// Packets that passed for this reason.
    fn passed(&self, reason: PassReason) -> Result<u64, CountersError>;
    /// Packets that were dropped for this reason.
    fn dropped(&self, reason: DropReason) -> Result<u64, CountersError>;
    /// How often this happened to the flow tables.
    fn flow_event(&self, event: FlowEvent) -> Result<u64, CountersError>;
}

/// What is counted for a listener or a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(C)]
pub struct Counts {
    /// Packets of clients that were sent on.
    pub packets: u64,
    /// Bytes of them, from the IP header on.
    pub bytes: u64,
    /// Flows that were put into the flow table.
    pub flows: u64,
}

/// Why counters cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the counters {map} of the XDP program")]
pub struct CountersError {
    /// The map.
    pub map: &'static str,
    #[source]
    source: AyaMapError,
}

#[expect(unsafe_code, reason = "aya takes bytes of such types only")]
// SAFETY: integers without padding.
unsafe impl Pod for Counts {}

impl Counts {
    /// Both together.
    #[must_use]
    pub(crate) fn plus(self, other: Self) -> Self {
        Self {
            packets: self.packets + other.packets,
            bytes: self.bytes + other.bytes,
            flows: self.flows + other.flows,
        }
    }

    /// What has been counted since `before`.
    #[must_use]
    pub(crate) fn since(self, before: Self) -> Self {
        Self {
            packets: self.packets.saturating_sub(before.packets),
            bytes: self.bytes.saturating_sub(before.bytes),
            flows: self.flows.saturating_sub(before.flows),
        }
    }
}

/// Reads what was counted for a number.
pub(crate) fn counts(object: &Ebpf, map: &'static str, number: u16) -> Result<Counts, CountersError> {
    let cpus = values::<Counts>(object, map, number.into())?;
    Ok(cpus.iter().copied().fold(Counts::default(), Counts::plus))
}

/// Reads how often there was a reason or an event of this number.
pub(crate) fn count(object: &Ebpf, map: &'static str, number: u32) -> Result<u64, CountersError> {
    Ok(values::<u64>(object, map, number)?.iter().sum())
}

/// What each CPU has counted.
fn values<V: Pod>(object: &Ebpf, name: &'static str, index: u32) -> Result<PerCpuValues<V>, CountersError> {
    let read = || {
        let map = object.map(name).ok_or_else(|| AyaMapError::InvalidName { name: name.to_owned() })?;
        PerCpuArray::<_, V>::try_from(map)?.get(&index, 0)
    };
    read().map_err(|source| CountersError { map: name, source })
}
