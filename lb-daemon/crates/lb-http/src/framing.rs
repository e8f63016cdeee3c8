//! Where the body ends (RFC 9112 §6). This is decided here and nowhere else: once from what a head says when it is
//! parsed, once into what a head says when it is written.

use crate::decimal::{parse_decimal, write_decimal};
use crate::fault::Fault;
use crate::fields::Fields;
use crate::known::{KnownField, KnownFields};
use crate::method::Method;
use crate::version::Version;

/// How a message's body is delimited.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// There is no body. For a response that is so whatever its fields say: to HEAD, and with the statuses 1xx, 204
    /// and 304.
    None,
    /// So many bytes, maybe none.
    Length(u64),
    /// Chunks (RFC 9112 §7.1).
    Chunked,
    /// All bytes until the server closes the connection. Never of a request.
    UntilClose,
}

/// The fields that say it. None of them is ever copied from one connection to another.
pub(crate) const FRAMING_FIELDS: KnownFields =
    KnownFields::of(&[KnownField::ContentLength, KnownField::TransferEncoding]);

/// What the fields of a message say of its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Declared {
    Nothing,
    Length(u64),
    Chunked,
}

impl Declared {
    /// One field that says it, and says it in the one way that every parser knows, or none.
    pub(crate) fn by(fields: &Fields, version: Version) -> Result<Self, Fault> {
        if !fields.known().intersects(FRAMING_FIELDS) {
            return Ok(Self::Nothing);
        }
        let coding = only(fields, KnownField::TransferEncoding, Fault::TransferEncodingRepeated)?;
        let length = only(fields, KnownField::ContentLength, Fault::ContentLengthRepeated)?;
        match (coding, length) {
            (Some(_), _) if version < Version::Http11 => Err(Fault::TransferEncodingBefore11),
            (Some(_), Some(_)) => Err(Fault::LengthAndTransferEncoding),
            (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => Ok(Self::Chunked),
            (Some(_), None) => Err(Fault::TransferEncoding),
            (None, Some(length)) => parse_decimal(length).map(Self::Length).ok_or(Fault::ContentLength),
            (None, None) => Ok(Self::Nothing),
        }
    }

    /// Whether it says that there are bytes behind the head.
    pub(crate) fn is_content(self) -> bool {
        !matches!(self, Self::Nothing | Self::Length(0))
    }
}

impl Framing {
    /// Of a request (RFC 9112 §6.3).
    pub(crate) fn of_request(declared: Declared) -> Self {
        match declared {
            Declared::Nothing => Self::None,
            Declared::Length(length) => Self::Length(length),
            Declared::Chunked => Self::Chunked,
        }
    }

    /// Of a response to a request with `method` (RFC 9112 §6.3).
    pub(crate) fn of_response(declared: Declared, method: Method, status: u16) -> Result<Self, Fault> {
        match (method, status, declared) {
            (_, 100..=199, _) if declared.is_content() => Err(Fault::InformationalContent),
            (Method::Head, _, _) | (_, 100..=199 | 204 | 304, _) => Ok(Self::None),
            (_, _, Declared::Length(length)) => Ok(Self::Length(length)),
            (_, _, Declared::Chunked) => Ok(Self::Chunked),
            (_, _, Declared::Nothing) => Ok(Self::UntilClose),
        }
    }

    /// Writes the field that says it.
    pub(crate) fn write(self, out: &mut Vec<u8>) {
        match self {
            Self::None | Self::UntilClose => {}
            Self::Length(length) => {
                out.extend_from_slice(b"Content-Length: ");
                write_decimal(length, out);
                out.extend_from_slice(b"\r\n");
            }
            Self::Chunked => out.extend_from_slice(b"Transfer-Encoding: chunked\r\n"),
        }
    }
}

/// The value of the only field of this name; `repeated` if there are more.
fn only(fields: &Fields, name: KnownField, repeated: Fault) -> Result<Option<&[u8]>, Fault> {
    let mut values = fields.get_all(name);
    let value = values.next();
    if values.next().is_some() { Err(repeated) } else { Ok(value) }
}
