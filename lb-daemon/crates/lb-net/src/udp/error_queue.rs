//! The error queue of a socket, see IP_RECVERR in ip(7): ICMP errors that a send or a receive may not have told of.

use std::os::fd::BorrowedFd;

use rustix::io::Errno;

use super::control::Control;
use super::sys;

/// Empties the queue, which would use up the socket's receive buffer and keep it ready. Returns an error that was in
/// it, rather one that does not come from this host.
pub(super) fn drain(socket: BorrowedFd<'_>) -> Option<Errno> {
    /// Far more than fit at once: errors that come as fast as they are taken shall not hold a worker.
    const MOST: usize = 1024;

    let from_this_host = |errno| errno == Errno::MSGSIZE;
    let errors = std::iter::from_fn(|| take(socket)).take(MOST);
    errors.reduce(|a, b| if from_this_host(a) { b } else { a })
}

fn take(socket: BorrowedFd<'_>) -> Option<Errno> {
    let (mut header, mut control) = (sys::empty_header(), Control::empty());
    // The payload is the datagram that the error is about, which nobody needs.
    sys::point(&mut header, None, Some((&mut control, Control::SIZE)), &mut []);
    let headers = std::slice::from_mut(&mut header);
    #[expect(unsafe_code, reason = "see `sys::recvmmsg`")]
    // SAFETY: the header points at `control` alone, with its size, and nobody refers to that meanwhile.
    let result = unsafe { sys::recvmmsg(socket, headers, libc::MSG_ERRQUEUE) };
    // A receive that fails has found the queue empty.
    result.ok().filter(|&received| received == 1)?;
    let (_, _, length) = sys::lengths(&header);
    let error = control.read(length).error.map_or(Errno::IO, Errno::from_raw_os_error);
    Some(error)
}
