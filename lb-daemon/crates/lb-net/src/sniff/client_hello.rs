//! The ClientHello with which a TLS client begins (RFC 8446 §4.1.2, RFC 5246 §7.4.1.2), as far as it says whom the
//! client wants. It is whole and well-formed, or the client gets the [alert](InvalidHello::alert) that a TLS
//! server would send.
//!
//! With Encrypted ClientHello this is the outer one, whose name is the front's.

mod extensions;
mod records;

use std::borrow::Cow;

use lb_model::{InvalidServerName, ServerName};

pub use self::extensions::AlpnProtocols;
use self::extensions::Extensions;
use self::records::Records;
use crate::sniff::Progress;
use crate::sniff::alert::Alert;
use crate::sniff::reader::Reader;

/// How long a hello may be by default, with the headers of its records, in bytes. Those with post-quantum keys
/// have some 2 KiB.
pub const DEFAULT_LIMIT: usize = 16 * 1024;

/// What a client asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientHello {
    /// The server's name (SNI, RFC 6066 §3). `None` also for an IP address, which some clients send although it is
    /// not permitted.
    pub server_name: Option<ServerName>,
    /// The protocols that the client offers to speak above TLS.
    pub alpn: AlpnProtocols,
}

/// Why bytes are no ClientHello.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHello {
    /// They are not TLS at all, or SSL 2.0.
    #[error("not TLS; expected a handshake record with a ClientHello")]
    NotTls,
    /// A record of another type.
    #[error("a TLS record of type {0} in place of the ClientHello (22)")]
    UnexpectedRecord(u8),
    /// A record without content, which handshakes must not have.
    #[error("an empty TLS record in the ClientHello")]
    EmptyRecord,
    /// A record that is longer than records may be.
    #[error("a TLS record of {0} bytes; at most 16384 are allowed")]
    RecordTooLong(u16),
    /// Another handshake message.
    #[error("a TLS handshake message of type {0} in place of the ClientHello (1)")]
    UnexpectedMessage(u8),
    /// More than the limit.
    #[error("a ClientHello of more than {limit} bytes")]
    TooLong {
        /// The limit.
        limit: usize,
    },
    /// A record that is none of TLS, behind one that is.
    #[error("a TLS record of major version {0}; expected 3")]
    RecordVersion(u8),
    /// SSL 3.0 or earlier.
    #[error("TLS version {0:#06x}; expected at least TLS 1.0 (0x0301)")]
    Version(u16),
    /// It cannot be taken apart.
    #[error("a ClientHello whose {0} is malformed")]
    Malformed(&'static str),
    /// An extension that is there twice.
    #[error("a ClientHello with two extensions of type {0}")]
    DuplicateExtension(u16),
    /// More than one host name.
    #[error("a ClientHello that asks for two server names")]
    SecondServerName,
    /// A server name that no server can have.
    #[error("a ClientHello that asks for an impossible server name")]
    ServerName(#[from] InvalidServerName),
}

impl InvalidHello {
    /// What to tell the client, if it would understand.
    pub fn alert(&self) -> Option<Alert> {
        match self {
            Self::NotTls => None,
            Self::UnexpectedRecord(_) | Self::EmptyRecord | Self::UnexpectedMessage(_) => {
                Some(Alert::UnexpectedMessage)
            }
            Self::RecordTooLong(_) => Some(Alert::RecordOverflow),
            Self::RecordVersion(_) | Self::Version(_) => Some(Alert::ProtocolVersion),
            Self::Malformed(_) => Some(Alert::DecodeError),
            // For messages that are too long this is what OpenSSL and BoringSSL send; no RFC says.
            Self::TooLong { .. }
            | Self::DuplicateExtension(_)
            | Self::SecondServerName
            | Self::ServerName(_) => Some(Alert::IllegalParameter),
        }
    }
}

/// The ClientHello at the start of `bytes`, whatever records it is cut into. It may have `limit` bytes with their
/// headers. What cannot become a hello any more is invalid at once, before its end has come.
///
/// Every call looks at the headers of the records from the start, but reads the message only once it is whole. A
/// record with content has six bytes or more, so even for a client that sends the shortest records byte by byte, a
/// call takes no more than `limit / 6` steps: a few microseconds.
pub fn parse(bytes: &[u8], limit: usize) -> Result<Progress<ClientHello>, InvalidHello> {
    let seen = bytes.get(..limit).unwrap_or(bytes);
    if !begins_like_tls(seen) {
        return Err(InvalidHello::NotTls);
    }
    let mut records = Records::new(seen);
    let (mut head, mut have) = ([0; HEAD], 0);
    while let Some(fragment) = records.next().transpose()? {
        head.iter_mut().skip(have).zip(fragment).for_each(|(to, from)| *to = *from);
        have += fragment.len();
        let length = message_length(head, have, limit)?;
        if let Some(surplus) = length.and_then(|length| have.checked_sub(length)) {
            let value = read(&message(seen, have - surplus))?;
            return Ok(Progress::Done { value, length: seen.len() - records.left() - surplus });
        }
    }
    if seen.len() < limit {
        Ok(Progress::NeedMore { at_most: limit })
    } else {
        Err(InvalidHello::TooLong { limit })
    }
}

/// Whether a handshake record begins so, or a record of another type, which is wrong whatever follows.
fn begins_like_tls(bytes: &[u8]) -> bool {
    matches!(bytes, [] | [20 | 21 | 23, ..] | [22] | [22, 3, ..])
}

/// Type and length of a handshake message take so many bytes.
const HEAD: usize = 4;

/// The length of the message that begins with `head`, of which `have` bytes have come, with its head; `None` if it
/// is not known yet.
fn message_length(head: [u8; HEAD], have: usize, limit: usize) -> Result<Option<usize>, InvalidHello> {
    const CLIENT_HELLO: u8 = 1;

    let [kind, length @ ..] = head;
    if have > 0 && kind != CLIENT_HELLO {
        return Err(InvalidHello::UnexpectedMessage(kind));
    }
    if have < HEAD {
        return Ok(None);
    }
    let length = HEAD + length.iter().fold(0, |length, &byte| length << 8 | usize::from(byte));
    if length > limit { Err(InvalidHello::TooLong { limit }) } else { Ok(Some(length)) }
}

/// The first `length` bytes in the records of `seen`, which are all there.
fn message(seen: &[u8], length: usize) -> Cow<'_, [u8]> {
    let mut fragments = Records::new(seen).flatten();
    let first = fragments.next().unwrap_or_default();
    match first.get(..length) {
        Some(whole) => Cow::Borrowed(whole),
        None => Cow::Owned(first.iter().chain(fragments.flatten()).take(length).copied().collect()),
    }
}

/// Reads a whole message.
fn read(message: &[u8]) -> Result<ClientHello, InvalidHello> {
    use InvalidHello::Malformed;
    const RANDOM: usize = 32;
    const LONGEST_SESSION_ID: usize = 32;
    const TLS_1_0: u16 = 0x0301;

    let mut hello = Reader::new(message.get(HEAD..).unwrap_or_default());
    let version = hello.u16().ok_or(Malformed("version"))?;
    if version < TLS_1_0 {
        return Err(InvalidHello::Version(version));
    }
    hello.take(RANDOM).ok_or(Malformed("random"))?;
    let session = hello.vector_u8().filter(|id| id.len() <= LONGEST_SESSION_ID);
    session.ok_or(Malformed("session id"))?;
    let suites = hello.vector_u16().filter(|suites| !suites.is_empty() && suites.len().is_multiple_of(2));
    suites.ok_or(Malformed("list of cipher suites"))?;
    hello
        .vector_u8()
        .filter(|methods| !methods.is_empty())
        .ok_or(Malformed("list of compression methods"))?;
    // Before TLS 1.3 there may be no extensions.
    let extensions = if hello.is_empty() { Some(&[][..]) } else { hello.vector_u16() };
    let extensions = extensions.filter(|_| hello.is_empty()).ok_or(Malformed("length of extensions"))?;
    Extensions::parse(extensions)?.client_hello()
}

#[cfg(test)]
mod tests;
