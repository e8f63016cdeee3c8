//! The system calls that no safe crate has: all `unsafe` of this module.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::Arc;

use libc::{c_int, c_uint, iovec, mmsghdr};
use rustix::io::Errno;
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::control::Control;
use super::name::Name;

/// A header that points nowhere.
pub(super) fn empty_header() -> mmsghdr {
    #[expect(
        unsafe_code,
        reason = "some libcs' headers have private padding: they cannot be written as literals"
    )]
    // SAFETY: pointers and integers, for which zero is a value.
    unsafe {
        std::mem::zeroed()
    }
}

/// A part of a payload that is nowhere.
pub(super) fn empty_iovec() -> iovec {
    iovec_mut(&mut [])
}

/// A buffer for a payload.
pub(super) fn iovec_mut(buffer: &mut [u8]) -> iovec {
    iovec { iov_base: buffer.as_mut_ptr().cast(), iov_len: buffer.len() }
}

/// A part of a payload that is to be sent: it must not be received into.
pub(super) fn iovec(payload: &[u8]) -> iovec {
    iovec { iov_base: payload.as_ptr().cast_mut().cast(), iov_len: payload.len() }
}

/// Points `header` at the parts of one message: an address and control messages of so many bytes, where there are any.
#[expect(
    clippy::cast_possible_truncation,
    reason = "lengths of small arrays, in types that differ between libcs"
)]
pub(super) fn point(
    header: &mut mmsghdr,
    name: Option<(&mut Name, usize)>,
    control: Option<(&mut Control, usize)>,
    payload: &mut [iovec],
) {
    *header = empty_header();
    let header = &mut header.msg_hdr;
    if let Some((name, length)) = name {
        header.msg_name = name.as_mut_ptr().cast();
        header.msg_namelen = length as _;
    }
    if let Some((control, length)) = control {
        header.msg_control = control.as_mut_ptr().cast();
        header.msg_controllen = length as _;
    }
    header.msg_iov = payload.as_mut_ptr();
    header.msg_iovlen = payload.len() as _;
}

/// How many bytes of payload, address and control messages a received message has.
pub(super) fn lengths(header: &mmsghdr) -> (usize, usize, usize) {
    let message = &header.msg_hdr;
    (header.msg_len as usize, message.msg_namelen as usize, message.msg_controllen as _)
}

/// recvmmsg(2) without waiting: how many messages it has received.
///
/// # Safety
///
/// Whatever the headers point at can be written, for as many bytes as they say, and nothing refers to it meanwhile.
#[expect(unsafe_code, reason = "rustix has no recvmmsg")]
pub(super) unsafe fn recvmmsg(
    socket: BorrowedFd<'_>,
    headers: &mut [mmsghdr],
    flags: c_int,
) -> Result<usize, Errno> {
    let (first, count, flags) = (headers.as_mut_ptr(), count(headers), flags | libc::MSG_DONTWAIT);
    // SAFETY: `headers` is a slice of `count` headers at least; the rest is up to the caller.
    let received =
        unsafe { libc::recvmmsg(socket.as_raw_fd(), first, count, flags as _, std::ptr::null_mut()) };
    usize::try_from(received).map_err(|_negative| last_error())
}

/// sendmmsg(2) without waiting: how many messages it has sent. It fails only if it could not send the first one.
///
/// # Safety
///
/// Whatever the headers point at can be read, for as many bytes as they say, and nothing changes it meanwhile.
#[expect(
    unsafe_code,
    reason = "rustix's sendmmsg borrows its headers: they would be allocated for each call"
)]
pub(super) unsafe fn sendmmsg(socket: BorrowedFd<'_>, headers: &mut [mmsghdr]) -> Result<usize, Errno> {
    let (first, count) = (headers.as_mut_ptr(), count(headers));
    // SAFETY: `headers` is a slice of `count` headers at least; the rest is up to the caller.
    let sent = unsafe { libc::sendmmsg(socket.as_raw_fd(), first, count, libc::MSG_DONTWAIT as _) };
    usize::try_from(sent).map_err(|_negative| last_error())
}

/// Registers a descriptor with this thread's runtime, which says when it is readable.
pub(super) fn watch_readable(fd: Arc<OwnedFd>) -> io::Result<AsyncFd<Arc<OwnedFd>>> {
    #[expect(unsafe_code, reason = "tokio's own sockets receive one datagram at a time")]
    // SAFETY: the `OwnedFd` owns its descriptor and is itself kept by the `AsyncFd` until that is dropped, whoever else has
    // it; its `as_raw_fd` returns that one descriptor every time.
    let watched = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    watched.map_err(io::Error::from)
}

fn count(headers: &[mmsghdr]) -> c_uint {
    c_uint::try_from(headers.len()).unwrap_or(c_uint::MAX)
}

fn last_error() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}
