//! PROXY protocol headers of version 2, put together byte by byte: they show what Sluice takes and sends without any code of
//! Sluice.

use std::net::{IpAddr, SocketAddr};

/// A header under construction.
#[derive(Debug, Clone)]
pub struct ProxyHeader {
    /// Version and command, family and transport.
    kind: [u8; 2],
    /// What follows the length.
    block: Vec<u8>,
}

impl ProxyHeader {
    /// Of any kind, with this behind its length.
    pub fn of(kind: [u8; 2], block: &[u8]) -> Self {
        Self { kind, block: block.into() }
    }

    /// Of a connection that the proxy made for itself.
    pub fn local() -> Self {
        Self::of([0x20, 0], &[])
    }

    /// Of a TCP connection between two addresses of one family.
    pub fn tcp(source: SocketAddr, destination: SocketAddr) -> Self {
        let (family, mut block) = match (source.ip(), destination.ip()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => {
                (0x11, [source.octets(), destination.octets()].concat())
            }
            (IpAddr::V6(source), IpAddr::V6(destination)) => {
                (0x21, [source.octets(), destination.octets()].concat())
            }
            (IpAddr::V4(_), IpAddr::V6(_)) | (IpAddr::V6(_), IpAddr::V4(_)) => {
                panic!("{source} and {destination} are of two families")
            }
        };
        block.extend(source.port().to_be_bytes());
        block.extend(destination.port().to_be_bytes());
        Self::of([0x21, family], &block)
    }

    /// With this value behind what it has.
    pub fn tlv(mut self, kind: u8, value: &[u8]) -> Self {
        self.block.push(kind);
        self.block.extend(length(value));
        self.block.extend(value);
        self
    }

    /// With a checksum at its end, in which the bits of `error` are wrong.
    pub fn checksum(self, error: u32) -> Self {
        let mut header = self.tlv(0x03, &[0; 4]);
        let sum = crc32c(&header.bytes()) ^ error;
        header.block.truncate(header.block.len() - 4);
        header.block.extend(sum.to_be_bytes());
        header
    }

    /// Filled up with NOOP to `total` bytes.
    pub fn padded(self, total: usize) -> Self {
        let missing = total.checked_sub(self.bytes().len() + 3).expect("room for a NOOP");
        self.tlv(0x04, &vec![0; missing])
    }

    /// As it goes over the wire.
    pub fn bytes(&self) -> Vec<u8> {
        [b"\r\n\r\n\0\r\nQUIT\n", &self.kind[..], &length(&self.block), &self.block].concat()
    }
}

fn length(bytes: &[u8]) -> [u8; 2] {
    u16::try_from(bytes.len()).expect("it fits the field").to_be_bytes()
}

/// Bit by bit, by the polynomial of RFC 9260 appendix A.
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |sum: u32, _bit| if sum & 1 == 1 { sum >> 1 ^ 0x82F6_3B78 } else { sum >> 1 };
    !bytes.iter().fold(!0, |sum: u32, &byte| (0..8).fold(sum ^ u32::from(byte), step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_as_the_specification_has_it() {
        let ends = ["192.0.2.1:258", "192.0.2.2:772"].map(|end| end.parse().unwrap());
        let header = ProxyHeader::tcp(ends[0], ends[1]).tlv(0xE0, b"x");
        let expected =
            b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x10\xC0\0\x02\x01\xC0\0\x02\x02\x01\x02\x03\x04\xE0\0\x01x";
        assert_eq!(header.bytes(), expected);
        assert_eq!(header.padded(100).bytes().len(), 100);
        assert_eq!(crc32c(b"123456789"), 0xE306_9283, "the check value of catalogues");
    }
}
