//! One client's way to a backend.

use std::cell::Cell;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto, socket_with};

use super::batch::{Origin, UdpBatch, UdpReceived};
use super::message::Addressing;
use super::send::{Exit, UdpSender, UdpSent};
use super::window::Window;
use super::{Coalescing, Datagram, UdpError, error_queue};
use crate::sockopt::set_option;

/// A socket that is connected to a backend: it sends only there, and receives only from there. Takes one descriptor, and one
/// of this host's ephemeral ports, whatever the backend (net.ipv4.ip_local_port_range).
#[derive(Debug)]
pub struct UdpFlow {
    socket: OwnedFd,
    window: Window,
    largest_together: Cell<u16>,
}

impl UdpFlow {
    /// Connects to a backend, which is not asked and does not notice. [`LocalResources`](UdpError::LocalResources): no
    /// descriptor or port is left.
    pub fn connect(backend: SocketAddr, coalescing: Coalescing) -> Result<Self, UdpError> {
        Ok(Self {
            socket: connect(backend, coalescing)?,
            window: Window::new(1),
            largest_together: Cell::new(u16::MAX),
        })
    }

    /// Receives what there is and fits, without waiting. The batch will say that it is for `peer`, from `local`.
    ///
    /// An error is the backend's or the network's answer to an earlier datagram, told once. It says nothing about what is
    /// left to receive.
    pub fn recv(
        &self,
        batch: &mut UdpBatch,
        peer: SocketAddr,
        local: SocketAddr,
    ) -> Result<UdpReceived, UdpError> {
        match batch.receive(self.as_fd(), &self.window, Origin::Backend { peer, local }) {
            // The queue may hold an error that the socket itself no longer tells of: the flow would stay ready for ever.
            Ok(nothing) if nothing.datagrams == 0 && nothing.drained => {
                error_queue::drain(self.as_fd()).map_or(Ok(nothing), |errno| Err(errno.into()))
            }
            Ok(received) => Ok(received),
            Err(errno) => {
                // The queue has it, too.
                error_queue::drain(self.as_fd());
                Err(errno.into())
            }
        }
    }

    /// Sends datagrams to the backend, whatever their addresses.
    pub fn send<'a>(
        &self,
        sender: &mut UdpSender,
        datagrams: impl Iterator<Item = Datagram<'a>> + Clone,
    ) -> UdpSent {
        let exit =
            Exit { socket: self.as_fd(), addressing: Addressing::Connected, largest: &self.largest_together };
        let mut sent = sender.send(exit, datagrams);
        if sent.refused
            && let Some(errno) = error_queue::drain(self.as_fd())
        {
            sent.note(errno.into());
        }
        sent
    }
}

impl AsFd for UdpFlow {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

fn connect(backend: SocketAddr, coalescing: Coalescing) -> Result<OwnedFd, Errno> {
    let (family, level, errors) = if backend.is_ipv6() {
        (AddressFamily::INET6, libc::IPPROTO_IPV6, libc::IPV6_RECVERR)
    } else {
        (AddressFamily::INET, libc::IPPROTO_IP, libc::IP_RECVERR)
    };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket = socket_with(family, SocketType::DGRAM, flags, Some(ipproto::UDP))?;
    // Without it the kernel keeps to itself that a host cannot be reached.
    set_option(socket.as_fd(), level, errors, 1)?;
    if coalescing == Coalescing::On {
        set_option(socket.as_fd(), libc::SOL_UDP, libc::UDP_GRO, 1)?;
    }
    rustix::net::connect(&socket, &backend)?;
    Ok(socket)
}
