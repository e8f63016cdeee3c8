//! A packet at the XDP hook.

use aya_ebpf::bindings::xdp_md;
use aya_ebpf::helpers::{bpf_xdp_adjust_head, bpf_xdp_get_buff_len};
use aya_ebpf::programs::XdpContext;
use lb_common::Packet;

/// The packet of one run of a program. The kernel moves its bytes only in [`grow`](Packet::grow), after which
/// the verifier wants every address derived anew: so addresses are derived at each access.
pub(crate) struct Frame {
    context: *mut xdp_md,
}

impl Frame {
    #[inline(always)]
    pub(crate) fn new(context: &XdpContext) -> Self {
        Self { context: context.ctx }
    }

    #[inline(always)]
    fn start(&self) -> usize {
        // SAFETY: the kernel gave the pointer for the whole run of the program.
        unsafe { (*self.context).data as usize }
    }

    #[inline(always)]
    fn end(&self) -> usize {
        // SAFETY: as above.
        unsafe { (*self.context).data_end as usize }
    }
}

// SAFETY: the kernel vouches for what lies between start and end, and `grow`, which moves it, borrows the frame
// exclusively.
unsafe impl Packet for Frame {
    #[inline(always)]
    fn address(&self, offset: usize, len: usize) -> Option<*mut u8> {
        let address = self.start() + offset;
        (address + len <= self.end()).then_some(address as *mut u8)
    }

    #[inline(always)]
    fn reaches(&self, len: usize) -> bool {
        // The linear part first: asking for all buffers is a call.
        self.end() - self.start() >= len || {
            // SAFETY: takes the context that the kernel gave.
            let all = unsafe { bpf_xdp_get_buff_len(self.context) };
            all >= len as u64
        }
    }

    #[inline(always)]
    fn grow(&mut self, bytes: usize) -> Option<()> {
        let delta = i32::try_from(bytes).ok()?;
        // SAFETY: takes the context that the kernel gave and a number.
        let result = unsafe { bpf_xdp_adjust_head(self.context, -delta) };
        (result == 0).then_some(())
    }

    #[inline(always)]
    fn interface(&self) -> u32 {
        // SAFETY: the kernel gave the pointer for the whole run of the program.
        unsafe { (*self.context).ingress_ifindex }
    }
}
