//! Words of memory that several CPUs, and the kernel and userspace, change at the same time.
//!
//! On BPF the compiler knows little of atomics. Plain loads and stores of eight aligned bytes are whole, so
//! volatile ones are used: a relaxed atomic load is not even compiled. Every read-modify-write is sequentially
//! consistent, as `cmpxchg` and `xchg` are: weaker ones are miscompiled (a relaxed add whose result is used
//! loses it).

use core::sync::atomic::AtomicU64;
#[cfg(not(target_arch = "bpf"))]
use core::sync::atomic::{Ordering, fence};

use crate::testing::{Plan, RaceCount};
use crate::{
    BackendEntry, Control, Counter, ListenerLine, ListenerV4, ListenerV6, PoolEntry, RingLine, flow,
};

/// Eight bytes that are read and written whole.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct Word(AtomicU64);

/// Whether the CPU lets a load overtake another one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct LoadOrder(u64);

impl LoadOrder {
    /// It may, unless the address of the second depends on the value of the first: Arm. Right everywhere.
    pub const FREE: Self = Self(0);
    /// It never does: x86 (Intel SDM 3A, 9.2.2).
    pub const KEPT: Self = Self(1);
    /// That of this machine.
    pub const NATIVE: Self = if cfg!(target_arch = "x86_64") { Self::KEPT } else { Self::FREE };
}

/// Memory of a map: words and nothing else, so that it may be shared, and be all zero.
///
/// # Safety
/// The type must consist of [`Word`]s alone, without padding.
#[expect(unsafe_code, reason = "whoever maps memory relies on it")]
pub unsafe trait Shared {}

macro_rules! shared {
    ($($shared:ty: $words:expr),* $(,)?) => {$(
        #[expect(unsafe_code, reason = "see the trait")]
        // SAFETY: words only, and the size is the sum of theirs: there is no padding.
        unsafe impl Shared for $shared {}
        const _: () = assert!(size_of::<$shared>() == $words * size_of::<Word>());
    )*};
}

shared! {
    Word: 1,
    Counter: 3,
    PoolEntry: 1,
    RingLine: 8,
    BackendEntry: 8,
    flow::Line: 8,
    ListenerLine<ListenerV4>: 8,
    ListenerLine<ListenerV6>: 16,
    Control: 8,
    Plan: 16,
    RaceCount: 2,
}

impl Word {
    /// A word of this value.
    pub const fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    /// Reads, in no order with other accesses.
    #[inline(always)]
    pub fn load(&self) -> u64 {
        #[cfg(target_arch = "bpf")]
        {
            bpf::load(self.0.as_ptr())
        }
        #[cfg(not(target_arch = "bpf"))]
        {
            self.0.load(Ordering::Relaxed)
        }
    }

    /// Reads after `earlier`, a value that was loaded before, was read.
    ///
    /// Where the CPU does not see to that, this makes the address depend on the value, by adding zero: BPF has no cheaper
    /// barrier that old kernels know. The verifier knows `order` and takes out what is not needed.
    #[inline(always)]
    pub fn load_after(&self, earlier: u64, order: LoadOrder) -> u64 {
        #[cfg(target_arch = "bpf")]
        {
            let word = self.0.as_ptr();
            if order == LoadOrder::KEPT {
                bpf::load(word)
            } else {
                bpf::load(word.wrapping_byte_add(bpf::zero_from(earlier)))
            }
        }
        #[cfg(not(target_arch = "bpf"))]
        {
            let _ = (earlier, order);
            fence(Ordering::Acquire);
            self.load()
        }
    }

    /// Writes, in no order with other accesses.
    #[inline(always)]
    pub fn store(&self, value: u64) {
        #[cfg(target_arch = "bpf")]
        {
            bpf::store(&self.0, value);
        }
        #[cfg(not(target_arch = "bpf"))]
        {
            self.0.store(value, Ordering::Relaxed);
        }
    }

    /// Adds, where nobody else writes: a counter of this CPU.
    #[inline(always)]
    pub fn add_own(&self, value: u64) {
        self.store(self.load().wrapping_add(value));
    }

    /// Writes `new` if the word still is `current`; all that this CPU did before is visible to whoever sees `new`.
    /// Otherwise returns what the word is instead.
    #[inline(always)]
    pub fn compare_exchange(&self, current: u64, new: u64) -> Result<(), u64> {
        #[cfg(target_arch = "bpf")]
        {
            bpf::compare_exchange(&self.0, current, new)
        }
        #[cfg(not(target_arch = "bpf"))]
        {
            self.0.compare_exchange(current, new, Ordering::SeqCst, Ordering::SeqCst).map(drop)
        }
    }

    /// Writes `new` and returns what was there before; all that this CPU did before is visible to whoever sees
    /// `new`.
    #[inline(always)]
    pub fn swap(&self, new: u64) -> u64 {
        #[cfg(target_arch = "bpf")]
        {
            bpf::swap(&self.0, new)
        }
        #[cfg(not(target_arch = "bpf"))]
        {
            self.0.swap(new, Ordering::SeqCst)
        }
    }
}

#[cfg(target_arch = "bpf")]
mod bpf {
    //! What `core::sync::atomic` does not offer on this target.
    #![expect(unsafe_code, reason = "volatile access, intrinsics and assembly")]

    use core::intrinsics::{AtomicOrdering::SeqCst, atomic_cxchg, atomic_xchg};
    use core::sync::atomic::AtomicU64;

    /// `word` is the address of a live atomic.
    #[inline(always)]
    pub(super) fn load(word: *mut u64) -> u64 {
        // SAFETY: the pointer is that of a live atomic, so it is valid and aligned.
        unsafe { word.read_volatile() }
    }

    #[inline(always)]
    pub(super) fn store(word: &AtomicU64, value: u64) {
        // SAFETY: as above.
        unsafe { word.as_ptr().write_volatile(value) }
    }

    #[inline(always)]
    pub(super) fn compare_exchange(word: &AtomicU64, current: u64, new: u64) -> Result<(), u64> {
        // SAFETY: as above.
        let (seen, exchanged) =
            unsafe { atomic_cxchg::<u64, { SeqCst }, { SeqCst }>(word.as_ptr(), current, new) };
        if exchanged { Ok(()) } else { Err(seen) }
    }

    #[inline(always)]
    pub(super) fn swap(word: &AtomicU64, new: u64) -> u64 {
        // SAFETY: as above.
        unsafe { atomic_xchg::<u64, { SeqCst }>(word.as_ptr(), new) }
    }

    /// Zero, computed from `value` in a way that neither compiler nor CPU sees through.
    #[inline(always)]
    pub(super) fn zero_from(value: u64) -> usize {
        let zero: usize;
        // SAFETY: one instruction on one register; it touches neither memory nor the stack.
        unsafe {
            core::arch::asm!("{zero} &= 0", zero = inlateout(reg) value => zero, options(pure, nomem, nostack));
        }
        zero
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_exchange_tells_what_was_there() {
        let word = Word::new(1);
        assert_eq!(word.compare_exchange(2, 3), Err(1));
        assert_eq!(word.compare_exchange(1, 3), Ok(()));
        assert_eq!(word.swap(4), 3);
        assert_eq!(word.load_after(7, LoadOrder::FREE), 4);
        word.add_own(2);
        assert_eq!(word.load(), 6);
    }
}
