//! The extensions of a ClientHello (RFC 8446 §4.2), two of which are of interest: server_name and ALPN.

use std::iter;

use lb_model::{InvalidServerName, ServerName};

use super::{ClientHello, InvalidHello};
use crate::sniff::reader::Reader;

const SERVER_NAME: u16 = 0;
const ALPN: u16 = 16;

/// Types and contents, no type twice.
pub(super) struct Extensions<'a>(Vec<(u16, &'a [u8])>);

impl<'a> Extensions<'a> {
    pub(super) fn parse(list: &'a [u8]) -> Result<Self, InvalidHello> {
        let mut reader = Reader::new(list);
        let mut extensions = Vec::new();
        while !reader.is_empty() {
            let extension = reader.u16().zip(reader.vector_u16());
            extensions.push(extension.ok_or(InvalidHello::Malformed("list of extensions"))?);
        }
        // A hello of 16 KiB has room for thousands of them: too many to compare each with each.
        extensions.sort_unstable_by_key(|&(kind, _)| kind);
        let mut neighbours = extensions.iter().zip(extensions.iter().skip(1));
        match neighbours.find(|((kind, _), (next, _))| kind == next) {
            Some(((kind, _), _)) => Err(InvalidHello::DuplicateExtension(*kind)),
            None => Ok(Self(extensions)),
        }
    }

    pub(super) fn client_hello(&self) -> Result<ClientHello, InvalidHello> {
        Ok(ClientHello {
            server_name: self.get(SERVER_NAME).map(server_name).transpose()?.flatten(),
            alpn: self.get(ALPN).map(AlpnProtocols::parse).transpose()?.unwrap_or_default(),
        })
    }

    fn get(&self, wanted: u16) -> Option<&'a [u8]> {
        self.0.iter().find_map(|&(kind, content)| (kind == wanted).then_some(content))
    }
}

/// Reads a server_name extension (RFC 6066 §3).
fn server_name(content: &[u8]) -> Result<Option<ServerName>, InvalidHello> {
    const HOST_NAME: u8 = 0;

    let malformed = InvalidHello::Malformed("server_name extension");
    let mut names = Reader::new(list(content).ok_or(malformed.clone())?);
    let mut host = None;
    while !names.is_empty() {
        // Only one type of name is defined; any others "MUST begin with a 16-bit length field" as well.
        let (kind, name) = names.u8().zip(names.vector_u16()).ok_or(malformed.clone())?;
        if kind == HOST_NAME && host.replace(name).is_some() {
            return Err(InvalidHello::SecondServerName);
        }
    }
    let Some(host) = host else { return Ok(None) };
    if host.is_empty() {
        return Err(malformed);
    }
    match String::from_utf8_lossy(host).parse() {
        Ok(name) => Ok(Some(name)),
        Err(InvalidServerName::IpAddress(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// The content of an extension that is one list, never empty.
fn list(content: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(content);
    let list = reader.vector_u16()?;
    (reader.is_empty() && !list.is_empty()).then_some(list)
}

/// The protocols that a client offers by ALPN (RFC 7301), in the order of its preference.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct AlpnProtocols {
    /// Each behind its length, as on the wire; all whole, none empty.
    wire: Box<[u8]>,
}

impl AlpnProtocols {
    /// The names, such as `h2` and `http/1.1`; none if the client did not say.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let mut reader = Reader::new(&self.wire);
        iter::from_fn(move || reader.vector_u8())
    }

    /// Whether `protocol` is one of them.
    pub fn contains(&self, protocol: &[u8]) -> bool {
        self.iter().any(|offered| offered == protocol)
    }

    fn parse(content: &[u8]) -> Result<Self, InvalidHello> {
        let malformed = InvalidHello::Malformed("ALPN extension");
        let wire = list(content).ok_or(malformed.clone())?;
        let mut reader = Reader::new(wire);
        while !reader.is_empty() {
            reader.vector_u8().filter(|protocol| !protocol.is_empty()).ok_or(malformed.clone())?;
        }
        Ok(Self { wire: wire.into() })
    }
}
