//! The XDP programs. What they do is in lb-common, where it can be tested; here it meets the kernel: maps, the
//! packet's memory, helpers and return codes.
#![feature(asm_experimental_arch)]
#![no_std]
#![no_main]

mod frame;
mod maps;
mod object;
mod opaque;

use aya_ebpf::bindings::xdp_action::{XDP_DROP, XDP_PASS, XDP_TX};
use aya_ebpf::helpers::{bpf_jiffies64, bpf_ktime_get_ns, bpf_redirect};
use aya_ebpf::macros::xdp;
use aya_ebpf::programs::XdpContext;
use lb_common::{Packet as _, Verdict, balance};

use crate::frame::Frame;
use crate::maps::Maps;

/// The load balancer.
#[xdp(frags)]
#[inline(always)]
fn balancer(context: XdpContext) -> u32 {
    let verdict = balance(&mut Frame::new(&context), &Maps::new());
    #[cfg(feature = "trace")]
    trace(&context, verdict);
    match verdict {
        Verdict::Transmit => XDP_TX,
        Verdict::Redirect(interface) => redirect(interface),
        Verdict::Pass(_) => XDP_PASS,
        Verdict::Drop(_) => XDP_DROP,
    }
}

/// Tells userspace, which has no other way to know, the two clocks of the kernel: the first sixteen bytes of a
/// packet become jiffies and monotonic nanoseconds. Only run by BPF_PROG_TEST_RUN.
#[xdp]
#[inline(always)]
fn clock(context: XdpContext) -> u32 {
    let mut frame = Frame::new(&context);
    // SAFETY: neither helper has arguments.
    let jiffies = unsafe { bpf_jiffies64() };
    // SAFETY: as above.
    let nanoseconds = unsafe { bpf_ktime_get_ns() };
    let Some(mut window) = frame.window_mut::<16>(0) else { return XDP_DROP };
    window.set::<_, 0>(jiffies);
    window.set::<_, 8>(nanoseconds);
    XDP_PASS
}

#[inline(always)]
fn redirect(interface: u32) -> u32 {
    // SAFETY: takes two numbers.
    let action = unsafe { bpf_redirect(interface, 0) };
    u32::try_from(action).unwrap_or(XDP_DROP)
}

#[cfg(feature = "trace")]
fn trace(context: &XdpContext, verdict: Verdict) {
    match verdict {
        Verdict::Transmit => aya_log_ebpf::trace!(context, "transmit"),
        Verdict::Redirect(interface) => aya_log_ebpf::trace!(context, "redirect to interface {}", interface),
        Verdict::Pass(reason) => aya_log_ebpf::trace!(context, "pass: {}", reason.label()),
        Verdict::Drop(reason) => aya_log_ebpf::trace!(context, "drop: {}", reason.label()),
    }
}
