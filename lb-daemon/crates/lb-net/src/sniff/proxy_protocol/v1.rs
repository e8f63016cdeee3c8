//! Version 1: a line of text (§2.1).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{Addresses, Endpoints, Header, InvalidHeader, Tlvs, Transport};
use crate::sniff::Progress;

/// Longest line with its CR LF, in bytes.
pub(super) const MAX_LENGTH: usize = 107;

/// What the line is about.
#[derive(Debug, Clone, Copy)]
enum Protocol {
    Tcp4,
    Tcp6,
    Unknown,
}

/// `bytes` begins with a P.
pub(super) fn parse(bytes: &[u8]) -> Result<Progress<Header<'_>>, InvalidHeader> {
    let seen = bytes.get(..MAX_LENGTH).unwrap_or(bytes);
    let Some((protocol, rest)) = protocol(seen)? else {
        return Ok(Progress::NeedMore { at_most: MAX_LENGTH });
    };
    let Some(fields) = before_line_end(protocol, rest)? else {
        let is_full = seen.len() == MAX_LENGTH;
        return if is_full {
            Err(InvalidHeader::LineTooLong)
        } else {
            Ok(Progress::NeedMore { at_most: MAX_LENGTH })
        };
    };
    let endpoints = match protocol {
        Protocol::Tcp4 => Some(endpoints::<Ipv4Addr>(fields)?),
        Protocol::Tcp6 => Some(endpoints::<Ipv6Addr>(fields)?),
        Protocol::Unknown => None,
    };
    let length = seen.len() - rest.len() + fields.len() + b"\r\n".len();
    Ok(Progress::Done {
        value: Header { endpoints, transport: Transport::Stream, tlvs: Tlvs::default() },
        length,
    })
}

/// The protocol and what follows it; `None` if it is not whole yet.
fn protocol(line: &[u8]) -> Result<Option<(Protocol, &[u8])>, InvalidHeader> {
    const STARTS: [(&[u8], Protocol); 3] = [
        (b"PROXY TCP4 ", Protocol::Tcp4),
        (b"PROXY TCP6 ", Protocol::Tcp6),
        (b"PROXY UNKNOWN", Protocol::Unknown),
    ];
    if let Some(found) =
        STARTS.iter().find_map(|&(start, protocol)| Some((protocol, line.strip_prefix(start)?)))
    {
        return Ok(Some(found));
    }
    if STARTS.iter().any(|(start, _)| start.starts_with(line)) {
        return Ok(None);
    }
    let has_name = line.starts_with(b"PROXY ");
    Err(if has_name {
        InvalidHeader::Line("an unknown protocol; expected TCP4, TCP6 or UNKNOWN")
    } else {
        InvalidHeader::NoHeader
    })
}

/// `rest` up to the CR LF; `None` if that has not come yet.
fn before_line_end(protocol: Protocol, rest: &[u8]) -> Result<Option<&[u8]>, InvalidHeader> {
    let is_address_byte = |&byte: &u8| byte.is_ascii_hexdigit() || b".: ".contains(&byte);
    let end = match (protocol, rest) {
        // Whatever it says is to be ignored.
        (Protocol::Unknown, [b' ', ..]) => {
            rest.windows(2).position(|pair| pair == b"\r\n").unwrap_or(rest.len())
        }
        (Protocol::Unknown, _) => 0,
        (Protocol::Tcp4 | Protocol::Tcp6, _) => rest.iter().take_while(|byte| is_address_byte(byte)).count(),
    };
    match rest.split_at_checked(end) {
        Some((fields, [b'\r', b'\n', ..])) => Ok(Some(fields)),
        Some((_, [] | [b'\r'])) => Ok(None),
        _ => Err(InvalidHeader::Line("a byte that is neither of an address nor of a port nor CR LF")),
    }
}

/// Reads two addresses, then two ports.
fn endpoints<A: std::str::FromStr + Into<IpAddr>>(fields: &[u8]) -> Result<Endpoints, InvalidHeader> {
    let missing = InvalidHeader::Line("other than two addresses and two ports, each after one space");
    let fields: Vec<&[u8]> = fields.split(|&byte| byte == b' ').collect();
    let [source, destination, source_port, destination_port] = *fields else { return Err(missing) };
    Ok(Endpoints::new(
        (address::<A>(source)?, port(source_port)?),
        (address::<A>(destination)?, port(destination_port)?),
    ))
}

/// Also takes an IPv6 address that ends as an IPv4 address, as inet_ntop writes those that are mapped.
fn address<A: std::str::FromStr>(field: &[u8]) -> Result<A, InvalidHeader> {
    let address = std::str::from_utf8(field).ok().and_then(|text| text.parse().ok());
    address.ok_or(InvalidHeader::Line("an address that is not one of its protocol"))
}

/// Without zeros in front, and without a sign, which `parse` alone would take.
fn port(field: &[u8]) -> Result<u16, InvalidHeader> {
    let is_canonical = matches!(field, [b'0'] | [b'1'..=b'9', ..]);
    let number = std::str::from_utf8(field).ok().and_then(|text| text.parse().ok());
    number.filter(|_| is_canonical).ok_or(InvalidHeader::Line("a port that is no number from 0 to 65535"))
}

pub(super) fn encode(endpoints: Endpoints) -> Vec<u8> {
    let (from, to) = (endpoints.source.port(), endpoints.destination.port());
    let line = match endpoints.addresses() {
        Addresses::V4 { source, destination } => format!("PROXY TCP4 {source} {destination} {from} {to}\r\n"),
        Addresses::V6 { source, destination } => {
            format!("PROXY TCP6 {} {} {from} {to}\r\n", hexadecimal(source), hexadecimal(destination))
        }
    };
    line.into_bytes()
}

/// The specification knows no other than hexadecimal groups, but `Display` writes the end of a mapped address as
/// IPv4.
fn hexadecimal(ip: Ipv6Addr) -> String {
    match ip.to_ipv4_mapped() {
        Some(_) => ip.segments().map(|group| format!("{group:x}")).join(":"),
        None => ip.to_string(),
    }
}
