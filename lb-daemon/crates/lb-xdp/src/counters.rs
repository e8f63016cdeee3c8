//! What the program has counted, over all CPUs.

use aya::maps::{MapError as AyaMapError, PerCpuArray, PerCpuValues};
use aya::{Ebpf, Pod};
use lb_common::{DropReason, FlowEvent, PassReason};

/// What was counted for a listener or a backend since the program was loaded.
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

/// Everything that was counted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statistics {
    /// By listener number.
    pub listeners: Vec<Counts>,
    /// By backend index.
    pub backends: Vec<Counts>,
    /// Packets that passed, by reason.
    pub passed: Vec<(PassReason, u64)>,
    /// Packets that were dropped, by reason.
    pub dropped: Vec<(DropReason, u64)>,
    /// What happened to the flow tables.
    pub flow_events: Vec<(FlowEvent, u64)>,
}

/// Why the counters cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the counters {map} of the XDP program")]
pub struct StatisticsError {
    /// The map.
    pub map: &'static str,
    #[source]
    source: AyaMapError,
}

#[expect(unsafe_code, reason = "aya takes bytes of such types only")]
// SAFETY: integers without padding.
unsafe impl Pod for Counts {}

impl Counts {
    fn plus(self, other: &Self) -> Self {
        Self {
            packets: self.packets + other.packets,
            bytes: self.bytes + other.bytes,
            flows: self.flows + other.flows,
        }
    }
}

impl Statistics {
    pub(crate) fn read(object: &Ebpf) -> Result<Self, StatisticsError> {
        Ok(Self {
            listeners: counts(object, "LISTENER_STATS")?,
            backends: counts(object, "BACKEND_STATS")?,
            passed: reasons(object, "PASSED", PassReason::ALL)?,
            dropped: reasons(object, "DROPPED", DropReason::ALL)?,
            flow_events: reasons(object, "FLOW_EVENTS", FlowEvent::ALL)?,
        })
    }
}

fn counts(object: &Ebpf, map: &'static str) -> Result<Vec<Counts>, StatisticsError> {
    let values = values::<Counts>(object, map)?;
    Ok(values.iter().map(|cpus| cpus.iter().fold(Counts::default(), Counts::plus)).collect())
}

fn reasons<R>(
    object: &Ebpf,
    map: &'static str,
    all: impl IntoIterator<Item = R>,
) -> Result<Vec<(R, u64)>, StatisticsError> {
    let values = values::<u64>(object, map)?;
    Ok(all.into_iter().zip(values.iter().map(|cpus| cpus.iter().sum())).collect())
}

/// What each CPU has at each number.
fn values<V: Pod>(object: &Ebpf, name: &'static str) -> Result<Vec<PerCpuValues<V>>, StatisticsError> {
    let read = || -> Result<Vec<_>, AyaMapError> {
        let map = object.map(name).ok_or_else(|| AyaMapError::InvalidName { name: name.to_owned() })?;
        PerCpuArray::<_, V>::try_from(map)?.iter().collect()
    };
    read().map_err(|source| StatisticsError { map: name, source })
}
