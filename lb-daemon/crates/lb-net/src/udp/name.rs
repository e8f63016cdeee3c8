//! Socket addresses as the kernel has them: `sockaddr_in` and `sockaddr_in6`, see ip(7) and ipv6(7).

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV4, SocketAddrV6};

use rustix::net::AddressFamily;

use super::fields::{Reader, Writer};

/// Room for one address.
#[derive(Clone)]
#[repr(C, align(4))]
pub(super) struct Name([u8; Name::SIZE]);

impl Name {
    /// A `sockaddr_in6`, the larger one.
    pub(super) const SIZE: usize = 28;

    pub(super) const fn empty() -> Self {
        Self([0; Self::SIZE])
    }

    pub(super) fn as_mut_ptr(&mut self) -> *mut u8 {
        self.0.as_mut_ptr()
    }

    /// Puts an address in; returns its length in bytes.
    pub(super) fn write(&mut self, address: SocketAddr) -> usize {
        let mut fields = Writer::new(&mut self.0);
        match address {
            SocketAddr::V4(address) => {
                fields.put(AddressFamily::INET.as_raw().to_ne_bytes());
                fields.put(address.port().to_be_bytes());
                fields.put(address.ip().octets());
                fields.put([0; 8]);
            }
            SocketAddr::V6(address) => {
                fields.put(AddressFamily::INET6.as_raw().to_ne_bytes());
                fields.put(address.port().to_be_bytes());
                fields.put(address.flowinfo().to_be_bytes());
                fields.put(address.ip().octets());
                fields.put(address.scope_id().to_ne_bytes());
            }
        }
        fields.written()
    }

    /// The address, of which the kernel has written so many bytes; `None` if it is none of ours. The flow label is left
    /// out: it says nothing about who the peer is.
    pub(super) fn read(&self, length: usize) -> Option<SocketAddr> {
        let mut fields = Reader::new(self.0.get(..length)?);
        let family = AddressFamily::from_raw(u16::from_ne_bytes(fields.take()?));
        let port = u16::from_be_bytes(fields.take()?);
        if family == AddressFamily::INET {
            Some(SocketAddrV4::new(Ipv4Addr::from(fields.take::<4>()?), port).into())
        } else if family == AddressFamily::INET6 {
            let _flow_label = fields.take::<4>()?;
            let ip = Ipv6Addr::from(fields.take::<16>()?);
            Some(SocketAddrV6::new(ip, port, 0, u32::from_ne_bytes(fields.take()?)).into())
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use socket2::SockAddr;

    use super::*;

    fn v6(ip: Ipv6Addr, port: u16, scope: u32) -> SocketAddr {
        SocketAddrV6::new(ip, port, 0, scope).into()
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(ip: std::net::IpAddr, port: u16, scope: u32) {
            let address = match ip {
                std::net::IpAddr::V4(ip) => SocketAddrV4::new(ip, port).into(),
                std::net::IpAddr::V6(ip) => v6(ip, port, scope),
            };
            let mut name = Name::empty();
            let length = name.write(address);
            prop_assert_eq!(length, usize::try_from(SockAddr::from(address).len()).unwrap());
            prop_assert_eq!(name.read(length), Some(address));
        }

        #[test]
        fn any_bytes_are_an_address_or_none(bytes: [u8; Name::SIZE], length in 0usize..64) {
            let _ = Name(bytes).read(length);
        }
    }

    #[test]
    fn another_family_is_no_address() {
        let mut name = Name::empty();
        let length = name.write(v6(Ipv6Addr::LOCALHOST, 1, 0));
        name.0[..2].copy_from_slice(&AddressFamily::UNIX.as_raw().to_ne_bytes());
        assert_eq!(name.read(length), None);
    }
}
