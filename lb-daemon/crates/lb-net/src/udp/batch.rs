//! Received datagrams, in buffers that are used again and again.

use std::fmt;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroU16;
use std::os::fd::BorrowedFd;

use libc::{iovec, mmsghdr};
use rustix::io::Errno;

use super::control::Control;
use super::name::Name;
use super::window::Window;
use super::{Datagram, sys};

/// Datagrams as they were received. What is received next goes behind them, until [`clear`](Self::clear): one batch may
/// collect the answers of many flows. A worker has one or two of them.
pub struct UdpBatch {
    /// [`STRIDE`](Self::STRIDE) bytes for each message.
    buffers: Box<[u8]>,
    envelopes: Box<[Envelope]>,
    /// For the kernel, while it receives.
    headers: Box<[mmsghdr]>,
    /// What was received into the first buffers.
    messages: Vec<Message>,
}

/// What a receiving has brought.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UdpReceived {
    /// How many [`Datagram`]s were added to the batch.
    pub datagrams: usize,
    /// Whether nothing was left to receive. Not known if there was no room for more.
    pub drained: bool,
}

/// Whom a socket receives from.
#[derive(Debug, Clone, Copy)]
pub(super) enum Origin {
    /// From anybody, at the address that the socket is bound to; with a wildcard the kernel tells at which one.
    Anybody { bound: SocketAddr },
    /// From one backend, which answers `peer` and was sent to on behalf of `local`.
    Backend { peer: SocketAddr, local: SocketAddr },
}

/// What the kernel says about a message.
struct Envelope {
    name: Name,
    control: Control,
    payload: [iovec; 1],
}

struct Message {
    peer: SocketAddr,
    local: SocketAddr,
    length: usize,
    segment: Option<NonZeroU16>,
}

impl UdpBatch {
    /// As much as a message can have, coalesced or not: 65,535 bytes less a UDP header.
    const BUFFER: usize = 65_536;
    /// Buffers do not begin at multiples of a power of two: small datagrams would compete for the same few lines of the
    /// processor's caches.
    const STRIDE: usize = Self::BUFFER + 5 * 64;

    /// Room for `messages` messages. Memory is taken when it is first used: a page or two for each, as long as datagrams
    /// are small.
    pub fn new(messages: usize) -> Self {
        let envelope =
            || Envelope { name: Name::empty(), control: Control::empty(), payload: [sys::empty_iovec()] };
        Self {
            buffers: vec![0; messages * Self::STRIDE].into(),
            envelopes: std::iter::repeat_with(envelope).take(messages).collect(),
            headers: vec![sys::empty_header(); messages].into(),
            messages: Vec::with_capacity(messages),
        }
    }

    /// What was received, in order.
    pub fn datagrams(&self) -> impl Iterator<Item = Datagram<'_>> + Clone {
        (0..self.len()).filter_map(|place| self.get(place))
    }

    /// What was received as number `place`, from 0.
    pub fn get(&self, place: usize) -> Option<Datagram<'_>> {
        let message = self.messages.get(place)?;
        let begin = place * Self::STRIDE;
        Some(Datagram {
            peer: message.peer,
            local: message.local,
            payload: self.buffers.get(begin..begin + message.length)?,
            segment: message.segment,
        })
    }

    /// How many [`Datagram`]s were received.
    pub fn len(&self) -> usize {
        self.messages.len()
    }

    /// Whether there is no room for another message.
    pub fn is_full(&self) -> bool {
        self.messages.len() == self.envelopes.len()
    }

    /// Whether nothing was received.
    pub fn is_empty(&self) -> bool {
        self.messages.is_empty()
    }

    /// Forgets what was received.
    pub fn clear(&mut self) {
        self.messages.clear();
    }

    /// Receives what there is and fits, as much as `window` lets it ask for.
    pub(super) fn receive(
        &mut self,
        socket: BorrowedFd<'_>,
        window: &Window,
        from: Origin,
    ) -> Result<UdpReceived, Errno> {
        let asked = self.prepare(window.get(), from);
        if asked == 0 {
            return Ok(UdpReceived { datagrams: 0, drained: false });
        }
        let headers = self.headers.get_mut(..asked).unwrap_or_default();
        #[expect(unsafe_code, reason = "see `sys::recvmmsg`")]
        // SAFETY: `prepare` has pointed these headers at envelopes and buffers of this batch, each with its length, and
        // nobody refers to those while `self` is borrowed here.
        let received = match unsafe { sys::recvmmsg(socket, headers, 0) } {
            Err(Errno::AGAIN) => 0,
            result => result?,
        };
        window.adapt(asked, received);
        self.accept(received, from);
        Ok(UdpReceived { datagrams: received, drained: received < asked })
    }

    /// Points headers at what is free; returns how many.
    fn prepare(&mut self, window: usize, from: Origin) -> usize {
        let used = self.messages.len();
        let free = self.envelopes.iter_mut().zip(self.buffers.chunks_exact_mut(Self::STRIDE)).skip(used);
        let mut asked = 0;
        for ((envelope, buffer), header) in free.zip(&mut self.headers).take(window) {
            envelope.payload = [sys::iovec_mut(buffer.get_mut(..Self::BUFFER).unwrap_or_default())];
            let name = match from {
                Origin::Anybody { .. } => Some((&mut envelope.name, Name::SIZE)),
                Origin::Backend { .. } => None,
            };
            let control = Some((&mut envelope.control, Control::SIZE));
            sys::point(header, name, control, &mut envelope.payload);
            asked += 1;
        }
        asked
    }

    /// Takes note of what the first `received` headers say.
    fn accept(&mut self, received: usize, from: Origin) {
        let envelopes = self.envelopes.iter().skip(self.messages.len());
        for (header, envelope) in self.headers.iter().zip(envelopes).take(received) {
            let (length, name, control) = sys::lengths(header);
            let notes = envelope.control.read(control);
            let (peer, local) = match from {
                Origin::Anybody { bound } => {
                    let local = notes.local.map(|mut local| {
                        local.set_port(bound.port());
                        local
                    });
                    // An address that cannot be read, which cannot be, becomes one that nothing can be sent to.
                    let nobody = SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0));
                    (envelope.name.read(name).unwrap_or(nobody), local.unwrap_or(bound))
                }
                Origin::Backend { peer, local } => (peer, local),
            };
            // The kernel gives the size even where it has coalesced nothing.
            let segment = notes.segment.filter(|segment| usize::from(segment.get()) < length);
            self.messages.push(Message { peer, local, length, segment });
        }
    }
}

impl fmt::Debug for UdpBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.datagrams()).finish()
    }
}
