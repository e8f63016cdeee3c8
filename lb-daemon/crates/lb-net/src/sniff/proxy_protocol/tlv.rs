//! What version 2 can tell beside addresses: typed values (§2.2.1 to §2.2.8), and the checksum that is one of
//! them.

use std::iter;

use super::InvalidHeader;
use super::crc32c::crc32c;
use crate::sniff::reader::Reader;

const ALPN: u8 = 0x01;
const AUTHORITY: u8 = 0x02;
const CRC32C: u8 = 0x03;
const NOOP: u8 = 0x04;
const UNIQUE_ID: u8 = 0x05;
const SSL: u8 = 0x20;
const NETNS: u8 = 0x30;

/// One value. Padding (NOOP) and the checksum are not among them: they concern nobody but the header's reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tlv<'a> {
    /// The protocol above, as negotiated by ALPN.
    Alpn(&'a [u8]),
    /// The host that the client asked for, such as the name in SNI.
    Authority(&'a str),
    /// What the sender calls the connection; at most [`Tlv::MAX_UNIQUE_ID`] bytes.
    UniqueId(&'a [u8]),
    /// How the client did TLS with the sender.
    Ssl(Ssl<'a>),
    /// The sender's network namespace; US-ASCII.
    Netns(&'a str),
    /// Another.
    Other(RawTlv<'a>),
}

/// A value that nobody has looked into.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RawTlv<'a> {
    /// The type; 0xE0 to 0xEF are for applications.
    pub kind: u8,
    /// Its bytes.
    pub value: &'a [u8],
}

/// How a client did TLS with the sender (§2.2.6).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ssl<'a> {
    /// Bits: 1 if over TLS at all, 2 if a certificate came with this connection, 4 if with some connection of its
    /// session.
    pub client: u8,
    /// Zero if the client showed a certificate and that was verified.
    pub verify: u32,
    /// Whole TLVs, back to back.
    details: &'a [u8],
}

impl<'a> Ssl<'a> {
    /// The details, such as version (0x21), client's common name (0x22) and cipher (0x23).
    pub fn details(&self) -> impl Iterator<Item = RawTlv<'a>> + use<'a> {
        whole_tlvs(self.details)
    }

    fn decode(value: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(value);
        let (client, verify, details) = (reader.u8()?, reader.u32()?, reader.rest());
        while !reader.is_empty() {
            RawTlv::read(&mut reader)?;
        }
        Some(Self { client, verify, details })
    }

    fn encode(&self) -> Vec<u8> {
        [&[self.client][..], &self.verify.to_be_bytes(), self.details].concat()
    }
}

/// The values of a header, all of them checked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tlvs<'a>(&'a [u8]);

/// What is wrong with a TLV.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidTlv {
    /// It goes on behind the end of what it is in.
    #[error("has a TLV that is longer than what is left")]
    Truncated,
    /// Its value is none that the type can have.
    #[error("has a TLV of type {kind:#04x} whose {length} bytes are not {expected}")]
    Value {
        /// The type.
        kind: u8,
        /// What would have been valid.
        expected: &'static str,
        /// Of the value.
        length: usize,
    },
    /// There is more than one checksum.
    #[error("has two checksums; expected at most one")]
    SecondChecksum,
    /// As a [`Tlv::Other`], this type would be read as something else.
    #[error("cannot have an application's TLV of type {0:#04x}; expected 0xe0 to 0xef")]
    Kind(u8),
}

impl<'a> Tlvs<'a> {
    /// A checksum that is still to be filled in.
    pub(super) const ZERO_CHECKSUM: [u8; 7] = [CRC32C, 0, 4, 0, 0, 0, 0];

    /// In the order of the header.
    pub fn iter(&self) -> impl Iterator<Item = Tlv<'a>> + use<'a> {
        whole_tlvs(self.0).filter_map(|raw| raw.decode().ok().flatten())
    }

    /// Those in the whole header `header` from the byte `start` on. Checks every one, and the checksum if there is
    /// one.
    pub(super) fn parse(header: &'a [u8], start: usize) -> Result<Self, InvalidHeader> {
        let tlvs = Self(header.get(start..).unwrap_or_default());
        let mut reader = Reader::new(tlvs.0);
        let mut checksum = None;
        while !reader.is_empty() {
            let raw = RawTlv::read(&mut reader).ok_or(InvalidTlv::Truncated)?;
            raw.decode()?;
            if raw.kind == CRC32C && checksum.replace((raw.value, header.len() - reader.len())).is_some() {
                return Err(InvalidTlv::SecondChecksum.into());
            }
        }
        checksum.map_or(Ok(()), |(value, end)| check(header, value, end))?;
        Ok(tlvs)
    }
}

/// Checks the checksum `value`, which ends at the byte `end` of `header` and counts as zeros.
fn check(header: &[u8], value: &[u8], end: usize) -> Result<(), InvalidHeader> {
    let claimed = value.iter().fold(0, |claimed, &byte| claimed << 8 | u32::from(byte));
    let before = header.iter().take(end - value.len());
    let behind = header.iter().skip(end);
    let actual = crc32c(before.chain(&[0; 4]).chain(behind));
    if claimed == actual { Ok(()) } else { Err(InvalidHeader::Checksum { claimed, actual }) }
}

fn whole_tlvs(bytes: &[u8]) -> impl Iterator<Item = RawTlv<'_>> {
    let mut reader = Reader::new(bytes);
    iter::from_fn(move || RawTlv::read(&mut reader))
}

impl<'a> RawTlv<'a> {
    fn read(reader: &mut Reader<'a>) -> Option<Self> {
        Some(Self { kind: reader.u8()?, value: reader.vector_u16()? })
    }

    /// What it says; `None` if it is padding or the checksum.
    fn decode(self) -> Result<Option<Tlv<'a>>, InvalidTlv> {
        let Self { kind, value } = self;
        let wrong = |expected| InvalidTlv::Value { kind, expected, length: value.len() };
        let text = || std::str::from_utf8(value).ok();
        let tlv = match kind {
            NOOP => return Ok(None),
            CRC32C if value.len() == 4 => return Ok(None),
            CRC32C => return Err(wrong("a checksum of 4 bytes")),
            ALPN => Tlv::Alpn(value),
            AUTHORITY => Tlv::Authority(text().ok_or_else(|| wrong("UTF-8"))?),
            UNIQUE_ID if value.len() > Tlv::MAX_UNIQUE_ID => return Err(wrong("an id of at most 128 bytes")),
            UNIQUE_ID => Tlv::UniqueId(value),
            SSL => Tlv::Ssl(Ssl::decode(value).ok_or_else(|| wrong("a description of TLS"))?),
            NETNS => Tlv::Netns(text().filter(|text| text.is_ascii()).ok_or_else(|| wrong("US-ASCII"))?),
            _ => Tlv::Other(self),
        };
        Ok(Some(tlv))
    }
}

impl Tlv<'_> {
    /// Longest unique id in bytes.
    pub const MAX_UNIQUE_ID: usize = 128;

    /// Appends it to `block`.
    pub(super) fn encode(&self, block: &mut Vec<u8>) -> Result<(), InvalidTlv> {
        let ssl;
        let (kind, value) = match self {
            Self::Alpn(protocol) => (ALPN, *protocol),
            Self::Authority(host) => (AUTHORITY, host.as_bytes()),
            Self::UniqueId(id) => (UNIQUE_ID, *id),
            Self::Ssl(description) => {
                ssl = description.encode();
                (SSL, &*ssl)
            }
            Self::Netns(name) => (NETNS, name.as_bytes()),
            Self::Other(raw) => (raw.kind, raw.value),
        };
        let raw = RawTlv { kind, value };
        if raw.decode()?.as_ref() != Some(self) {
            return Err(InvalidTlv::Kind(kind));
        }
        block.push(kind);
        // A longer one makes the header too long anyway.
        block.extend(u16::try_from(value.len()).unwrap_or(u16::MAX).to_be_bytes());
        block.extend(value);
        Ok(())
    }
}
