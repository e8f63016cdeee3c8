//! The PROXY protocol, versions 1 and 2: how a proxy tells a server between which endpoints the connection is that
//! it relays. Sections are those of <https://www.haproxy.org/download/3.2/doc/proxy-protocol.txt>.
//!
//! Whoever sends such a header can claim any address: it must be expected from trusted peers only, and from those
//! always (§2, "MUST not try to guess").

mod crc32c;
mod tlv;
mod v1;
mod v2;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

pub use self::tlv::{InvalidTlv, RawTlv, Ssl, Tlv, Tlvs};
use crate::sniff::Progress;

/// Longest header that is accepted or written, in bytes: room for every TLV but whole certificates. nginx has the
/// same limit.
pub const MAX_LENGTH: usize = 4096;

/// The header of a connection that the proxy opened for itself, such as a health check: its endpoints are the real
/// ones (§2.2, LOCAL).
pub const LOCAL: [u8; 16] = v2::LOCAL;

/// [`LOCAL`] in version 1, as near as that can say it (§2.1).
pub const UNKNOWN: &[u8] = b"PROXY UNKNOWN\r\n";

/// What a header says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Header<'a> {
    /// Between whom the relayed connection is. `None` if the header does not say it in IP addresses (LOCAL,
    /// UNKNOWN, AF_UNSPEC, AF_UNIX): the connection's own endpoints count.
    pub endpoints: Option<Endpoints>,
    /// What is relayed.
    pub transport: Transport,
    /// What else the sender tells. Always empty for version 1, and where the addresses are of unknown length
    /// (LOCAL, AF_UNSPEC).
    pub tlvs: Tlvs<'a>,
}

/// The two ends of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Endpoints {
    /// Who connected.
    pub source: SocketAddr,
    /// To whom.
    pub destination: SocketAddr,
}

/// What a relayed connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Transport {
    /// A byte stream, such as TCP; also assumed where the header does not say.
    Stream,
    /// Datagrams, such as UDP.
    Datagram,
}

/// Whether a written header has a checksum.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Checksum {
    /// No: TCP's will do.
    Omit,
    /// CRC32c over the whole header (§2.2.3).
    Crc32c,
}

/// Why bytes are no PROXY protocol header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHeader {
    /// They are neither version.
    #[error(
        "no PROXY protocol header; expected \"PROXY \" or the signature of version 2: does the peer send it?"
    )]
    NoHeader,
    /// A line of version 1 is not as it should be.
    #[error("the PROXY protocol line has {0}")]
    Line(&'static str),
    /// The line does not end in time.
    #[error("the PROXY protocol line does not end with CR LF within {max} bytes", max = v1::MAX_LENGTH)]
    LineTooLong,
    /// Another version.
    #[error("PROXY protocol version {0} behind the signature of version 2; expected 2")]
    Version(u8),
    /// An unassigned command.
    #[error("PROXY protocol command {0} is not known; expected LOCAL (0) or PROXY (1)")]
    Command(u8),
    /// An unassigned address family.
    #[error("PROXY protocol address family {0} is not known; expected 0 to 3")]
    Family(u8),
    /// An unassigned transport protocol.
    #[error("PROXY protocol transport {0} is not known; expected 0 to 2")]
    Transport(u8),
    /// More than is accepted.
    #[error("the PROXY protocol header claims to have {0} bytes; expected at most {MAX_LENGTH}")]
    TooLong(usize),
    /// Less than its addresses need.
    #[error("the PROXY protocol header claims to have {length} bytes, but its addresses alone need {needed}")]
    TooShort {
        /// What it claims.
        length: usize,
        /// With the addresses, without any TLV.
        needed: usize,
    },
    /// A TLV is wrong.
    #[error("the PROXY protocol header {0}")]
    Tlv(#[from] InvalidTlv),
    /// What came is not what was sent.
    #[error("the PROXY protocol header's CRC32c is {claimed:#010x}, but its bytes have {actual:#010x}")]
    Checksum {
        /// What the header says.
        claimed: u32,
        /// What it is.
        actual: u32,
    },
}

/// Why a header cannot be written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// Its TLVs take too much.
    #[error("the PROXY protocol header would have {0} bytes; at most {MAX_LENGTH} are possible")]
    TooLong(usize),
    /// A TLV that no receiver would accept.
    #[error("the PROXY protocol header {0}")]
    Tlv(#[from] InvalidTlv),
}

/// The header at the start of `bytes`, of either version. It is checked strictly; what cannot become a header any
/// more is invalid at once, before its end has come.
pub fn parse(bytes: &[u8]) -> Result<Progress<Header<'_>>, InvalidHeader> {
    match bytes.first() {
        None => Ok(Progress::NeedMore { at_most: MAX_LENGTH }),
        Some(b'P') => v1::parse(bytes),
        Some(b'\r') => v2::parse(bytes),
        Some(_) => Err(InvalidHeader::NoHeader),
    }
}

/// A line of version 1, which is for TCP. An IPv4 address beside an IPv6 address is written IPv4-mapped.
pub fn encode_v1(endpoints: Endpoints) -> Vec<u8> {
    v1::encode(endpoints)
}

/// A header of version 2. An IPv4 address beside an IPv6 address is written IPv4-mapped.
pub fn encode_v2(
    endpoints: Endpoints,
    transport: Transport,
    tlvs: &[Tlv<'_>],
    checksum: Checksum,
) -> Result<Vec<u8>, EncodeError> {
    v2::encode(endpoints, transport, tlvs, checksum)
}

/// The addresses of two endpoints in one family, as headers have them.
enum Addresses {
    V4 { source: Ipv4Addr, destination: Ipv4Addr },
    V6 { source: Ipv6Addr, destination: Ipv6Addr },
}

impl Endpoints {
    /// IPv4-mapped addresses become the IPv4 addresses that they are: there is one form of each client's address,
    /// whatever the sender made of it.
    fn new(source: (impl Into<IpAddr>, u16), destination: (impl Into<IpAddr>, u16)) -> Self {
        let canonical = |ip: IpAddr, port| SocketAddr::new(ip.to_canonical(), port);
        Self {
            source: canonical(source.0.into(), source.1),
            destination: canonical(destination.0.into(), destination.1),
        }
    }

    fn addresses(self) -> Addresses {
        match (self.source.ip().to_canonical(), self.destination.ip().to_canonical()) {
            (IpAddr::V4(source), IpAddr::V4(destination)) => Addresses::V4 { source, destination },
            (source, destination) => {
                Addresses::V6 { source: mapped(source), destination: mapped(destination) }
            }
        }
    }
}

fn mapped(ip: IpAddr) -> Ipv6Addr {
    match ip {
        IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        IpAddr::V6(v6) => v6,
    }
}

#[cfg(test)]
mod tests;
