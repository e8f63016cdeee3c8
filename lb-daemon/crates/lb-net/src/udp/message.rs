//! Which datagrams leave as one message: the kernel cuts it into datagrams again, as late as it can (UDP_SEGMENT).

use std::net::SocketAddr;
use std::num::NonZeroU16;

use super::Datagram;

/// What the kernel has to be told about where a message goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Addressing {
    /// Nothing: the socket is connected.
    Connected,
    /// Where to: the socket is bound to the address that it comes from.
    Bound,
    /// Where to and where from: the socket is bound to a wildcard.
    Wildcard,
}

/// Consecutive datagrams that go the same way: all of the same size but the last, which may be smaller.
#[derive(Debug, Clone, Copy)]
pub(super) struct Message {
    pub(super) peer: SocketAddr,
    pub(super) local: SocketAddr,
    /// The bytes of each datagram but the last.
    pub(super) size: u16,
    /// How many [`Datagram`]s were put in.
    pub(super) parts: usize,
    /// How many datagrams that makes on the wire.
    pub(super) datagrams: usize,
    pub(super) bytes: usize,
}

impl Message {
    /// What the kernel takes at once: UDP_MAX_SEGMENTS of Linux before 6.9.
    const MOST_DATAGRAMS: usize = 64;
    /// An IPv4 packet less its headers.
    const MOST_BYTES: usize = 65_507;

    /// Puts a datagram into the last of `messages` if it can be there, and if datagrams of at most `largest` bytes leave
    /// together; else into another one.
    pub(super) fn put(messages: &mut Vec<Self>, next: &Datagram<'_>, addressing: Addressing, largest: u16) {
        match messages.last_mut() {
            Some(last) if last.size <= largest && last.may_take(next, addressing) => last.push(next),
            Some(_) | None => messages.push(Self::new(next)),
        }
    }

    pub(super) fn new(first: &Datagram<'_>) -> Self {
        let &Datagram { peer, local, payload, .. } = first;
        Self { peer, local, size: size(first), parts: 1, datagrams: first.count(), bytes: payload.len() }
    }

    /// How the kernel has to cut the message; `None` if it is one datagram.
    pub(super) fn segment(&self) -> Option<NonZeroU16> {
        NonZeroU16::new(self.size).filter(|_| self.datagrams > 1)
    }

    fn push(&mut self, next: &Datagram<'_>) {
        self.parts += 1;
        self.datagrams += next.count();
        self.bytes += next.payload.len();
    }

    fn may_take(&self, next: &Datagram<'_>, addressing: Addressing) -> bool {
        let same_way = match addressing {
            Addressing::Connected => true,
            Addressing::Bound => self.peer == next.peer,
            Addressing::Wildcard => self.peer == next.peer && self.local == next.local,
        };
        let next_size = size(next);
        let is_smaller_last = next.segment.is_none() && (1..self.size).contains(&next_size);
        let ends_with_a_whole_one = self.size > 0 && self.bytes.is_multiple_of(usize::from(self.size));
        same_way
            && ends_with_a_whole_one
            && (next_size == self.size || is_smaller_last)
            && self.bytes + next.payload.len() <= Self::MOST_BYTES
            && self.datagrams + next.count() <= Self::MOST_DATAGRAMS
    }
}

fn size(datagram: &Datagram<'_>) -> u16 {
    let alone = || u16::try_from(datagram.payload.len()).unwrap_or(u16::MAX);
    datagram.segment.map_or_else(alone, NonZeroU16::get)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::udp::pieces::Pieces;

    static ZEROS: [u8; 65_507] = [0; 65_507];

    /// Few sizes, so that equal ones are frequent; some coalesced; two clients at two addresses.
    fn datagram() -> impl Strategy<Value = Datagram<'static>> {
        let size = prop_oneof![Just(0), 1usize..4, Just(200), 1300usize..1302, Just(40_000), Just(65_507)];
        let segment = prop::option::of(prop_oneof![Just(200u16), Just(1300)]);
        (size, segment, 1..3u16, 1..3u8).prop_map(|(size, segment, port, ip)| {
            let [peer, local] = [([127, 0, 0, 9], port), ([127, 0, 0, ip], 53)].map(SocketAddr::from);
            let segment =
                segment.filter(|&segment| usize::from(segment) < size && size < 64 * usize::from(segment));
            Datagram { peer, local, payload: &ZEROS[..size], segment: segment.and_then(NonZeroU16::new) }
        })
    }

    /// What is on the wire if `bytes` are cut at `size`.
    fn cut(mut bytes: usize, size: usize) -> Vec<usize> {
        let mut sizes = Vec::new();
        while size > 0 && bytes > size {
            sizes.push(size);
            bytes -= size;
        }
        sizes.push(bytes);
        sizes
    }

    proptest! {
        #[test]
        fn the_same_datagrams_are_on_the_wire(
            datagrams in prop::collection::vec(datagram(), 0..100),
            addressing in prop::sample::select(vec![Addressing::Connected, Addressing::Bound, Addressing::Wildcard]),
            largest in prop::sample::select(vec![0, 199, 200, u16::MAX]),
        ) {
            let route = |peer: SocketAddr, local: SocketAddr| match addressing {
                Addressing::Connected => None,
                Addressing::Bound => Some((peer, None)),
                Addressing::Wildcard => Some((peer, Some(local))),
            };
            let mut expected = Vec::new();
            for datagram in &datagrams {
                let size = datagram.segment.map_or(usize::MAX, |segment| usize::from(segment.get()));
                let sizes = cut(datagram.payload.len(), size);
                prop_assert_eq!(sizes.len(), datagram.count());
                expected.extend(sizes.into_iter().map(|size| (route(datagram.peer, datagram.local), size)));
            }

            let mut messages = Vec::new();
            for piece in Pieces::new(datagrams.into_iter(), largest) {
                Message::put(&mut messages, &piece, addressing, largest);
            }

            let mut sent = Vec::new();
            for message in &messages {
                let sizes = match message.segment() {
                    Some(segment) => cut(message.bytes, usize::from(segment.get())),
                    None => vec![message.bytes],
                };
                prop_assert_eq!(sizes.len(), message.datagrams);
                prop_assert!(sizes.len() <= 64 && message.bytes <= 65_507);
                prop_assert!(message.segment().is_none_or(|segment| segment.get() <= largest));
                sent.extend(sizes.into_iter().map(|size| (route(message.peer, message.local), size)));
            }
            prop_assert_eq!(sent, expected);
        }
    }

    #[test]
    fn equal_datagrams_leave_as_one_message() {
        let [peer, local] = [1, 2].map(|port| SocketAddr::from(([127, 0, 0, 1], port)));
        let datagram = |size| Datagram { peer, local, payload: &ZEROS[..size], segment: None };
        let mut messages = Vec::new();
        for size in [200, 200, 200, 50, 200, 200] {
            Message::put(&mut messages, &datagram(size), Addressing::Wildcard, u16::MAX);
        }
        let counts: Vec<_> = messages.iter().map(|message| message.datagrams).collect();
        assert_eq!(counts, [4, 2], "a smaller one is the last");
    }
}
