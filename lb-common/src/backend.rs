//! Backends: all that it takes to send a packet there, in one cache line.

use core::num::NonZeroU8;

use crate::bits::{u8_at, u16_at, u32_at};
use crate::{Family, V4, V6, Word};

/// A backend's number, over all pools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct BackendIndex(pub u16);

/// An Ethernet address: its bytes in memory order, then two of zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mac(u64);

impl Mac {
    const MASK: u64 = 0xffff_ffff_ffff;

    /// From its bytes.
    pub const fn new([a, b, c, d, e, f]: [u8; 6]) -> Self {
        Self(u64::from_ne_bytes([a, b, c, d, e, f, 0, 0]))
    }

    /// The first four bytes and the last two, each as they lie in memory.
    #[inline(always)]
    pub(crate) const fn parts(self) -> (u32, u16) {
        (u32_at(self.0, 0), u16_at(self.0, 32))
    }
}

/// The outer addresses of packets to a backend. Bits of a flow are mixed into the source where `entropy` has
/// ones, in its last four bytes: so that the paths and receive queues behind the balancer see many flows and not
/// one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tunnel {
    /// IPv4 packets, `ipip`.
    V4 {
        /// The balancer's.
        source: V4,
        /// The backend's.
        destination: V4,
    },
    /// IPv6 packets, `ip6tnl`.
    V6 {
        /// The balancer's.
        source: V6,
        /// The backend's.
        destination: V6,
    },
}

/// The first word of a backend's memory: next hop 48, generation 8, version of IP 8 (0: empty).
#[derive(Debug, Clone, Copy)]
pub struct Hop(u64);

impl Hop {
    const V4: u8 = 4;
    const V6: u8 = 6;

    /// Which of the backend's lives this is, from 1: flows that were given to an earlier one choose again.
    #[inline(always)]
    pub fn generation(self) -> u8 {
        u8_at(self.0, 48)
    }

    /// The version of IP of outer packets.
    #[inline(always)]
    pub(crate) fn family(self) -> Family {
        if u8_at(self.0, 56) == Self::V4 { Family::V4 } else { Family::V6 }
    }

    /// The Ethernet address of the next hop.
    #[inline(always)]
    pub(crate) fn address(self) -> Mac {
        Mac(self.0 & Mac::MASK)
    }
}

/// The interface's side of a backend: its Ethernet address 48, MTU 16.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Egress(u64);

impl Egress {
    #[inline(always)]
    pub(crate) fn address(self) -> Mac {
        Mac(self.0 & Mac::MASK)
    }

    #[inline(always)]
    pub(crate) fn mtu(self) -> u16 {
        u16_at(self.0, 48)
    }
}

/// How to send a packet to a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backend {
    /// See [`Hop::generation`].
    pub generation: NonZeroU8,
    /// The Ethernet address of the next hop.
    pub next_hop: Mac,
    /// The Ethernet address of the interface.
    pub interface_mac: Mac,
    /// The index of the interface.
    pub interface: u32,
    /// The largest outer packet, in bytes.
    pub mtu: u16,
    /// See [`Tunnel`]; as the bytes lie in memory.
    pub entropy: u32,
    /// Outer addresses.
    pub tunnel: Tunnel,
}

/// A backend's memory. What belongs together in one packet is in one word where it can be; a new route takes
/// several, and a packet in between is lost or takes the old way, but never goes to another backend: `tunnel` is
/// written only while the entry is empty.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct BackendEntry {
    /// See [`Hop`].
    hop: Word,
    /// See [`Egress`].
    egress: Word,
    /// Interface 32, entropy 32.
    interface: Word,
    /// For IPv4: source 32, destination 32. For IPv6: two words of source, two of destination.
    tunnel: [Word; 4],
    spare: Word,
}

impl BackendEntry {
    /// The first word; `None` if the entry is empty. The rest is read when it is needed.
    #[inline(always)]
    pub fn hop(&self) -> Option<Hop> {
        let hop = self.hop.load();
        (u8_at(hop, 56) != 0).then_some(Hop(hop))
    }

    /// The same; `None` if the backend is not in this life. An empty entry is in none.
    #[inline(always)]
    pub(crate) fn hop_in(&self, generation: u8) -> Option<Hop> {
        let hop = Hop(self.hop.load());
        (hop.generation() == generation).then_some(hop)
    }

    #[inline(always)]
    pub(crate) fn egress(&self) -> Egress {
        Egress(self.egress.load())
    }

    /// The index of the interface, and the bits of the outer source that flows differ in.
    #[inline(always)]
    pub(crate) fn interface(&self) -> (u32, u32) {
        let word = self.interface.load();
        (u32_at(word, 0), u32_at(word, 32))
    }

    /// Source and destination of outer IPv4 packets.
    #[inline(always)]
    pub(crate) fn tunnel_v4(&self) -> (V4, V4) {
        let [addresses, ..] = &self.tunnel;
        let addresses = addresses.load();
        (V4(u32_at(addresses, 0)), V4(u32_at(addresses, 32)))
    }

    /// Source and destination of outer IPv6 packets.
    #[inline(always)]
    pub(crate) fn tunnel_v6(&self) -> (V6, V6) {
        let [source_high, source_low, destination_high, destination_low] = &self.tunnel;
        let address = |high: &Word, low: &Word| V6([high.load(), low.load()]);
        (address(source_high, source_low), address(destination_high, destination_low))
    }

    /// All of it; `None` if the entry is empty.
    pub fn load(&self) -> Option<Backend> {
        let (hop, egress, (interface, entropy)) = (self.hop()?, self.egress(), self.interface());
        let tunnel = match hop.family() {
            Family::V4 => {
                let (source, destination) = self.tunnel_v4();
                Tunnel::V4 { source, destination }
            }
            Family::V6 => {
                let (source, destination) = self.tunnel_v6();
                Tunnel::V6 { source, destination }
            }
        };
        Some(Backend {
            generation: NonZeroU8::new(hop.generation())?,
            next_hop: hop.address(),
            interface_mac: egress.address(),
            interface,
            mtu: egress.mtu(),
            entropy,
            tunnel,
        })
    }

    /// Writes the backend. What is there must be empty or a backend with the same addresses.
    pub fn store(&self, backend: &Backend) {
        let (version, tunnel) = match backend.tunnel {
            Tunnel::V4 { source, destination } => {
                (Hop::V4, [u64::from(destination.0) << 32 | u64::from(source.0), 0, 0, 0])
            }
            Tunnel::V6 { source: V6([a, b]), destination: V6([c, d]) } => (Hop::V6, [a, b, c, d]),
        };
        self.tunnel.iter().zip(tunnel).for_each(|(word, addresses)| word.store(addresses));
        self.interface.store(u64::from(backend.entropy) << 32 | u64::from(backend.interface));
        self.egress.store(u64::from(backend.mtu) << 48 | backend.interface_mac.0);
        let hop = u64::from(version) << 56 | u64::from(backend.generation.get()) << 48 | backend.next_hop.0;
        self.hop.swap(hop);
    }

    /// Empties the entry: packets that are given to it from now on are dropped.
    pub fn clear(&self) {
        self.hop.swap(0);
    }
}

const _: () = assert!(size_of::<BackendEntry>() == 64);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn an_entry_keeps_a_backend(
            (generation, next_hop, interface_mac) in any::<(NonZeroU8, [u8; 6], [u8; 6])>(),
            (interface, mtu, entropy) in any::<(u32, u16, u32)>(),
            (source, destination) in any::<([u64; 2], [u64; 2])>(),
            v4: bool,
        ) {
            let tunnel = if v4 {
                let [source, destination] = [source, destination].map(|halves| V4(u32_at(halves[0], 0)));
                Tunnel::V4 { source, destination }
            } else {
                Tunnel::V6 { source: V6(source), destination: V6(destination) }
            };
            let (next_hop, interface_mac) = (Mac::new(next_hop), Mac::new(interface_mac));
            let backend = Backend { generation, next_hop, interface_mac, interface, mtu, entropy, tunnel };
            let entry = BackendEntry::default();
            prop_assert_eq!((entry.load(), entry.hop().map(Hop::generation)), (None, None));
            entry.store(&backend);
            prop_assert_eq!((entry.load(), entry.hop().map(Hop::generation)), (Some(backend), Some(generation.get())));
            entry.clear();
            prop_assert_eq!((entry.load(), entry.hop().map(Hop::generation)), (None, None));
        }
    }
}
