//! Datagrams in batches: few system calls for many datagrams, no allocation for any of them.
//!
//! A [`UdpPort`] is what clients send to: one socket for all of them. A [`UdpFlow`] is one client's way to a backend: a
//! connected socket, by which the kernel sorts the answers and ICMP errors. What either receives goes into a [`UdpBatch`]
//! and is sent on from there by a [`UdpSender`], never copied in between:
//!
//! ```text
//! clients ─ UdpPort::poll_recv ─▶ UdpBatch ─ UdpFlow::send ─▶ backend
//! clients ◀─ UdpPort::send ─ UdpBatch ◀─ UdpFlow::recv ─ backend      (one batch and one send for many flows)
//! ```
//!
//! The kernel may hand over, and takes, several datagrams of equal size as one ([UDP_GRO and UDP_SEGMENT, udp(7)]): that is
//! a [`Datagram`] with a [`segment`](Datagram::segment).
//!
//! [UDP_GRO and UDP_SEGMENT, udp(7)]: https://man7.org/linux/man-pages/man7/udp.7.html

mod batch;
mod bind;
mod control;
mod error;
mod error_queue;
mod fields;
mod flow;
mod flow_events;
mod message;
mod name;
mod pieces;
mod port;
mod send;
mod service;
mod sys;
#[cfg(test)]
mod tests;
mod window;

use std::net::SocketAddr;
use std::num::NonZeroU16;

pub use self::batch::{UdpBatch, UdpReceived};
pub use self::bind::{UdpOptions, bind_udp_all, ensure_udp_free};
pub use self::error::UdpError;
pub use self::flow::UdpFlow;
pub use self::flow_events::UdpFlowEvents;
pub use self::port::UdpPort;
pub use self::send::{UdpSender, UdpSent};
pub use self::service::{MakeUdpService, UdpBuffers, UdpService};

/// A datagram, or several that the kernel has coalesced: of one sender, one behind another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Datagram<'a> {
    /// The client: who has sent it to a port, or gets it from one.
    pub peer: SocketAddr,
    /// The address of this host that the client has sent it to, or gets it from.
    pub local: SocketAddr,
    /// What it carries. May be empty.
    pub payload: &'a [u8],
    /// If there are several: the bytes of each but the last, which may have fewer.
    pub segment: Option<NonZeroU16>,
}

impl Datagram<'_> {
    /// How many datagrams it is on the wire.
    pub fn count(&self) -> usize {
        self.segment.map_or(1, |segment| self.payload.len().div_ceil(usize::from(segment.get())).max(1))
    }
}

/// Whether the kernel may hand over several datagrams as one (UDP_GRO).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Coalescing {
    /// Each by itself.
    Off,
    /// Where they came so, from a network card or a local sender that segments.
    On,
}
