//! Addresses and tuples, as they are on the wire.

use core::net::{Ipv4Addr, Ipv6Addr};

use crate::flow_hash::{self, FlowHash};
use crate::{ListenerEntry, ListenerLine, ListenerV4, ListenerV6, Secret, Tables};

/// The version of IP that clients speak to a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Family {
    /// IPv4.
    V4 = 0,
    /// IPv6.
    V6 = 1,
}

/// The transport protocols that are balanced, by their IANA numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Protocol {
    /// TCP.
    Tcp = 6,
    /// UDP.
    Udp = 17,
}

impl Protocol {
    /// The protocol of this number, if it is one that is balanced.
    #[inline(always)]
    pub fn from_number(number: u8) -> Option<Self> {
        match number {
            6 => Some(Self::Tcp),
            17 => Some(Self::Udp),
            _ => None,
        }
    }
}

/// An IPv4 address, its four bytes in the order of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct V4(pub u32);

/// An IPv6 address, its sixteen bytes in the order of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct V6(pub [u64; 2]);

impl From<Ipv4Addr> for V4 {
    fn from(address: Ipv4Addr) -> Self {
        Self(u32::from_ne_bytes(address.octets()))
    }
}

impl From<Ipv6Addr> for V6 {
    fn from(address: Ipv6Addr) -> Self {
        let [a, b, c, d, e, f, g, h, i, j, k, l, m, n, o, p] = address.octets();
        let high = u64::from_ne_bytes([a, b, c, d, e, f, g, h]);
        Self([high, u64::from_ne_bytes([i, j, k, l, m, n, o, p])])
    }
}

/// The first four bytes of a TCP or UDP header: the client's port, then ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Ports(pub u32);

impl Ports {
    /// The port at our end.
    #[inline(always)]
    pub fn local(self) -> u16 {
        u16::from_be(crate::bits::u16_at(self.0.into(), 16))
    }

    /// The port at the client's end.
    #[inline(always)]
    pub fn client(self) -> u16 {
        u16::from_be(crate::bits::u16_at(self.0.into(), 0))
    }
}

/// A flow, as the packets of the client name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tuple<A> {
    /// Where the packet comes from.
    pub client: A,
    /// Where it was sent: an address of ours, if there is a listener.
    pub local: A,
    /// Both ports.
    pub ports: Ports,
    /// The transport protocol's number.
    pub protocol: u8,
}

impl<A> Tuple<A> {
    /// The word of the flow hash that has ports and protocol.
    #[inline(always)]
    fn transport_word(&self) -> u64 {
        flow_hash::transport_word(self.protocol, self.ports.client(), self.ports.local())
    }
}

/// What the two families do differently.
pub trait Address: Copy + Eq {
    /// Which one it is.
    const FAMILY: Family;
    /// How a listener at such an address is kept.
    type Listener: ListenerEntry<Self>;

    /// A line of the listeners at such addresses.
    fn listeners<T: Tables>(tables: &T, line: u32) -> Option<&ListenerLine<Self::Listener>>;
    /// The address in 32 bits, for the place of a listener.
    fn folded(self) -> u32;
    /// The keyed hash that decides in which line of the flow table a flow is.
    fn line_hash(secret: &Secret, tuple: &Tuple<Self>) -> u64;
    /// What a flow is known by in its line: the flow itself, or where that has no room, another keyed hash.
    fn flow_key(secret: &Secret, tuple: &Tuple<Self>) -> u64;
    /// The hash that all instances share, of the tuple.
    fn tuple_hash(seed: u32, tuple: &Tuple<Self>) -> FlowHash;
    /// The hash that all instances share, of the client alone.
    fn client_hash(seed: u32, client: Self) -> FlowHash;
    /// Bits that differ between flows, to spread them over paths and receive queues behind the balancer.
    fn entropy(tuple: &Tuple<Self>) -> u32;
}

impl Address for V4 {
    const FAMILY: Family = Family::V4;
    type Listener = ListenerV4;

    #[inline(always)]
    fn listeners<T: Tables>(tables: &T, line: u32) -> Option<&ListenerLine<ListenerV4>> {
        tables.listeners_v4(line)
    }

    #[inline(always)]
    fn folded(self) -> u32 {
        self.0
    }

    #[inline(always)]
    fn line_hash(secret: &Secret, tuple: &Tuple<Self>) -> u64 {
        // Address and protocol share a word: a listener's id, which a look-up compares, tells them apart.
        secret.hash_short(tuple.client.0, tuple.ports.0, tuple.local.0 ^ u32::from(tuple.protocol))
    }

    /// Client and ports; our address and the protocol are the listener's, whose id is compared beside the key.
    #[inline(always)]
    fn flow_key(_: &Secret, tuple: &Tuple<Self>) -> u64 {
        u64::from(tuple.ports.0) << 32 | u64::from(tuple.client.0)
    }

    #[inline(always)]
    fn tuple_hash(seed: u32, tuple: &Tuple<Self>) -> FlowHash {
        let (client, local) = (u32::from_be(tuple.client.0), u32::from_be(tuple.local.0));
        FlowHash::of_tuple_v4(seed, tuple.transport_word(), client, local)
    }

    #[inline(always)]
    fn client_hash(seed: u32, client: Self) -> FlowHash {
        FlowHash::of_client_v4(seed, u32::from_be(client.0))
    }

    #[inline(always)]
    fn entropy(tuple: &Tuple<Self>) -> u32 {
        mixed(tuple.client.0 ^ tuple.ports.0)
    }
}

impl Address for V6 {
    const FAMILY: Family = Family::V6;
    type Listener = ListenerV6;

    #[inline(always)]
    fn listeners<T: Tables>(tables: &T, line: u32) -> Option<&ListenerLine<ListenerV6>> {
        tables.listeners_v6(line)
    }

    #[inline(always)]
    fn folded(self) -> u32 {
        let [high, low] = self.0;
        let folded =
            high.wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_add(low.wrapping_mul(0xc2b2_ae3d_27d4_eb4f));
        crate::bits::u32_at(folded, 32)
    }

    #[inline(always)]
    fn line_hash(secret: &Secret, tuple: &Tuple<Self>) -> u64 {
        let target = tuple.local.folded() ^ u32::from(tuple.protocol);
        secret.hash_long(tuple.client.0, tuple.ports.0, target)
    }

    /// A hash under another secret than the line's: two flows of one line are taken for each other once in 2⁶¹
    /// look-ups.
    #[inline(always)]
    fn flow_key(secret: &Secret, tuple: &Tuple<Self>) -> u64 {
        Self::line_hash(secret, tuple)
    }

    #[inline(always)]
    fn tuple_hash(seed: u32, tuple: &Tuple<Self>) -> FlowHash {
        let (client, local) = (tuple.client.0.map(u64::from_be), tuple.local.0.map(u64::from_be));
        FlowHash::of_tuple_v6(seed, tuple.transport_word(), client, local)
    }

    #[inline(always)]
    fn client_hash(seed: u32, client: Self) -> FlowHash {
        FlowHash::of_client_v6(seed, client.0.map(u64::from_be))
    }

    #[inline(always)]
    fn entropy(tuple: &Tuple<Self>) -> u32 {
        let [high, low] = tuple.client.0;
        let halves = high ^ low;
        mixed(crate::bits::u32_at(halves, 0) ^ crate::bits::u32_at(halves, 32) ^ tuple.ports.0)
    }
}

/// Lets every bit of `word` count in the upper ones.
#[inline(always)]
fn mixed(word: u32) -> u32 {
    let word = word.wrapping_mul(0x9e37_79b1);
    word ^ word >> 16
}
