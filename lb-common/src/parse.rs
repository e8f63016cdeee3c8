//! What a packet says of itself, as far as balancing it takes.
//!
//! What cannot belong to a listener, or cannot be told, ends here with a [`PassReason`]. What cannot be
//! forwarded although it may be for a listener goes on, with the reason to drop it if it is.

use crate::header::{Extension, Ipv4, Ipv6, Transport, protocol};
use crate::verdict::Exit;
use crate::{Address, DropReason, Packet, PassReason, Ports, Protocol, Tuple, V4, V6};

/// An IP packet with ports.
pub(crate) struct Datagram<A> {
    pub(crate) tuple: Tuple<A>,
    pub(crate) flags: TcpFlags,
    /// Bytes from the IP header on.
    pub(crate) length: u16,
    /// The IPv4 TOS or IPv6 traffic class: DSCP and ECN.
    pub(crate) class: u8,
    /// Why a listener cannot have it.
    pub(crate) unfit: Option<DropReason>,
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
    /// Reads the packet whose IP header is at `ip`.
    fn parse(packet: &impl Packet, ip: usize) -> Result<Datagram<Self>, Exit>;
}

impl Parse for V4 {
    #[inline(always)]
    fn parse(packet: &impl Packet, ip: usize) -> Result<Datagram<Self>, Exit> {
        let header = Ipv4::at(packet, ip).ok_or(PassReason::TooShort)?;
        let (protocol, length) = (header.protocol(), header.total_length());
        let is_plain = header.version_and_length() == Ipv4::PLAIN
            && header.fragment() & (Ipv4::MORE_FRAGMENTS | Ipv4::FRAGMENT_OFFSET) == 0;
        let segment = if is_plain {
            Segment::read(packet, ip, Ipv4::LENGTH, protocol, length)?
        } else {
            core::hint::cold_path();
            let (end, unfit) = irregular(header)?;
            Segment { unfit: Some(unfit), ..Segment::read(packet, ip, end, protocol, length)? }
        };
        let (client, local) = (Self(header.source()), Self(header.destination()));
        let tuple = Tuple { client, local, ports: segment.ports, protocol };
        Ok(Datagram { tuple, flags: segment.flags, length, class: header.tos(), unfit: segment.unfit })
    }
}

/// The length of a header with options or of a first fragment, and why its packet is unfit.
#[inline(always)]
fn irregular(header: Ipv4<'_>) -> Result<(usize, DropReason), Exit> {
    let length = usize::from(header.version_and_length() & 0xf) * 4;
    if header.version_and_length() >> 4 != 4 || length < Ipv4::LENGTH {
        return Err(PassReason::Malformed.into());
    }
    if header.fragment() & Ipv4::FRAGMENT_OFFSET != 0 {
        return Err(PassReason::Fragment.into());
    }
    let is_fragment = header.fragment() & Ipv4::MORE_FRAGMENTS != 0;
    Ok((length, if is_fragment { DropReason::Fragment } else { DropReason::IpOptions }))
}

impl Parse for V6 {
    #[inline(always)]
    fn parse(packet: &impl Packet, ip: usize) -> Result<Datagram<Self>, Exit> {
        let header = Ipv6::at(packet, ip).ok_or(PassReason::TooShort)?;
        let version_class_label = header.version_class_label();
        if version_class_label >> 28 != 6 {
            return Err(PassReason::Malformed.into());
        }
        // A payload of 0 is that of a jumbogram (RFC 2675), which no interface with XDP carries: it counts as
        // too short.
        let length = header.payload_length().saturating_add(Ipv6::BYTES);
        let next = header.next_header();
        let (protocol, segment) = if Protocol::from_number(next).is_some() {
            (next, Segment::read(packet, ip, Ipv6::LENGTH, next, length)?)
        } else {
            core::hint::cold_path();
            let Extensions { protocol, end, unfit } = Extensions::skip(packet, ip, next)?;
            let segment = Segment::read(packet, ip, end, protocol, length)?;
            (protocol, Segment { unfit: unfit.or(segment.unfit), ..segment })
        };
        let (client, local) = (Self(header.source()), Self(header.destination()));
        let tuple = Tuple { client, local, ports: segment.ports, protocol };
        let class = crate::bits::u8_at(version_class_label.into(), 20);
        Ok(Datagram { tuple, flags: segment.flags, length, class, unfit: segment.unfit })
    }
}

/// What follows the extension headers of an IPv6 packet.
struct Extensions {
    protocol: u8,
    /// Bytes from the IP header to their end.
    end: usize,
    unfit: Option<DropReason>,
}

impl Extensions {
    /// More headers than this are no honest packet's.
    const MOST: usize = 6;
    /// The longest chain, IPv6 header included, in bytes.
    const LONGEST: usize = 512;

    #[inline(always)]
    fn skip(packet: &impl Packet, ip: usize, first: u8) -> Result<Self, Exit> {
        let mut at = Self { protocol: first, end: Ipv6::LENGTH, unfit: None };
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
                        return Err(PassReason::Fragment.into());
                    }
                    // Without more fragments it is a whole packet (RFC 6946).
                    if fragment & Extension::MORE_FRAGMENTS != 0 {
                        at.unfit = Some(DropReason::Fragment);
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
        Err(PassReason::ExtensionHeaders.into())
    }
}

/// What is read of the transport header.
struct Segment {
    ports: Ports,
    flags: TcpFlags,
    unfit: Option<DropReason>,
}

impl Segment {
    /// Reads the transport header that follows a network header of `header_length` bytes at `ip`; the packet
    /// says that it has `length` bytes from `ip` on.
    #[inline(always)]
    fn read(
        packet: &impl Packet,
        ip: usize,
        header_length: usize,
        protocol: u8,
        length: u16,
    ) -> Result<Self, Exit> {
        let at = ip + header_length;
        let protocol = Protocol::from_number(protocol).ok_or(PassReason::OtherProtocol)?;
        let ports = Ports(Transport::at(packet, at).ok_or(PassReason::TooShort)?.ports());
        let malformed = Self { ports, flags: TcpFlags::NONE, unfit: Some(DropReason::Malformed) };
        let (flags, least) = match protocol {
            Protocol::Udp => (TcpFlags::NONE, Transport::UDP),
            Protocol::Tcp => match Transport::tcp_flags(packet, at) {
                Some(flags) => (TcpFlags(flags), Transport::TCP),
                None => return Ok(malformed),
            },
        };
        let length = usize::from(length);
        if length < header_length + least || !packet.reaches(ip + length) {
            core::hint::cold_path();
            return Ok(malformed);
        }
        Ok(Self { ports, flags, unfit: None })
    }
}
