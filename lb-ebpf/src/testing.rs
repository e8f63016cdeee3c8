//! Programs that measure and try the balancer. None of them is shipped.
//!
//! BPF_PROG_TEST_RUN gives a program its own output from the second run on. So a *wrapper* first makes the
//! packet anew, of another flow each time, and then calls the program under test; what the wrapper itself costs
//! shows one that calls a program that does nothing.
#![feature(asm_experimental_arch)]
#![no_std]
#![no_main]

mod object;
mod opaque;

use aya_ebpf::bindings::BPF_F_MMAPABLE;
use aya_ebpf::bindings::xdp_action::{XDP_ABORTED, XDP_DROP, XDP_PASS, XDP_TX};
use aya_ebpf::helpers::{bpf_get_prandom_u32, bpf_xdp_adjust_head};
use aya_ebpf::macros::{map, xdp};
use aya_ebpf::maps::{Array, HashMap, PerCpuArray, ProgramArray};
use aya_ebpf::programs::XdpContext;
use lb_common::flow::{Entry, Line, Lost, State};
use lb_common::flow_hash::absorb;
use lb_common::testing::{Plan, RaceCount};
use lb_common::{BackendIndex, ListenerId, LoadOrder, Tick, Word};

use crate::opaque::opaque;

/// The program under test.
#[map]
static TARGET: ProgramArray = ProgramArray::with_max_entries(1, 0);
/// The packets.
#[map]
static PLAN: Array<Plan> = Array::with_max_entries(1, BPF_F_MMAPABLE);
/// Looked up by the reference program, which finds nothing.
#[map]
static REFERENCE: HashMap<u64, u64> = HashMap::with_max_entries(512, 0);
/// A line of flows that CPUs race for.
#[map]
static RACE: Array<Line> = Array::with_max_entries(1, BPF_F_MMAPABLE);
/// What came of the race.
#[map]
static RACE_COUNTS: PerCpuArray<RaceCount> = PerCpuArray::with_max_entries(1, 0);

/// Calls the program under test with an IPv4 packet.
#[xdp(frags)]
#[inline(always)]
fn wrap4(context: XdpContext) -> u32 {
    wrap::<{ Plan::LEAD_V4 }, { Plan::LENGTH_V4 }, { Plan::SOURCE_V4 }>(&context)
}

/// Calls the program under test with an IPv6 packet.
#[xdp(frags)]
#[inline(always)]
fn wrap6(context: XdpContext) -> u32 {
    wrap::<{ Plan::LEAD_V6 }, { Plan::LENGTH_V6 }, { Plan::SOURCE_V6 }>(&context)
}

/// `LENGTH` bytes of packet, of which the four at `SOURCE` tell flows apart and the first `LEAD` come before the words.
#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "lengths of packets")]
fn wrap<const LEAD: usize, const LENGTH: usize, const SOURCE: usize>(context: &XdpContext) -> u32 {
    let Some(plan) = PLAN.get(0) else { return XDP_ABORTED };
    let surplus = (context.data_end() - context.data()) as i32 - LENGTH as i32;
    if surplus != 0 {
        // SAFETY: takes the context that the kernel gave and a number.
        let moved = unsafe { bpf_xdp_adjust_head(context.ctx, surplus) };
        if moved != 0 {
            return XDP_ABORTED;
        }
    }
    let (start, end) = (context.data(), context.data_end());
    if start + LENGTH > end {
        return XDP_ABORTED;
    }
    let [lead, words @ ..] = &plan.template;
    let lead = lead.load();
    if LEAD == 6 {
        // SAFETY: as below.
        unsafe { ((start + 2) as *mut u32).write_unaligned((lead >> 32) as u32) };
    }
    // SAFETY: there are `LENGTH` bytes from `start` on, and these are the first two.
    unsafe { (start as *mut u16).write_unaligned((lead >> ((8 - LEAD) * 8)) as u16) };
    let source = u64::from(plan.next_source()) << ((SOURCE - LEAD) % 8 * 8);
    for (place, word) in words.iter().take((LENGTH - LEAD) / 8).enumerate() {
        let value = if place == (SOURCE - LEAD) / 8 { word.load() | source } else { word.load() };
        let field = (start + LEAD + place * 8) as *mut u64;
        // SAFETY: `place` is below `(LENGTH - LEAD) / 8`, and there are `LENGTH` bytes from `start` on.
        unsafe { field.write_unaligned(value) };
    }
    // SAFETY: the map has programs of this type only; it returns only if it has none.
    unsafe { TARGET.tail_call(context, 0) };
    XDP_ABORTED
}

/// What every program costs.
#[xdp(frags)]
#[inline(always)]
fn drop(_context: XdpContext) -> u32 {
    XDP_DROP
}

/// What every program costs that puts an IPv4 header before a packet.
#[xdp(frags)]
#[inline(always)]
fn grow20(context: XdpContext) -> u32 {
    grow(&context, 20)
}

/// What every program costs that puts an IPv6 header before a packet.
#[xdp(frags)]
#[inline(always)]
fn grow40(context: XdpContext) -> u32 {
    grow(&context, 40)
}

#[inline(always)]
fn grow(context: &XdpContext, bytes: i32) -> u32 {
    // SAFETY: takes the context that the kernel gave and a number.
    let moved = unsafe { bpf_xdp_adjust_head(context.ctx, -bytes) };
    if moved == 0 { XDP_TX } else { XDP_ABORTED }
}

/// Reads an IPv4 packet, looks a hash map up once, and swaps the Ethernet addresses.
#[xdp(frags)]
#[inline(always)]
fn reference(context: XdpContext) -> u32 {
    let (start, end) = (context.data(), context.data_end());
    if start + Plan::LENGTH_V4 > end {
        return XDP_PASS;
    }
    let words = start as *mut u64;
    let destination = words.wrapping_byte_add(30);
    // SAFETY: there are `LENGTH_V4` bytes, which is more than five words.
    let destination = unsafe { destination.read_unaligned() };
    // SAFETY: `REFERENCE` is not changed while programs run.
    if unsafe { REFERENCE.get(destination) }.is_some() {
        return XDP_DROP;
    }
    // SAFETY: as above.
    let macs = unsafe { words.read_unaligned() };
    // SAFETY: as above.
    unsafe { words.write_unaligned(macs.rotate_right(48)) };
    XDP_TX
}

/// Inserts, finds, moves on and forgets 16 flows in a line of four, each with a backend of its own, as other
/// CPUs do. Counts finds, and how many of them found another flow's backend.
#[xdp]
#[inline(always)]
fn race(_context: XdpContext) -> u32 {
    race_with(|line, key| line.find(key, RACER, order()).entry)
}

/// The same without the second read of the key: shows that the race can be lost.
#[xdp]
#[inline(always)]
fn race_without_second_read(_context: XdpContext) -> u32 {
    race_with(|line, key| {
        let words: *const Line = line;
        // SAFETY: a line is eight words: key and entry of each way in turn.
        let words = unsafe { &*words.cast::<[Word; 8]>() };
        let (ways, _) = words.as_chunks::<2>();
        for [way_key, way_entry] in ways {
            if way_key.load() == key {
                return Entry::from_bits(way_entry.load());
            }
        }
        Entry::FREE
    })
}

/// Written by userspace: see the balancer's configuration.
#[unsafe(no_mangle)]
static LOAD_ORDER: LoadOrder = LoadOrder::FREE;

#[inline(always)]
fn order() -> LoadOrder {
    *opaque(&LOAD_ORDER)
}

const RACER: ListenerId = ListenerId(1);
const ROUNDS: u32 = 32;

#[inline(always)]
#[expect(clippy::cast_possible_truncation, reason = "four bits and six")]
fn race_with(find: impl Fn(&Line, u64) -> Entry) -> u32 {
    let (Some(line), Some(count)) = (RACE.get(0), RACE_COUNTS.get(0)) else { return XDP_ABORTED };
    // SAFETY: the helper has no arguments.
    let mut random = u64::from(unsafe { bpf_get_prandom_u32() });
    for _ in 0..ROUNDS {
        random = absorb(random, 1);
        let (key, act, now) = (random >> 60, random & 7, Tick((random >> 8 & 63) as u16));
        let backend = BackendIndex(key as u16);
        let found = find(line, key);
        count.finds.add_own(1);
        if found.has_flow() && found.listener() == RACER && found.backend() != backend {
            count.wrong.add_own(1);
        }
        let seen = line.find(key, RACER, order());
        let _: Result<(), Lost> = if !seen.entry.has_flow() {
            line.readiest(now).0.insert(key, Entry::new(RACER, backend, 1, State::NEW, now))
        } else if act == 0 {
            seen.vacate()
        } else {
            seen.advance(seen.entry.moved_to(State::CONFIRMED, now))
        };
    }
    XDP_PASS
}
