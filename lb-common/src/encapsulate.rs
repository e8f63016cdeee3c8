//! Puts a packet into an outer IP packet to a backend: IPv4 in IPv4 (RFC 2003), IPv4 or IPv6 in IPv6 (RFC 2473).

use crate::checksum::Sum;
use crate::header::{ETHERNET, Ipv4, Ipv6, MACS, TAG, ethertype, protocol, write_macs};
use crate::parse::Datagram;
use crate::verdict::Exit;
use crate::{Address, BackendEntry, DropReason, Family, Hop, Packet, V4, V6, Verdict, WindowMut};

/// Hops that outer packets may take.
const TTL: u8 = 64;

/// Sends the packet, whose IP header is at `IP`, to the backend. It is still untouched if this fails, but for
/// [`DropReason::Inconsistent`].
#[inline(always)]
pub(crate) fn encapsulate<A: Address, P: Packet, const IP: usize>(
    packet: &mut P,
    datagram: &Datagram<A>,
    backend: &BackendEntry,
    hop: Hop,
) -> Result<Verdict, Exit> {
    let entropy = A::entropy(&datagram.tuple);
    let (_, varied) = backend.interface();
    match (hop.family(), A::FAMILY) {
        (Family::V4, Family::V6) => Err(DropReason::Inconsistent.into()),
        (Family::V4, Family::V4) => {
            let length = outer_length(datagram.length, Ipv4::BYTES, backend)?;
            let (source, destination) = backend.tunnel_v4();
            let source = V4(source.0 ^ entropy & varied);
            send::<_, IP, { Ipv4::LENGTH }>(packet, backend, hop, ethertype::IPV4, |header| {
                write_v4(header, source, destination, length, datagram.class);
            })
        }
        (Family::V6, family) => {
            outer_length(datagram.length, Ipv6::BYTES, backend)?;
            let (source, destination) = backend.tunnel_v6();
            let [high, low] = source.0;
            let source = V6([high, low ^ u64::from(entropy & varied) << 32]);
            let inner = match family {
                Family::V4 => protocol::IPIP,
                Family::V6 => protocol::IPV6,
            };
            send::<_, IP, { Ipv6::LENGTH }>(packet, backend, hop, ethertype::IPV6, |header| {
                write_v6(header, source, destination, inner, datagram, entropy);
            })
        }
    }
}

/// The length of a packet with an outer header of `header` bytes, if that is not too much.
#[inline(always)]
fn outer_length(inner: u16, header: u16, backend: &BackendEntry) -> Result<u16, Exit> {
    let length = u32::from(inner) + u32::from(header);
    if length > backend.egress().mtu().into() {
        return Err(DropReason::TooBig.into());
    }
    Ok(crate::bits::u16_at(length.into(), 0))
}

/// Writes an outer IPv4 header. "Don't fragment" is set whatever the inner header says: then the identification
/// may be 0 (RFC 6864), and no backend has to put outer packets together.
#[inline(always)]
fn write_v4(mut header: WindowMut<'_, { Ipv4::LENGTH }>, source: V4, destination: V4, length: u16, tos: u8) {
    let start = u16::from_ne_bytes([Ipv4::PLAIN, tos]);
    let length = length.to_be();
    let middle = u16::from_ne_bytes([TTL, protocol::IPIP]);
    let sum = Sum::default().add_u16(start).add_u16(length).add_u16(Ipv4::DONT_FRAGMENT).add_u16(middle);
    header.set::<u16, 0>(start);
    header.set::<u16, 2>(length);
    header.set::<u16, 4>(0);
    header.set::<u16, 6>(Ipv4::DONT_FRAGMENT);
    header.set::<u16, 8>(middle);
    header.set::<u16, 10>(sum.add_u32(source.0).add_u32(destination.0).checksum());
    header.set::<u32, 12>(source.0);
    header.set::<u32, 16>(destination.0);
}

/// Writes an outer IPv6 header, with a flow label that differs between flows (RFC 6438).
#[inline(always)]
fn write_v6<A>(
    mut header: WindowMut<'_, { Ipv6::LENGTH }>,
    source: V6,
    destination: V6,
    inner: u8,
    datagram: &Datagram<A>,
    entropy: u32,
) {
    let version_class_label = 6 << 28 | u32::from(datagram.class) << 20 | entropy >> 12;
    header.set::<u32, 0>(version_class_label.to_be());
    header.set::<u16, 4>(datagram.length.to_be());
    header.set::<u8, 6>(inner);
    header.set::<u8, 7>(TTL);
    let ([source, source_low], [destination, destination_low]) = (source.0, destination.0);
    header.set::<u64, 8>(source);
    header.set::<u64, 16>(source_low);
    header.set::<u64, 24>(destination);
    header.set::<u64, 32>(destination_low);
}

/// Puts an outer header of `HEADER` bytes in front of the packet's IP header and sends it to the backend. VLAN
/// tags are kept on the way back out of the same interface; another one is in no VLAN that the packet knows of.
#[inline(always)]
fn send<P: Packet, const IP: usize, const HEADER: usize>(
    packet: &mut P,
    backend: &BackendEntry,
    hop: Hop,
    ethertype: u16,
    write: impl FnOnce(WindowMut<'_, HEADER>),
) -> Result<Verdict, Exit> {
    let (interface, _) = backend.interface();
    if interface == packet.interface() {
        put_before::<_, IP, IP, HEADER>(packet, backend, hop, ethertype, write)?;
        Ok(Verdict::Transmit)
    } else {
        put_before::<_, IP, ETHERNET, HEADER>(packet, backend, hop, ethertype, write)?;
        Ok(Verdict::Redirect(interface))
    }
}

/// As [`send`]: the IP header is at `IP`, and the outer one will be at `OUTER`.
#[inline(always)]
fn put_before<P: Packet, const IP: usize, const OUTER: usize, const HEADER: usize>(
    packet: &mut P,
    backend: &BackendEntry,
    hop: Hop,
    ethertype: u16,
    write: impl FnOnce(WindowMut<'_, HEADER>),
) -> Result<(), Exit> {
    let growth = HEADER + OUTER - IP;
    packet.grow(growth).ok_or(DropReason::NoHeadroom)?;
    // From here on the packet is ours: it cannot go on to the kernel any more.
    let written = (|| {
        let mut front = packet.front(OUTER + HEADER)?;
        let mut at = MACS;
        // A tag is an EtherType that says so, and two bytes. It is read before its old place is overwritten.
        while at + TAG < OUTER {
            let tag: u32 = front.window::<TAG>(growth + at)?.get::<_, 0>();
            front.window_mut::<TAG>(at)?.set::<_, 0>(tag);
            at += TAG;
        }
        write_macs(front.window_mut(0)?, hop.address(), backend.egress().address());
        front.window_mut::<2>(OUTER - 2)?.set::<_, 0>(ethertype);
        write(front.window_mut(OUTER)?);
        Some(())
    })();
    written.ok_or(DropReason::Inconsistent.into())
}
