//! The maps, all of them arrays: the verifier makes a look-up in one a handful of instructions. Userspace sets
//! their sizes when it loads the program, and maps those that it writes into its own memory.

use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::helpers::bpf_jiffies64;
use aya_ebpf::macros::map;
use aya_ebpf::maps::{Array, PerCpuArray};
use lb_common::{
    BackendEntry, BackendIndex, Config, Control, Counter, DropReason, Family, FlowEvent, ListenerId,
    ListenerLine, ListenerV4, ListenerV6, LoadOrder, PassReason, PoolEntry, PoolId, RingLine, Secret, Tables,
    Timeouts, Word, flow,
};

use crate::opaque::opaque;

/// Written by userspace when it loads the program; then frozen, so that the verifier knows the values.
#[unsafe(no_mangle)]
static CONFIG: Config = {
    let secret = Secret::new([0; Secret::WORDS]);
    let timeouts = Timeouts { new: 0, confirmed: 0, closing: 0, _pad: 0 };
    let (line_secret, key_secret) = (secret, secret);
    Config {
        line_secret,
        key_secret,
        flow_shift: [0; 2],
        listener_shift: 0,
        tick_shift: 0,
        load_order: LoadOrder::FREE,
        timeouts: [timeouts; 2],
    }
};

#[map]
static CONTROL: Array<Control> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
static LISTENERS_V4: Array<ListenerLine<ListenerV4>> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
static LISTENERS_V6: Array<ListenerLine<ListenerV6>> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
static POOLS: Array<PoolEntry> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
static RINGS: Array<RingLine> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
static BACKENDS: Array<BackendEntry> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
static FLOWS_V4: Array<flow::Line> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
static FLOWS_V6: Array<flow::Line> = Array::with_max_entries(1, BPF_F_MMAPABLE);
#[map]
static LISTENER_STATS: PerCpuArray<Counter> = PerCpuArray::with_max_entries(1, 0);
#[map]
static BACKEND_STATS: PerCpuArray<Counter> = PerCpuArray::with_max_entries(1, 0);
#[map]
static PASSED: PerCpuArray<Word> = PerCpuArray::with_max_entries(entries(&PassReason::ALL), 0);
#[map]
static DROPPED: PerCpuArray<Word> = PerCpuArray::with_max_entries(entries(&DropReason::ALL), 0);
#[map]
static FLOW_EVENTS: PerCpuArray<Word> = PerCpuArray::with_max_entries(entries(&FlowEvent::ALL), 0);

/// One entry for each of a few reasons.
#[expect(clippy::cast_possible_truncation, reason = "there are a handful")]
const fn entries<R>(all: &[R]) -> u32 {
    all.len() as u32
}

/// The maps as the packet logic sees them.
pub(crate) struct Maps {
    config: &'static Config,
}

impl Maps {
    #[inline(always)]
    pub(crate) fn new() -> Self {
        Self { config: opaque(&CONFIG) }
    }
}

impl Tables for Maps {
    #[inline(always)]
    fn config(&self) -> &Config {
        self.config
    }

    #[inline(always)]
    fn jiffies(&self) -> u64 {
        // SAFETY: the helper has no arguments.
        unsafe { bpf_jiffies64() }
    }

    #[inline(always)]
    fn control(&self) -> Option<&Control> {
        CONTROL.get(0)
    }

    #[inline(always)]
    fn listeners_v4(&self, line: u32) -> Option<&ListenerLine<ListenerV4>> {
        LISTENERS_V4.get(line)
    }

    #[inline(always)]
    fn listeners_v6(&self, line: u32) -> Option<&ListenerLine<ListenerV6>> {
        LISTENERS_V6.get(line)
    }

    #[inline(always)]
    fn pool(&self, id: PoolId) -> Option<&PoolEntry> {
        POOLS.get(id.0.into())
    }

    #[inline(always)]
    fn ring(&self, line: u32) -> Option<&RingLine> {
        RINGS.get(line)
    }

    #[inline(always)]
    fn backend(&self, index: BackendIndex) -> Option<&BackendEntry> {
        BACKENDS.get(index.0.into())
    }

    #[inline(always)]
    fn flows(&self, family: Family, line: u32) -> Option<&flow::Line> {
        match family {
            Family::V4 => FLOWS_V4.get(line),
            Family::V6 => FLOWS_V6.get(line),
        }
    }

    #[inline(always)]
    fn listener_counter(&self, id: ListenerId) -> Option<&Counter> {
        LISTENER_STATS.get(id.0.into())
    }

    #[inline(always)]
    fn backend_counter(&self, index: BackendIndex) -> Option<&Counter> {
        BACKEND_STATS.get(index.0.into())
    }

    #[inline(always)]
    fn count_pass(&self, reason: PassReason) {
        count(&PASSED, reason as u32);
    }

    #[inline(always)]
    fn count_drop(&self, reason: DropReason) {
        count(&DROPPED, reason as u32);
    }

    #[inline(always)]
    fn count_flow(&self, event: FlowEvent) {
        count(&FLOW_EVENTS, event as u32);
    }
}

#[inline(always)]
fn count(map: &PerCpuArray<Word>, reason: u32) {
    if let Some(word) = map.get(reason) {
        word.add_own(1);
    }
}
