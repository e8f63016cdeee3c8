//! Socket options that no safe crate has.

use std::ffi::c_int;
use std::os::fd::{AsRawFd, BorrowedFd};

use rustix::io::Errno;

/// setsockopt(2) with a number.
#[expect(clippy::cast_possible_truncation, reason = "the size of an integer")]
pub(crate) fn set_option(
    socket: BorrowedFd<'_>,
    level: c_int,
    name: c_int,
    value: c_int,
) -> Result<(), Errno> {
    let (at, size) = (std::ptr::from_ref(&value).cast(), size_of_val(&value) as _);
    #[expect(unsafe_code, reason = "options that no safe crate has")]
    // SAFETY: `at` points at `value`, which has `size` bytes and lives until the call returns.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, at, size) };
    if result == 0 {
        return Ok(());
    }
    Err(Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::INVAL))
}
