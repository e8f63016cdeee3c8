//! Sending in batches, with few system calls. What cannot leave now is dropped and counted, as UDP allows.

use std::cell::Cell;
use std::fmt;
use std::os::fd::BorrowedFd;

use libc::{iovec, mmsghdr};
use rustix::io::Errno;
use rustix::net::SendFlags;

use super::control::Control;
use super::message::{Addressing, Message};
use super::name::Name;
use super::pieces::Pieces;
use super::{Datagram, UdpError, sys};

/// What became of datagrams that were to be sent.
#[derive(Debug, Default)]
pub struct UdpSent {
    /// How many the kernel has taken.
    pub datagrams: usize,
    /// Their payload, in bytes.
    pub bytes: usize,
    /// How many were dropped because this host had no buffer for them.
    pub no_buffer: usize,
    /// How many were dropped because they are too large, for UDP or for the way to the receiver.
    pub too_big: usize,
    /// How many were dropped for another reason.
    pub failed: usize,
    /// The first error that says something about the receiver or the way there. On a flow it may be the answer to a
    /// datagram that was sent long ago.
    pub error: Option<UdpError>,
    /// Whether the kernel has refused anything.
    pub(super) refused: bool,
}

/// What sending takes, used again and again. A worker has one.
pub struct UdpSender {
    messages: Vec<Message>,
    /// The messages' parts, one behind another.
    payload: Vec<iovec>,
    /// For each message, as the next.
    envelopes: Box<[Envelope]>,
    headers: Box<[mmsghdr]>,
}

/// What the kernel is told about a message.
struct Envelope {
    name: Name,
    control: Control,
}

/// Where datagrams leave.
#[derive(Debug, Clone, Copy)]
pub(super) struct Exit<'a> {
    pub(super) socket: BorrowedFd<'a>,
    pub(super) addressing: Addressing,
    /// The largest datagrams of which several leave as one message, in bytes; lowered where the kernel refuses.
    pub(super) largest: &'a Cell<u16>,
}

/// Datagrams that are being sent.
struct Sending<'a, 'e, I> {
    exit: Exit<'e>,
    left: Pieces<'a, I>,
    sent: UdpSent,
    /// Whether the first message that is left was refused for the sake of an earlier datagram.
    repeated: bool,
    /// To what the size of datagrams that leave together was lowered, if it turns out to be what was wrong.
    lowered: Option<u16>,
}

impl UdpSender {
    /// How many datagrams or coalesced ones are handed over at once.
    const MOST: usize = 64;

    /// A sender for sockets of any kind.
    pub fn new() -> Self {
        let envelope = || Envelope { name: Name::empty(), control: Control::empty() };
        Self {
            messages: Vec::with_capacity(Self::MOST),
            payload: Vec::with_capacity(Self::MOST),
            envelopes: std::iter::repeat_with(envelope).take(Self::MOST).collect(),
            headers: vec![sys::empty_header(); Self::MOST].into(),
        }
    }

    /// Sends datagrams in order, each once.
    pub(super) fn send<'a>(
        &mut self,
        exit: Exit<'_>,
        datagrams: impl Iterator<Item = Datagram<'a>> + Clone,
    ) -> UdpSent {
        let mut sending = Sending::new(exit, datagrams);
        if exit.addressing == Addressing::Connected {
            sending.send_if_alone();
        }
        loop {
            let before = sending.left.clone();
            self.fill(&mut sending.left, exit.addressing);
            let Some(&first) = self.messages.first() else { return sending.sent };
            match self.submit(exit) {
                Ok(count) if count == self.messages.len() => sending.taken(&self.messages),
                Ok(count) => {
                    sending.left = before;
                    sending.taken_some(self.messages.get(..count).unwrap_or_default());
                }
                Err(errno) => {
                    sending.left = before;
                    sending.refused(errno, &first);
                }
            }
        }
    }

    /// Makes messages of the next datagrams.
    fn fill<'a>(
        &mut self,
        left: &mut Pieces<'a, impl Iterator<Item = Datagram<'a>>>,
        addressing: Addressing,
    ) {
        self.messages.clear();
        self.payload.clear();
        let largest = left.largest;
        for next in left.take(Self::MOST) {
            self.payload.push(sys::iovec(next.payload));
            Message::put(&mut self.messages, &next, addressing, largest);
        }
    }

    /// Hands the messages over; returns how many the kernel has taken.
    fn submit(&mut self, exit: Exit<'_>) -> Result<usize, Errno> {
        let mut payload = self.payload.as_mut_slice();
        let places = self.envelopes.iter_mut().zip(&mut self.headers);
        for (message, (Envelope { name, control }, header)) in self.messages.iter().zip(places) {
            let (parts, rest) = payload.split_at_mut_checked(message.parts).unwrap_or_default();
            payload = rest;
            let name = match exit.addressing {
                Addressing::Connected => None,
                Addressing::Bound | Addressing::Wildcard => {
                    let length = name.write(message.peer);
                    Some((name, length))
                }
            };
            let source = (exit.addressing == Addressing::Wildcard).then_some(message.local);
            let length = control.write(source, message.segment());
            sys::point(header, name, Some((control, length)).filter(|_| length > 0), parts);
        }
        let headers = self.headers.get_mut(..self.messages.len()).unwrap_or_default();
        #[expect(unsafe_code, reason = "see `sys::sendmmsg`")]
        // SAFETY: these headers were pointed right above at envelopes of this sender and, by way of `self.payload`, at
        // payloads that `fill` was given right before: the caller of `send` has borrowed them until that returns.
        unsafe {
            sys::sendmmsg(exit.socket, headers)
        }
    }
}

impl<'a, 'e, I: Iterator<Item = Datagram<'a>> + Clone> Sending<'a, 'e, I> {
    fn new(exit: Exit<'e>, datagrams: I) -> Self {
        let left = Pieces::new(datagrams, exit.largest.get());
        Self { exit, left, sent: UdpSent::default(), repeated: false, lowered: None }
    }

    /// Sends one datagram on a connected socket, which needs no header. That is what most flows have to send at a time, and
    /// it saves them a tenth of their work.
    fn send_if_alone(&mut self) {
        let mut left = self.left.clone();
        let (Some(only), None) = (left.next(), left.next()) else { return };
        if only.segment.is_none() {
            let message = Message::new(&only);
            match rustix::net::send(self.exit.socket, only.payload, SendFlags::DONTWAIT) {
                Ok(_) => {
                    self.left = left;
                    self.taken(&[message]);
                }
                Err(errno) => self.refused(errno, &message),
            }
        }
    }

    /// The kernel has taken these messages, which are no longer among what is left.
    fn taken(&mut self, messages: &[Message]) {
        self.sent.datagrams += messages.iter().map(|message| message.datagrams).sum::<usize>();
        self.sent.bytes += messages.iter().map(|message| message.bytes).sum::<usize>();
        self.repeated = false;
        if let Some(lowered) = self.lowered.take() {
            self.exit.largest.set(lowered);
        }
    }

    /// The kernel has taken these messages, and does not say why not the next one.
    fn taken_some(&mut self, messages: &[Message]) {
        self.taken(messages);
        self.skip(messages.iter().map(|message| message.parts).sum());
        self.sent.refused = true;
    }

    /// The kernel has not taken the first message that is left.
    fn refused(&mut self, errno: Errno, first: &Message) {
        self.sent.refused = true;
        let error = UdpError::from(errno);
        let may_be_of_an_earlier_one =
            self.exit.addressing == Addressing::Connected && error.is_of_receiver();
        if errno == Errno::AGAIN {
            self.sent.no_buffer += self.left.by_ref().map(|datagram| datagram.count()).sum::<usize>();
        } else if may_be_of_an_earlier_one && !self.repeated {
            self.sent.note(error);
            self.repeated = true;
        } else if first.datagrams > 1 && matches!(errno, Errno::INVAL | Errno::MSGSIZE | Errno::IO) {
            // Together they have to fit the way unfragmented, and the network card has to compute checksums.
            self.left.largest = first.size.saturating_sub(1);
            self.lowered = Some(self.left.largest);
        } else {
            self.sent.count_dropped(error, first.datagrams);
            self.skip(first.parts);
            self.repeated = false;
            self.lowered = None;
        }
    }

    fn skip(&mut self, parts: usize) {
        self.left.by_ref().take(parts).for_each(drop);
    }
}

impl UdpSent {
    fn count_dropped(&mut self, error: UdpError, datagrams: usize) {
        match error {
            UdpError::TooBig(_) => self.too_big += datagrams,
            UdpError::LocalResources(_) => self.no_buffer += datagrams,
            UdpError::Refused(_) | UdpError::Unreachable(_) | UdpError::Other(_) => self.failed += datagrams,
        }
        self.note(error);
    }

    /// Keeps the first error that says something about the receiver or the way there.
    pub(super) fn note(&mut self, error: UdpError) {
        if error.is_of_receiver() {
            self.error.get_or_insert(error);
        }
    }
}

impl Default for UdpSender {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for UdpSender {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("UdpSender").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, UdpSocket};
    use std::num::NonZeroU16;
    use std::os::fd::AsFd;

    use super::*;

    fn datagrams(payload: &[u8], segment: u16) -> [Datagram<'_>; 2] {
        let [peer, local] = [1, 2].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let segment = NonZeroU16::new(segment);
        [Datagram { peer, local, payload, segment }, Datagram { peer, local, payload, segment }]
    }

    /// Runs `refusals` on the first of two times ten datagrams of 20 bytes, on a port; returns what came of it, how many
    /// datagrams are left and what leaves together from then on.
    fn refused(refusals: &[Errno]) -> (UdpSent, usize, u16) {
        let (socket, largest) = (UdpSocket::bind("127.0.0.1:0").unwrap(), Cell::new(u16::MAX));
        let exit = Exit { socket: socket.as_fd(), addressing: Addressing::Bound, largest: &largest };
        let payload = [0; 200];
        let mut sending = Sending::new(exit, datagrams(&payload, 20).into_iter());
        for &errno in refusals {
            let first = Message::new(&sending.left.clone().next().unwrap());
            sending.refused(errno, &first);
        }
        if let Some(next) = sending.left.next() {
            sending.taken(&[Message::new(&next)]);
        }
        (sending.sent, sending.left.map(|left| left.count()).sum(), largest.get())
    }

    #[test]
    fn nothing_is_tried_while_there_is_no_buffer() {
        let (sent, left, largest) = refused(&[Errno::AGAIN]);
        assert_eq!((sent.no_buffer, sent.datagrams, left, largest), (20, 0, 0, u16::MAX));
        assert!(sent.error.is_none());
    }

    #[test]
    fn what_cannot_leave_together_leaves_apart_from_then_on() {
        let (sent, left, largest) = refused(&[Errno::INVAL]);
        assert_eq!((sent.datagrams, left, largest), (1, 19, 19));
        assert_eq!((sent.no_buffer, sent.too_big, sent.failed), (0, 0, 0));
    }

    #[test]
    fn what_leaves_neither_together_nor_apart_does_not_keep_others_apart() {
        let (sent, left, largest) = refused(&[Errno::INVAL, Errno::INVAL]);
        assert_eq!((sent.failed, sent.datagrams, left, largest), (1, 1, 18, u16::MAX));
    }

    #[test]
    fn what_this_host_has_no_buffer_for_costs_only_itself() {
        let (sent, left, _) = refused(&[Errno::NOBUFS]);
        assert_eq!((sent.no_buffer, sent.datagrams, left), (10, 10, 0));
    }

    #[test]
    fn a_port_is_told_of_no_earlier_datagrams() {
        let (sent, left, _) = refused(&[Errno::NETUNREACH]);
        assert_eq!((sent.failed, sent.datagrams, left), (10, 10, 0));
        assert!(matches!(sent.error, Some(UdpError::Unreachable(_))));
    }
}
