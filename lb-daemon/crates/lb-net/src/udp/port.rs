//! What clients send to, and get their answers from.

use std::cell::Cell;
use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::unix::AsyncFd;

use super::batch::{Origin, UdpBatch, UdpReceived};
use super::message::Addressing;
use super::send::{Exit, UdpSender, UdpSent};
use super::window::Window;
use super::{Datagram, sys};

/// One worker's socket of a UDP listener.
#[derive(Debug)]
pub struct UdpPort {
    socket: AsyncFd<Arc<OwnedFd>>,
    bound: SocketAddr,
    window: Window,
    pub(super) largest_together: Cell<u16>,
}

impl UdpPort {
    /// A socket of [`bind_udp_all`](crate::bind_udp_all), served by the runtime of this thread.
    ///
    /// Of those of one address, none is to be closed before all are done: when one goes, the kernel sends datagrams of
    /// clients that the others know to wherever chance has it.
    pub fn new(socket: Arc<OwnedFd>) -> io::Result<Self> {
        let bound = rustix::net::getsockname(&socket)?.try_into()?;
        let socket = sys::watch_readable(socket)?;
        Ok(Self { socket, bound, window: Window::new(4), largest_together: Cell::new(u16::MAX) })
    }

    /// What the socket is bound to; may be a wildcard.
    pub fn address(&self) -> SocketAddr {
        self.bound
    }

    /// Waits for datagrams and receives what there is and fits, at least one. A batch that is full takes none at once.
    pub fn poll_recv(&self, cx: &mut Context<'_>, batch: &mut UdpBatch) -> Poll<io::Result<UdpReceived>> {
        loop {
            let mut readiness = ready!(self.socket.poll_read_ready(cx))?;
            let received = self.recv(batch)?;
            if received.drained {
                readiness.clear_ready();
            }
            if received.datagrams > 0 || !received.drained {
                return Poll::Ready(Ok(received));
            }
        }
    }

    /// Receives what there is and fits, without waiting.
    pub fn recv(&self, batch: &mut UdpBatch) -> io::Result<UdpReceived> {
        Ok(batch.receive(self.socket.as_fd(), &self.window, Origin::Anybody { bound: self.bound })?)
    }

    /// Sends each datagram to its [`peer`](Datagram::peer), from its [`local`](Datagram::local) address if the port has
    /// several.
    pub fn send<'a>(
        &self,
        sender: &mut UdpSender,
        datagrams: impl Iterator<Item = Datagram<'a>> + Clone,
    ) -> UdpSent {
        let addressing =
            if self.bound.ip().is_unspecified() { Addressing::Wildcard } else { Addressing::Bound };
        let exit =
            Exit { socket: self.socket.get_ref().as_fd(), addressing, largest: &self.largest_together };
        sender.send(exit, datagrams)
    }
}
