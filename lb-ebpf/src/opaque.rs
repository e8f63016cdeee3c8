//! What userspace has written before it loaded the program.

/// The same reference, of which the compiler does not know where it leads: the value there is what userspace wrote, not
/// the initializer. As [`core::hint::black_box`], which takes a detour over the stack.
#[inline(always)]
pub(crate) fn opaque<T>(value: &'static T) -> &'static T {
    let mut pointer: *const T = value;
    #[expect(clippy::pointers_in_nomem_asm_block, reason = "only the pointer itself is touched")]
    // SAFETY: no instruction at all.
    unsafe {
        core::arch::asm!("/* {pointer} */", pointer = inlateout(reg) pointer, options(pure, nomem, nostack));
    }
    // SAFETY: the pointer is still that of the reference.
    unsafe { &*pointer }
}
