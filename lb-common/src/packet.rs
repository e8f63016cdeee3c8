//! Access to the bytes of a packet, in the kernel and in tests.
//!
//! Bounds are checked once for a [`Window`]; whether a field is inside its window is checked by the compiler.
//! Only integers are read and written: a larger value would be copied to the stack, unaligned, which the
//! verifier refuses.
#![expect(unsafe_code, reason = "a packet is memory with an end that only the kernel knows")]

use core::marker::PhantomData;

/// A packet at the hook, whose first byte is that of the Ethernet header.
///
/// Only the linear part can be read and written: of a packet in several buffers, the first one, which has all
/// headers.
///
/// # Safety
/// The address that [`address`](Self::address) returns must be good for reads and writes of `len` bytes as long
/// as the packet is borrowed.
pub unsafe trait Packet {
    /// The address of `len` bytes from `offset` on, if the packet has them all.
    fn address(&self, offset: usize, len: usize) -> Option<*mut u8>;

    /// Whether the packet has `len` bytes, in all its buffers.
    fn reaches(&self, len: usize) -> bool;

    /// Puts `bytes` in front of the packet, of any content. `None` if there is no room.
    fn grow(&mut self, bytes: usize) -> Option<()>;

    /// The index of the interface that the packet came in by.
    fn interface(&self) -> u32;

    /// The `LEN` bytes from `offset` on, if the packet has them all.
    #[inline(always)]
    fn window<const LEN: usize>(&self, offset: usize) -> Option<Window<'_, LEN>> {
        Some(Window { start: self.address(offset, LEN)?, packet: PhantomData })
    }

    /// The `LEN` bytes from `offset` on, to be written, if the packet has them all.
    #[inline(always)]
    fn window_mut<const LEN: usize>(&mut self, offset: usize) -> Option<WindowMut<'_, LEN>> {
        Some(WindowMut { start: self.address(offset, LEN)?, packet: PhantomData })
    }

    /// The first `len` bytes, if the packet has them all.
    #[inline(always)]
    fn front(&mut self, len: usize) -> Option<Front<'_>> {
        Some(Front { start: self.address(0, len)?, len, packet: PhantomData })
    }
}

/// The first bytes of a packet. Where a window lies in them is checked against a length that the compiler knows, not
/// against the packet's end.
#[derive(Debug)]
pub struct Front<'p> {
    start: *mut u8,
    len: usize,
    packet: PhantomData<&'p mut u8>,
}

impl Front<'_> {
    /// The `LEN` bytes from `offset` on, if they are part of this.
    #[inline(always)]
    pub fn window<const LEN: usize>(&self, offset: usize) -> Option<Window<'_, LEN>> {
        self.has::<LEN>(offset)
            .then(|| Window { start: self.start.wrapping_byte_add(offset), packet: PhantomData })
    }

    /// The same, to be written.
    #[inline(always)]
    pub fn window_mut<const LEN: usize>(&mut self, offset: usize) -> Option<WindowMut<'_, LEN>> {
        self.has::<LEN>(offset)
            .then(|| WindowMut { start: self.start.wrapping_byte_add(offset), packet: PhantomData })
    }

    #[inline(always)]
    fn has<const LEN: usize>(&self, offset: usize) -> bool {
        offset <= self.len && LEN <= self.len - offset
    }
}

/// `LEN` bytes of a packet.
#[derive(Debug, Clone, Copy)]
pub struct Window<'p, const LEN: usize> {
    start: *const u8,
    packet: PhantomData<&'p u8>,
}

impl<const LEN: usize> Window<'_, LEN> {
    /// The integer at offset `AT`, as it lies in memory.
    #[inline(always)]
    pub fn get<T: Integer, const AT: usize>(self) -> T {
        const { assert!(AT + size_of::<T>() <= LEN, "the field is not in the window") };
        let field = self.start.wrapping_byte_add(AT).cast::<T>();
        // SAFETY: the window has the field, as was asserted, and any bytes are an integer.
        unsafe { field.read_unaligned() }
    }
}

/// `LEN` bytes of a packet, to be written.
#[derive(Debug)]
pub struct WindowMut<'p, const LEN: usize> {
    start: *mut u8,
    packet: PhantomData<&'p mut u8>,
}

impl<const LEN: usize> WindowMut<'_, LEN> {
    /// Writes the integer at offset `AT`, as it lies in memory.
    #[inline(always)]
    pub fn set<T: Integer, const AT: usize>(&mut self, value: T) {
        const { assert!(AT + size_of::<T>() <= LEN, "the field is not in the window") };
        let field = self.start.wrapping_byte_add(AT).cast::<T>();
        // SAFETY: the window has the field, as was asserted, and the packet is borrowed exclusively.
        unsafe { field.write_unaligned(value) };
    }
}

/// What a window has: integers of one to eight bytes.
///
/// # Safety
/// Any bytes must be a valid value, and there must be no padding.
pub unsafe trait Integer: Copy {}

// SAFETY: an integer is what its bits say.
unsafe impl Integer for u8 {}
// SAFETY: as above.
unsafe impl Integer for u16 {}
// SAFETY: as above.
unsafe impl Integer for u32 {}
// SAFETY: as above.
unsafe impl Integer for u64 {}
