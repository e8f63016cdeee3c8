//! What a packet says of itself, as far as balancing it takes.
//!
//! Almost all packets are plain, and the rest are read once more, with care: what cannot belong to a listener, or
//! cannot be told, ends here with a [`PassReason`]; what cannot be forwarded although it may be for a listener is told
//! with the reason to drop it if it is.

use crate::header::{Extension, Ipv4, Ipv6, Tcp, Udp, protocol};
use crate::{Address, DropReason, Packet, PassReason, Ports, Protocol, Tuple, V4, V6};

/// An IP packet with ports.
pub(crate) struct Datagram<A> {
    pub(crate) tuple: Tuple<A>,
    pub(crate) flags: TcpFlags,
    /// Bytes from the IP header on.
    pub(crate) length: u16,
    /// The IPv4 TOS or IPv6 traffic class: DSCP and ECN.
    pub(crate) class: u8,
}

/// What a packet is that is not plain.
pub(crate) enum Odd<A> {
    /// A datagram like others, behind extension headers.
    Fit(Datagram<A>),
    /// Nothing that can be forwarded, but it may be for a listener: to this address, these ports.
    Unfit { local: A, ports: Ports, protocol: u8, reason: DropReason },
}

/// The flags of a TCP header; for UDP none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct TcpFlags(u8);

impl TcpFlags {
    const NONE: Self = Self(0);
    const FIN: u8 = 1;
    const SYN: u8 = 2;
    const RST: u8 = 4;
    const ACK: u8 = 16;

    /// SYN, and nothing that says otherwise.
    #[inline(always)]
    pub(crate) fn open(self) -> bool {
        self.0 & (Self::SYN | Self::ACK | Self::FIN | Self::RST) == Self::SYN
    }

    /// The client will send no more.
    #[inline(always)]
    pub(crate) fn close(self) -> bool {
        self.0 & (Self::FIN | Self::RST) != 0
    }
}

/// A family whose packets can be parsed.
pub(crate) trait Parse: Address {
    /// Reads the packet whose IP header is at `ip`, if it is as almost all are: TCP or UDP, whole, and nothing between
    /// the headers.
    fn plain(packet: &impl Packet, ip: usize) -> Option<Datagram<Self>>;

    /// Reads the packet whose IP header is at `ip`, and which is not [`plain`](Self::plain).
    fn odd(packet: &impl Packet, ip: usize) -> Result<Odd<Self>, PassReason>;
}

impl Parse for V4 {
    #[inline(always)]
    fn plain(packet: &impl Packet, ip: usize) -> Option<Datagram<Self>> {
        let header = Ipv4::at(packet, ip)?;
        let (protocol, length) = (header.protocol(), header.total_length());
        let is_plain = header.version_and_length() == Ipv4::PLAIN
            && header.fragment() & (Ipv4::MORE_FRAGMENTS | Ipv4::FRAGMENT_OFFSET) == 0;
        if !is_plain {
            return None;
        }
        let Segment { ports, flags } = Segment::read(packet, ip, Ipv4::LENGTH, protocol, length)?;
        let (client, local) = (Self(header.source()), Self(header.destination()));
        let tuple = Tuple { client, local, ports, protocol };
        Some(Datagram { tuple, flags, length, class: header.tos() })
    }

    #[inline(always)]
    fn odd(packet: &impl Packet, ip: usize) -> Result<Odd<Self>, PassReason> {
        let header = Ipv4::at(packet, ip).ok_or(PassReason::TooShort)?;
        let (version_and_length, fragment) = (header.version_and_length(), header.fragment());
        let length = usize::from(version_and_length & 0xf) * 4;
        if version_and_length >> 4 != 4 || length < Ipv4::LENGTH {
            return Err(PassReason::Malformed);
        }
        if fragment & Ipv4::FRAGMENT_OFFSET != 0 {
            return Err(PassReason::Fragment);
        }
        let reason = if fragment & Ipv4::MORE_FRAGMENTS != 0 {
            DropReason::Fragment
        } else if length > Ipv4::LENGTH {
            DropReason::IpOptions
        } else {
            DropReason::Malformed
        };
        let protocol = header.protocol();
        let ports = ports(packet, ip + length, protocol)?;
        Ok(Odd::Unfit { local: Self(header.destination()), ports, protocol, reason })
    }
}

impl Parse for V6 {
    #[inline(always)]
    fn plain(packet: &impl Packet, ip: usize) -> Option<Datagram<Self>> {
        let header = Ipv6::at(packet, ip)?;
        let version_class_label = header.version_class_label();
        if version_class_label >> 28 != 6 {
            return None;
        }
        datagram(packet, ip, header, header.next_header(), Ipv6::LENGTH)
    }

    #[inline(always)]
    fn odd(packet: &impl Packet, ip: usize) -> Result<Odd<Self>, PassReason> {
        let header = Ipv6::at(packet, ip).ok_or(PassReason::TooShort)?;
        if header.version_class_label() >> 28 != 6 {
            return Err(PassReason::Malformed);
        }
        let Extensions { protocol, end, is_fragment } = Extensions::skip(packet, ip, header.next_header())?;
        let ports = ports(packet, ip + end, protocol)?;
        if is_fragment {
            return Ok(Odd::unfit(header, ports, protocol, DropReason::Fragment));
        }
        Ok(match datagram(packet, ip, header, protocol, end) {
            Some(datagram) => Odd::Fit(datagram),
            None => Odd::unfit(header, ports, protocol, DropReason::Malformed),
        })
    }
}

impl Odd<V6> {
    #[inline(always)]
    fn unfit(header: Ipv6<'_>, ports: Ports, protocol: u8, reason: DropReason) -> Self {
        Self::Unfit { local: V6(header.destination()), ports, protocol, reason }
    }
}

/// The datagram whose headers at `ip` take `end` bytes before that of this protocol.
#[inline(always)]
fn datagram(
    packet: &impl Packet,
    ip: usize,
    header: Ipv6<'_>,
    protocol: u8,
    end: usize,
) -> Option<Datagram<V6>> {
    // A payload of 0 is that of a jumbogram (RFC 2675), which no interface with XDP carries: it counts as too short.
    let length = header.payload_length().saturating_add(Ipv6::BYTES);
    let Segment { ports, flags } = Segment::read(packet, ip, end, protocol, length)?;
    let (client, local) = (V6(header.source()), V6(header.destination()));
    let tuple = Tuple { client, local, ports, protocol };
    let class = crate::bits::u8_at(header.version_class_label().into(), 20);
    Some(Datagram { tuple, flags, length, class })
}

/// What follows the extension headers of an IPv6 packet.
struct Extensions {
    protocol: u8,
    /// Bytes from the IP header to their end.
    end: usize,
    /// Whether it is the first of several fragments.
    is_fragment: bool,
}

impl Extensions {
    /// More headers than this are no honest packet's.
    const MOST: usize = 6;
    /// The longest chain, IPv6 header included, in bytes.
    const LONGEST: usize = 512;

    #[inline(always)]
    fn skip(packet: &impl Packet, ip: usize, first: u8) -> Result<Self, PassReason> {
        let mut at = Self { protocol: first, end: Ipv6::LENGTH, is_fragment: false };
        for _ in 0..Self::MOST {
            let header = Extension::at(packet, ip + at.end);
            let header = || header.ok_or(PassReason::TooShort);
            let length = match at.protocol {
                protocol::HOP_BY_HOP | protocol::DESTINATION_OPTIONS => header()?.length(),
                protocol::ROUTING if header()?.segments_left() > 0 => break,
                protocol::ROUTING => header()?.length(),
                protocol::FRAGMENT => {
                    let fragment = header()?.fragment();
                    if fragment & Extension::FRAGMENT_OFFSET != 0 {
                        return Err(PassReason::Fragment);
                    }
                    // Without more fragments it is a whole packet (RFC 6946).
                    if fragment & Extension::MORE_FRAGMENTS != 0 {
                        at.is_fragment = true;
                    }
                    8
                }
                _ => return Ok(at),
            };
            at.protocol = header()?.next_header();
            at.end += length;
            if at.end > Self::LONGEST {
                break;
            }
        }
        Err(PassReason::ExtensionHeaders)
    }
}

/// What is read of the transport header.
struct Segment {
    ports: Ports,
    flags: TcpFlags,
}

impl Segment {
    /// Reads the transport header that follows a network header of `header_length` bytes at `ip`; the packet
    /// says that it has `length` bytes from `ip` on. `None` if it has not, or if that is too little.
    #[inline(always)]
    fn read(
        packet: &impl Packet,
        ip: usize,
        header_length: usize,
        protocol: u8,
        length: u16,
    ) -> Option<Self> {
        let at = ip + header_length;
        let (segment, least) = match Protocol::from_number(protocol)? {
            Protocol::Tcp => {
                let header = Tcp::at(packet, at)?;
                (Self { ports: Ports(header.ports()), flags: TcpFlags(header.flags()) }, Tcp::LENGTH)
            }
            Protocol::Udp => {
                let header = Udp::at(packet, at)?;
                (Self { ports: Ports(header.ports()), flags: TcpFlags::NONE }, Udp::LENGTH)
            }
        };
        let length = usize::from(length);
        (length >= header_length + least && packet.reaches(ip + length)).then_some(segment)
    }
}

/// The ports of the transport header at `at`, of which there may be no more than these and four bytes.
#[inline(always)]
fn ports(packet: &impl Packet, at: usize, protocol: u8) -> Result<Ports, PassReason> {
    if Protocol::from_number(protocol).is_none() {
        return Err(PassReason::OtherProtocol);
    }
    Udp::at(packet, at).map(|header| Ports(header.ports())).ok_or(PassReason::TooShort)
}
