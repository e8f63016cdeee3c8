//! Version 2: binary (§2.2).

use std::net::{Ipv4Addr, Ipv6Addr};

use super::crc32c::crc32c;
use super::{
    Addresses, Checksum, EncodeError, Endpoints, Header, InvalidHeader, MAX_LENGTH, Tlv, Tlvs, Transport,
};
use crate::sniff::Progress;
use crate::sniff::reader::Reader;

const SIGNATURE: [u8; 12] = *b"\r\n\r\n\0\r\nQUIT\n";
const VERSION: u8 = 2;
/// Signature, version and command, family and transport, length.
const FIXED: usize = 16;

/// LOCAL, AF_UNSPEC, no addresses.
pub(super) const LOCAL: [u8; FIXED] = *b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// `bytes` begins with a CR.
pub(super) fn parse(bytes: &[u8]) -> Result<Progress<Header<'_>>, InvalidHeader> {
    let mut reader = Reader::new(bytes);
    let Some(signature) = reader.array() else {
        return if SIGNATURE.starts_with(bytes) { Ok(NEED_MORE) } else { Err(InvalidHeader::NoHeader) };
    };
    if signature != SIGNATURE {
        return Err(InvalidHeader::NoHeader);
    }
    let Some(byte) = reader.u8() else { return Ok(NEED_MORE) };
    let command = Command::parse(byte)?;
    let Some(byte) = reader.u8() else { return Ok(NEED_MORE) };
    let block = Block::parse(command, byte)?;
    let Some(length) = reader.u16() else { return Ok(NEED_MORE) };
    let length = FIXED + usize::from(length);
    block.check(length)?;
    match bytes.get(..length) {
        Some(header) => Ok(Progress::Done { value: block.read(header)?, length }),
        None => Ok(Progress::NeedMore { at_most: length }),
    }
}

const NEED_MORE: Progress<Header<'_>> = Progress::NeedMore { at_most: MAX_LENGTH };

#[derive(Debug, Clone, Copy)]
enum Command {
    Local,
    Proxy,
}

impl Command {
    fn parse(byte: u8) -> Result<Self, InvalidHeader> {
        match (byte >> 4, byte & 0xF) {
            (VERSION, 0) => Ok(Self::Local),
            (VERSION, 1) => Ok(Self::Proxy),
            (VERSION, command) => Err(InvalidHeader::Command(command)),
            (version, _) => Err(InvalidHeader::Version(version)),
        }
    }
}

/// What follows the fixed part.
#[derive(Debug, Clone, Copy)]
enum Block {
    /// Nothing that means anything to us.
    Ignored,
    /// Addresses, ports, TLVs.
    Inet(Transport),
    /// Addresses, ports, TLVs.
    Inet6(Transport),
    /// Paths, TLVs.
    Unix(Transport),
}

impl Block {
    fn parse(command: Command, family_and_transport: u8) -> Result<Self, InvalidHeader> {
        let (family, transport) = (family_and_transport >> 4, family_and_transport & 0xF);
        // LOCAL: "discard the protocol block including the family which is ignored".
        let Command::Proxy = command else { return Ok(Self::Ignored) };
        let transport = match transport {
            0 => None,
            1 => Some(Transport::Stream),
            2 => Some(Transport::Datagram),
            unassigned => return Err(InvalidHeader::Transport(unassigned)),
        };
        match (family, transport) {
            (0..=3, None) | (0, _) => Ok(Self::Ignored),
            (1, Some(transport)) => Ok(Self::Inet(transport)),
            (2, Some(transport)) => Ok(Self::Inet6(transport)),
            (3, Some(transport)) => Ok(Self::Unix(transport)),
            (unassigned, _) => Err(InvalidHeader::Family(unassigned)),
        }
    }

    /// The length of the header without any TLV.
    fn needed(self) -> usize {
        FIXED
            + match self {
                Self::Ignored => 0,
                Self::Inet(_) => 2 * 4 + 2 * 2,
                Self::Inet6(_) => 2 * 16 + 2 * 2,
                Self::Unix(_) => 2 * 108,
            }
    }

    /// Checks what the header says of its own length.
    fn check(self, length: usize) -> Result<(), InvalidHeader> {
        let needed = self.needed();
        if length > MAX_LENGTH {
            return Err(InvalidHeader::TooLong(length));
        }
        if length < needed { Err(InvalidHeader::TooShort { length, needed }) } else { Ok(()) }
    }

    /// Reads a whole header.
    fn read(self, header: &[u8]) -> Result<Header<'_>, InvalidHeader> {
        let addresses = Reader::new(header.get(FIXED..).unwrap_or_default());
        let too_short = InvalidHeader::TooShort { length: header.len(), needed: self.needed() };
        let (endpoints, transport) = match self {
            Self::Ignored => {
                return Ok(Header { endpoints: None, transport: Transport::Stream, tlvs: Tlvs::default() });
            }
            Self::Inet(transport) => (Some(endpoints::<4, Ipv4Addr>(addresses).ok_or(too_short)?), transport),
            Self::Inet6(transport) => {
                (Some(endpoints::<16, Ipv6Addr>(addresses).ok_or(too_short)?), transport)
            }
            Self::Unix(transport) => (None, transport),
        };
        let tlvs = Tlvs::parse(header, self.needed())?;
        Ok(Header { endpoints, transport, tlvs })
    }
}

/// Reads two addresses, then two ports.
fn endpoints<const N: usize, A: From<[u8; N]> + Into<std::net::IpAddr>>(
    mut reader: Reader<'_>,
) -> Option<Endpoints> {
    let (source, destination) = (A::from(reader.array()?), A::from(reader.array()?));
    Some(Endpoints::new((source, reader.u16()?), (destination, reader.u16()?)))
}

pub(super) fn encode(
    endpoints: Endpoints,
    transport: Transport,
    tlvs: &[Tlv<'_>],
    checksum: Checksum,
) -> Result<Vec<u8>, EncodeError> {
    let mut block = addresses(endpoints);
    for tlv in tlvs {
        tlv.encode(&mut block)?;
    }
    if checksum == Checksum::Crc32c {
        block.extend(Tlvs::ZERO_CHECKSUM);
    }
    let length = FIXED + block.len();
    let claimed = u16::try_from(block.len()).ok().filter(|_| length <= MAX_LENGTH);
    let claimed = claimed.ok_or(EncodeError::TooLong(length))?;
    let family = match endpoints.addresses() {
        Addresses::V4 { .. } => 1,
        Addresses::V6 { .. } => 2,
    };
    let transport = match transport {
        Transport::Stream => 1,
        Transport::Datagram => 2,
    };
    let mut header =
        [&SIGNATURE[..], &[VERSION << 4 | 1, family << 4 | transport], &claimed.to_be_bytes(), &block]
            .concat();
    if checksum == Checksum::Crc32c {
        let sum = crc32c(&header);
        header.truncate(length - size_of_val(&sum));
        header.extend(sum.to_be_bytes());
    }
    Ok(header)
}

/// Two addresses, then two ports.
fn addresses(endpoints: Endpoints) -> Vec<u8> {
    let mut block = match endpoints.addresses() {
        Addresses::V4 { source, destination } => [source.octets(), destination.octets()].concat(),
        Addresses::V6 { source, destination } => [source.octets(), destination.octets()].concat(),
    };
    block.extend(endpoints.source.port().to_be_bytes());
    block.extend(endpoints.destination.port().to_be_bytes());
    block
}
