//! Control messages: what the kernel tells beside a datagram, and is told, see cmsg(3), ip(7), ipv6(7) and udp(7).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};
use std::num::NonZeroU16;

use super::fields::{Reader, Writer};

/// Room for the control messages of one datagram.
#[derive(Clone)]
#[repr(C, align(8))]
pub(super) struct Control([u8; Control::SIZE]);

/// What the kernel has told.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Notes {
    /// The address that the datagram was sent to; port 0.
    pub(super) local: Option<SocketAddr>,
    /// If it is several: the size of each but the last.
    pub(super) segment: Option<NonZeroU16>,
    /// The error, an errno, that the error queue held.
    pub(super) error: Option<i32>,
}

impl Control {
    /// An IPV6_PKTINFO and a UDP_GRO; or an IPV6_RECVERR.
    pub(super) const SIZE: usize = 64;
    /// Messages and their contents begin at multiples of this.
    const ALIGN: usize = size_of::<usize>();
    /// Length, level and type.
    const HEADER: usize = (size_of::<usize>() + 8).next_multiple_of(Self::ALIGN);

    pub(super) const fn empty() -> Self {
        Self([0; Self::SIZE])
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.0.as_mut_ptr()
    }

    /// Says what address to send from, and how to cut the payload into datagrams; returns the length in bytes.
    pub(super) fn write(&mut self, source: Option<SocketAddr>, segment: Option<NonZeroU16>) -> usize {
        let mut fields = Writer::new(&mut self.0);
        match source {
            Some(SocketAddr::V4(source)) => {
                begin(&mut fields, libc::IPPROTO_IP, libc::IP_PKTINFO, 12);
                fields.put([0; 4]); // any interface
                fields.put(source.ip().octets());
                fields.put([0; 4]); // where it goes is said elsewhere
                fields.put([0; 4]); // padding
            }
            Some(SocketAddr::V6(source)) => {
                begin(&mut fields, libc::IPPROTO_IPV6, libc::IPV6_PKTINFO, 20);
                fields.put(source.ip().octets());
                fields.put(source.scope_id().to_ne_bytes());
                fields.put([0; 4]); // padding
            }
            None => {}
        }
        if let Some(segment) = segment {
            begin(&mut fields, libc::SOL_UDP, libc::UDP_SEGMENT, 2);
            fields.put(segment.get().to_ne_bytes());
            fields.put([0; 6]); // padding
        }
        fields.written()
    }

    /// Reads the first `length` bytes, as the kernel has written them.
    pub(super) fn read(&self, length: usize) -> Notes {
        let mut notes = Notes::default();
        let mut fields = Reader::new(self.0.get(..length).unwrap_or_default());
        while notes.read_message(&mut fields).is_some() {}
        notes
    }
}

/// The header of a message with `length` bytes of contents.
fn begin(fields: &mut Writer<'_>, level: i32, kind: i32, length: usize) {
    fields.put((Control::HEADER + length).to_ne_bytes());
    fields.put(level.to_ne_bytes());
    fields.put(kind.to_ne_bytes());
}

impl Notes {
    fn read_message(&mut self, fields: &mut Reader<'_>) -> Option<()> {
        let length = usize::from_ne_bytes(fields.take()?).checked_sub(Control::HEADER)?;
        let level = i32::from_ne_bytes(fields.take()?);
        let kind = i32::from_ne_bytes(fields.take()?);
        let mut contents = Reader::new(fields.take_slice(length)?);
        fields.skip(length.next_multiple_of(Control::ALIGN) - length);
        match (level, kind) {
            (libc::IPPROTO_IP, libc::IP_PKTINFO) => self.local = Some(local_v4(&mut contents)?),
            (libc::IPPROTO_IPV6, libc::IPV6_PKTINFO) => self.local = Some(local_v6(&mut contents)?),
            (libc::SOL_UDP, libc::UDP_GRO) => self.segment = segment(i32::from_ne_bytes(contents.take()?)),
            (libc::IPPROTO_IP, libc::IP_RECVERR) | (libc::IPPROTO_IPV6, libc::IPV6_RECVERR) => {
                self.error = Some(i32::from_ne_bytes(contents.take()?));
            }
            _ => {}
        }
        Some(())
    }
}

/// The address to answer from: that of the datagram, or of this host where the datagram was a broadcast.
fn local_v4(pktinfo: &mut Reader<'_>) -> Option<SocketAddr> {
    let _interface = pktinfo.take::<4>()?;
    Some((IpAddr::V4(Ipv4Addr::from(pktinfo.take::<4>()?)), 0).into())
}

fn local_v6(pktinfo: &mut Reader<'_>) -> Option<SocketAddr> {
    let ip = Ipv6Addr::from(pktinfo.take::<16>()?);
    let interface = u32::from_ne_bytes(pktinfo.take()?);
    // Only link-local addresses are another one on each interface.
    let scope = if ip.is_unicast_link_local() { interface } else { 0 };
    Some(SocketAddrV6::new(ip, 0, 0, scope).into())
}

fn segment(size: i32) -> Option<NonZeroU16> {
    u16::try_from(size).ok().and_then(NonZeroU16::new)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What the kernel tells, and how many bytes of it there are.
    fn told(local: Option<SocketAddr>, segment: Option<NonZeroU16>) -> (Control, usize) {
        let mut control = Control::empty();
        let written = control.write(local, None);
        let mut fields = Writer::new(&mut control.0[written..]);
        if let Some(segment) = segment {
            begin(&mut fields, libc::SOL_UDP, libc::UDP_GRO, 4);
            fields.put(i32::from(segment.get()).to_ne_bytes());
            fields.put([0; 4]);
        }
        let written = written + fields.written();
        (control, written)
    }

    fn source() -> impl Strategy<Value = Option<SocketAddr>> {
        let v4 = any::<Ipv4Addr>().prop_map(|ip| SocketAddr::from((ip, 0)));
        let v6 = any::<Ipv6Addr>().prop_map(|ip| SocketAddr::from((ip, 0)));
        prop::option::of(prop_oneof![v4, v6])
    }

    proptest! {
        #[test]
        fn what_is_told_is_read(local in source(), segment: Option<NonZeroU16>) {
            let (control, length) = told(local, segment);
            prop_assert_eq!(control.read(length), Notes { local, segment, error: None });
        }

        #[test]
        fn what_is_cut_off_is_not_made_up(local in source(), segment: Option<NonZeroU16>, cut in 1usize..64) {
            let (control, length) = told(local, segment);
            let notes = control.read(length.saturating_sub(cut));
            prop_assert!(notes.local.is_none() || notes.local == local);
            prop_assert!(notes.segment.is_none() || notes.segment == segment);
        }

        #[test]
        fn any_bytes_are_read_without_panic(
            message in (0usize..80, 0i32..50, 0i32..110),
            rest: [u8; Control::SIZE],
            length in 0usize..128,
        ) {
            let mut control = Control(rest);
            let mut fields = Writer::new(&mut control.0);
            fields.put(message.0.to_ne_bytes());
            fields.put(message.1.to_ne_bytes());
            fields.put(message.2.to_ne_bytes());
            let _ = control.read(length);
        }
    }

    #[test]
    fn a_link_local_address_has_its_interface() {
        let local: SocketAddr = SocketAddrV6::new("fe80::1".parse().unwrap(), 0, 0, 3).into();
        let mut control = Control::empty();
        let length = control.write(Some(local), None);
        assert_eq!(control.read(length).local, Some(local));
    }

    #[test]
    fn it_is_laid_out_as_libc_does() {
        let mut control = Control::empty();
        let length = control.write(Some("127.0.0.9:0".parse().unwrap()), NonZeroU16::new(200));
        let [pktinfo, segment] = [12, 2].map(|contents| {
            #[expect(unsafe_code, reason = "libc's sizes are the reference")]
            // SAFETY: it only computes.
            unsafe {
                libc::CMSG_SPACE(contents)
            }
        });
        assert_eq!(length, usize::try_from(pktinfo + segment).unwrap());
    }
}
