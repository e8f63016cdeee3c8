//! Packets and tables in ordinary memory: the packet logic as tests and fuzzers run it.

mod sample;

use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::{
    BackendEntry, BackendIndex, Config, Control, Counter, DropReason, Family, FlowEvent, ListenerId,
    ListenerLine, ListenerV4, ListenerV6, Packet, PassReason, PoolEntry, PoolId, RingLine, Tables, flow,
};

pub use sample::{Expected, Sample, samples};

/// A packet with room in front of it.
#[derive(Debug, Clone)]
pub struct HostPacket {
    memory: Box<[Cell<u8>]>,
    start: usize,
    /// The interface that it came in by.
    pub interface: u32,
}

impl HostPacket {
    /// Bytes that XDP promises in front of a packet, XDP_PACKET_HEADROOM.
    pub const HEADROOM: usize = 256;

    /// A packet of these bytes that came in by interface 1.
    pub fn new(bytes: &[u8]) -> Self {
        Self::with_headroom(bytes, Self::HEADROOM)
    }

    /// The same with only so many bytes of room in front of it.
    pub fn with_headroom(bytes: &[u8], headroom: usize) -> Self {
        let memory = std::iter::repeat_n(0, headroom).chain(bytes.iter().copied()).map(Cell::new).collect();
        Self { memory, start: headroom, interface: 1 }
    }

    /// The packet's bytes.
    pub fn bytes(&self) -> Vec<u8> {
        self.cells().iter().map(Cell::get).collect()
    }

    fn cells(&self) -> &[Cell<u8>] {
        self.memory.get(self.start..).unwrap_or_default()
    }
}

#[expect(unsafe_code, reason = "the trait's promise")]
// SAFETY: the cells are there, may be written through shared references, and are not moved.
unsafe impl Packet for HostPacket {
    fn address(&self, offset: usize, len: usize) -> Option<*mut u8> {
        let window = self.cells().get(offset..offset.checked_add(len)?)?;
        Some(window.as_ptr().cast::<u8>().cast_mut())
    }

    fn reaches(&self, len: usize) -> bool {
        self.cells().len() >= len
    }

    fn grow(&mut self, bytes: usize) -> Option<()> {
        self.start = self.start.checked_sub(bytes)?;
        Some(())
    }

    fn interface(&self) -> u32 {
        self.interface
    }
}

/// The tables of one balancer.
#[derive(Debug)]
pub struct HostTables {
    /// See [`Tables::config`].
    pub config: Config,
    /// The clock.
    pub jiffies: AtomicU64,
    /// See [`Tables::control`].
    pub control: Control,
    /// Listeners at IPv4 addresses, both halves.
    pub listeners_v4: Box<[ListenerLine<ListenerV4>]>,
    /// Listeners at IPv6 addresses, both halves.
    pub listeners_v6: Box<[ListenerLine<ListenerV6>]>,
    /// See [`Tables::pool`].
    pub pools: Box<[PoolEntry]>,
    /// See [`Tables::ring`].
    pub rings: Box<[RingLine]>,
    /// See [`Tables::backend`].
    pub backends: Box<[BackendEntry]>,
    /// IPv4 flows.
    pub flows_v4: Box<[flow::Line]>,
    /// IPv6 flows.
    pub flows_v6: Box<[flow::Line]>,
    /// By listener.
    pub listener_counters: Box<[Counter]>,
    /// By backend.
    pub backend_counters: Box<[Counter]>,
    /// By [`PassReason`].
    pub passed: Counts,
    /// By [`DropReason`].
    pub dropped: Counts,
    /// By [`FlowEvent`].
    pub events: Counts,
}

/// Counts of the reasons of one kind, over all threads.
#[derive(Debug, Default)]
pub struct Counts([AtomicU64; 8]);

impl Counts {
    /// How many there were of the reason with this number.
    pub fn of(&self, number: u64) -> u64 {
        usize::try_from(number)
            .ok()
            .and_then(|number| self.0.get(number))
            .map_or(0, |count| count.load(Ordering::Relaxed))
    }

    fn add(&self, number: u64) {
        if let Some(count) = usize::try_from(number).ok().and_then(|number| self.0.get(number)) {
            count.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl HostTables {
    /// Empty tables for `backends` backends, as many pools and listeners, and lines as `config` has them.
    pub fn new(config: Config, backends: usize) -> Self {
        fn empty<T: Default>(len: usize) -> Box<[T]> {
            std::iter::repeat_with(T::default).take(len).collect()
        }
        let lines = |shift: u32| 1_usize << (u64::BITS - shift);
        let listeners = lines(config.listener_shift);
        let [flows_v4, flows_v6] = config.flow_shift.map(lines);
        Self {
            config,
            jiffies: AtomicU64::new(0),
            control: Control::default(),
            listeners_v4: empty(listeners),
            listeners_v6: empty(listeners),
            pools: empty(backends),
            rings: empty(backends * 2 * RingLine::LINES as usize),
            backends: empty(backends),
            flows_v4: empty(flows_v4),
            flows_v6: empty(flows_v6),
            listener_counters: empty(backends),
            backend_counters: empty(backends),
            passed: Counts::default(),
            dropped: Counts::default(),
            events: Counts::default(),
        }
    }
}

impl Tables for HostTables {
    fn config(&self) -> &Config {
        &self.config
    }

    fn jiffies(&self) -> u64 {
        self.jiffies.load(Ordering::Relaxed)
    }

    fn control(&self) -> Option<&Control> {
        Some(&self.control)
    }

    fn listeners_v4(&self, line: u32) -> Option<&ListenerLine<ListenerV4>> {
        self.listeners_v4.get(line as usize)
    }

    fn listeners_v6(&self, line: u32) -> Option<&ListenerLine<ListenerV6>> {
        self.listeners_v6.get(line as usize)
    }

    fn pool(&self, id: PoolId) -> Option<&PoolEntry> {
        self.pools.get(usize::from(id.0))
    }

    fn ring(&self, line: u32) -> Option<&RingLine> {
        self.rings.get(line as usize)
    }

    fn backend(&self, index: BackendIndex) -> Option<&BackendEntry> {
        self.backends.get(usize::from(index.0))
    }

    fn flows(&self, family: Family, line: u32) -> Option<&flow::Line> {
        match family {
            Family::V4 => self.flows_v4.get(line as usize),
            Family::V6 => self.flows_v6.get(line as usize),
        }
    }

    fn listener_counter(&self, id: ListenerId) -> Option<&Counter> {
        self.listener_counters.get(usize::from(id.0))
    }

    fn backend_counter(&self, index: BackendIndex) -> Option<&Counter> {
        self.backend_counters.get(usize::from(index.0))
    }

    fn count_pass(&self, reason: PassReason) {
        self.passed.add(reason as u64);
    }

    fn count_drop(&self, reason: DropReason) {
        self.dropped.add(reason as u64);
    }

    fn count_flow(&self, event: FlowEvent) {
        self.events.add(event as u64);
    }
}
