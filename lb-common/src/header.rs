//! Headers, as views of a packet. Lengths come out as numbers; addresses, ports and flags as they lie in memory,
//! which is how they are compared and copied.

use crate::{Mac, Packet, Window, WindowMut};

/// EtherTypes, as they lie in memory.
pub(crate) mod ethertype {
    pub(crate) const IPV4: u16 = 0x0800_u16.to_be();
    pub(crate) const IPV6: u16 = 0x86dd_u16.to_be();
    /// IEEE 802.1Q, a VLAN tag.
    pub(crate) const VLAN: u16 = 0x8100_u16.to_be();
    /// IEEE 802.1ad, the outer of two tags.
    pub(crate) const SERVICE_VLAN: u16 = 0x88a8_u16.to_be();
}

/// IP protocol numbers, which in IPv6 are also those of extension headers.
pub(crate) mod protocol {
    pub(crate) const HOP_BY_HOP: u8 = 0;
    pub(crate) const IPIP: u8 = 4;
    pub(crate) const IPV6: u8 = 41;
    pub(crate) const ROUTING: u8 = 43;
    pub(crate) const FRAGMENT: u8 = 44;
    pub(crate) const DESTINATION_OPTIONS: u8 = 60;
}

/// Bytes before the VLAN tags or, without any, the EtherType.
pub(crate) const MACS: usize = 12;

/// Bytes of an Ethernet header without tags.
pub(crate) const ETHERNET: usize = MACS + 2;

/// Bytes of a VLAN tag.
pub(crate) const TAG: usize = 4;

/// Writes the addresses of a frame.
#[inline(always)]
pub(crate) fn write_macs(mut window: WindowMut<'_, MACS>, destination: Mac, source: Mac) {
    let ((start, end), (source_start, source_end)) = (destination.parts(), source.parts());
    window.set::<u32, 0>(start);
    window.set::<u16, 4>(end);
    window.set::<u32, 6>(source_start);
    window.set::<u16, 10>(source_end);
}

/// RFC 791, without options.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ipv4<'p>(Window<'p, { Ipv4::LENGTH }>);

impl<'p> Ipv4<'p> {
    pub(crate) const LENGTH: usize = 20;
    /// The same as a field of a header has it.
    pub(crate) const BYTES: u16 = 20;
    /// Version 4 and no options.
    pub(crate) const PLAIN: u8 = 0x45;
    pub(crate) const DONT_FRAGMENT: u16 = 0x4000_u16.to_be();
    pub(crate) const MORE_FRAGMENTS: u16 = 0x2000_u16.to_be();
    pub(crate) const FRAGMENT_OFFSET: u16 = 0x1fff_u16.to_be();

    #[inline(always)]
    pub(crate) fn at(packet: &'p impl Packet, offset: usize) -> Option<Self> {
        packet.window(offset).map(Self)
    }

    #[inline(always)]
    pub(crate) fn version_and_length(self) -> u8 {
        self.0.get::<_, 0>()
    }

    #[inline(always)]
    pub(crate) fn tos(self) -> u8 {
        self.0.get::<_, 1>()
    }

    #[inline(always)]
    pub(crate) fn total_length(self) -> u16 {
        u16::from_be(self.0.get::<_, 2>())
    }

    /// Flags and offset.
    #[inline(always)]
    pub(crate) fn fragment(self) -> u16 {
        self.0.get::<_, 6>()
    }

    #[inline(always)]
    pub(crate) fn protocol(self) -> u8 {
        self.0.get::<_, 9>()
    }

    #[inline(always)]
    pub(crate) fn source(self) -> u32 {
        self.0.get::<_, 12>()
    }

    #[inline(always)]
    pub(crate) fn destination(self) -> u32 {
        self.0.get::<_, 16>()
    }
}

/// RFC 8200, section 3.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ipv6<'p>(Window<'p, { Ipv6::LENGTH }>);

impl<'p> Ipv6<'p> {
    pub(crate) const LENGTH: usize = 40;
    /// The same as a field of a header has it.
    pub(crate) const BYTES: u16 = 40;

    #[inline(always)]
    pub(crate) fn at(packet: &'p impl Packet, offset: usize) -> Option<Self> {
        packet.window(offset).map(Self)
    }

    /// Version 4, traffic class 8, flow label 20, as a number.
    #[inline(always)]
    pub(crate) fn version_class_label(self) -> u32 {
        u32::from_be(self.0.get::<_, 0>())
    }

    #[inline(always)]
    pub(crate) fn payload_length(self) -> u16 {
        u16::from_be(self.0.get::<_, 4>())
    }

    #[inline(always)]
    pub(crate) fn next_header(self) -> u8 {
        self.0.get::<_, 6>()
    }

    #[inline(always)]
    pub(crate) fn source(self) -> [u64; 2] {
        [self.0.get::<_, 8>(), self.0.get::<_, 16>()]
    }

    #[inline(always)]
    pub(crate) fn destination(self) -> [u64; 2] {
        [self.0.get::<_, 24>(), self.0.get::<_, 32>()]
    }
}

/// The start of an IPv6 extension header (RFC 8200, section 4).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Extension<'p>(Window<'p, 4>);

impl<'p> Extension<'p> {
    pub(crate) const FRAGMENT_OFFSET: u16 = 0xfff8_u16.to_be();
    pub(crate) const MORE_FRAGMENTS: u16 = 0x0001_u16.to_be();

    #[inline(always)]
    pub(crate) fn at(packet: &'p impl Packet, offset: usize) -> Option<Self> {
        packet.window(offset).map(Self)
    }

    #[inline(always)]
    pub(crate) fn next_header(self) -> u8 {
        self.0.get::<_, 0>()
    }

    /// In bytes, where the header says it: a fragment header does not.
    #[inline(always)]
    pub(crate) fn length(self) -> usize {
        (usize::from(self.0.get::<u8, 1>()) + 1) * 8
    }

    /// Of a routing header: destinations that are still to be visited.
    #[inline(always)]
    pub(crate) fn segments_left(self) -> u8 {
        self.0.get::<_, 3>()
    }

    /// Of a fragment header: offset and flags.
    #[inline(always)]
    pub(crate) fn fragment(self) -> u16 {
        self.0.get::<_, 2>()
    }
}

/// RFC 9293, section 3.1, without options.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tcp<'p>(Window<'p, { Tcp::LENGTH }>);

impl<'p> Tcp<'p> {
    pub(crate) const LENGTH: usize = 20;

    #[inline(always)]
    pub(crate) fn at(packet: &'p impl Packet, offset: usize) -> Option<Self> {
        packet.window(offset).map(Self)
    }

    #[inline(always)]
    pub(crate) fn ports(self) -> u32 {
        self.0.get::<_, 0>()
    }

    #[inline(always)]
    pub(crate) fn flags(self) -> u8 {
        self.0.get::<_, 13>()
    }
}

/// RFC 768.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Udp<'p>(Window<'p, { Udp::LENGTH }>);

impl<'p> Udp<'p> {
    pub(crate) const LENGTH: usize = 8;

    #[inline(always)]
    pub(crate) fn at(packet: &'p impl Packet, offset: usize) -> Option<Self> {
        packet.window(offset).map(Self)
    }

    #[inline(always)]
    pub(crate) fn ports(self) -> u32 {
        self.0.get::<_, 0>()
    }
}
