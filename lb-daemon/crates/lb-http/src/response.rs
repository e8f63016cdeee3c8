//! The head of a response (RFC 9112 §4).

use std::mem;

use crate::arena::Span;
use crate::connection::{ConnectionOptions, Persistence};
use crate::cursor::Cursor;
use crate::decimal::write_decimal;
use crate::fault::{Fault, ParseError};
use crate::fields::Fields;
use crate::framing::{Declared, FRAMING_FIELDS, Framing};
use crate::grammar::{split, text_prefix};
use crate::known::{KnownField, KnownFields};
use crate::method::Method;
use crate::progress::{HeadLimits, Parsed, Progress, Stop};
use crate::status::reason_phrase;
use crate::version::Version;

/// The head of a response, informational ones (1xx) included: its status, its fields, and where its body ends. Used
/// again and again, it allocates nothing once its buffers have grown.
#[derive(Debug, Clone)]
pub struct ResponseHead {
    fields: Fields,
    status: u16,
    reason: Span,
    version: Version,
    connection: ConnectionOptions,
    framing: Framing,
    /// Whether it says that a body follows that cannot.
    is_contradictory: bool,
    progress: Progress,
}

impl ResponseHead {
    /// A head that is still to be [parsed](Self::parse), or to be made with [`Self::begin`].
    pub fn new() -> Self {
        Self {
            fields: Fields::default(),
            status: 200,
            reason: Span::default(),
            version: Version::Http11,
            connection: ConnectionOptions::default(),
            framing: Framing::None,
            is_contradictory: false,
            progress: Progress::default(),
        }
    }

    /// Makes it a head of our own with this status, from 100 to 999, its registered reason phrase, and no fields yet.
    pub fn begin(&mut self, status: u16) {
        self.clear();
        self.status = status;
        self.reason = self.fields.arena_mut().store(&[reason_phrase(status).as_bytes()]).unwrap_or_default();
    }

    /// Parses the head at the start of `input`, which answers a request with `method`. As
    /// [`RequestHead::parse`](crate::RequestHead::parse), but an empty line before the head is a mistake.
    pub fn parse(&mut self, input: &[u8], method: Method, limits: &HeadLimits) -> Result<Parsed, ParseError> {
        let mut progress = mem::take(&mut self.progress);
        let parsed = progress.go_on(input, limits.bytes, |cursor| self.read(cursor, method, limits));
        self.progress = progress;
        parsed
    }

    /// Forgets everything but the buffers. Needed only where a head that is not complete is given up.
    pub fn clear(&mut self) {
        let Self { mut fields, .. } = mem::take(self);
        fields.clear();
        *self = Self { fields, ..Self::new() };
    }

    /// Bytes of memory that it keeps, also when it is [cleared](Self::clear).
    pub fn memory(&self) -> usize {
        self.fields.memory()
    }

    /// The status, from 100 to 999.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The reason phrase, which means nothing (RFC 9112 §4). May be empty.
    pub fn reason(&self) -> &[u8] {
        self.fields.arena().text(self.reason)
    }

    /// The version that the server speaks.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The fields.
    pub fn fields(&self) -> &Fields {
        &self.fields
    }

    /// The fields, for edits. They have no influence on what the other methods say of the response that came.
    pub fn fields_mut(&mut self) -> &mut Fields {
        &mut self.fields
    }

    /// Where the body ends.
    pub fn framing(&self) -> Framing {
        self.framing
    }

    /// Whether the connection can be used again when the body has ended.
    pub fn persistence(&self) -> Persistence {
        match self.framing {
            Framing::UntilClose => Persistence::Close,
            _ if self.is_contradictory => Persistence::Close,
            Framing::None | Framing::Length(_) | Framing::Chunked => {
                self.connection.persistence(self.version)
            }
        }
    }

    /// The protocol to which the server switches, with status 101 (RFC 9110 §7.8). Nothing after
    /// [`Fields::remove_hop_by_hop`].
    pub fn upgrades(&self) -> impl Iterator<Item = &[u8]> {
        let agrees = self.connection.upgrades(self.version);
        self.fields.elements(KnownField::Upgrade).filter(move |_| agrees)
    }

    /// Writes the head to `out`, as one of HTTP/1.1. `framing` is that of the body that will follow, and whatever the
    /// fields say of it is left out. With [`Framing::None`] a `Content-Length` stays, which says how long the body would
    /// be (RFC 9110 §8.6), but not where it must not be: with 1xx and 204.
    pub fn write(&self, framing: Framing, out: &mut Vec<u8>) {
        const TRANSFER_ENCODING: KnownFields = KnownFields::of(&[KnownField::TransferEncoding]);
        let left_out = match (framing, self.status) {
            (Framing::None, 200..=203 | 205..) => TRANSFER_ENCODING,
            _ => FRAMING_FIELDS,
        };
        out.extend_from_slice(b"HTTP/1.1 ");
        write_decimal(self.status.into(), out);
        out.push(b' ');
        out.extend_from_slice(self.reason());
        out.extend_from_slice(b"\r\n");
        self.fields.write(left_out, out);
        framing.write(out);
        out.extend_from_slice(b"\r\n");
    }

    fn read(&mut self, cursor: &mut Cursor<'_>, method: Method, limits: &HeadLimits) -> Result<(), Stop> {
        if cursor.at() == 0 {
            self.fields.clear();
            self.status_line(cursor)?;
        }
        self.fields.read(cursor, limits.fields)?;
        Ok(self.judge(method).map_err(|fault| ParseError { fault, at: cursor.at() })?)
    }

    /// `HTTP/1.1 200 OK`. Where there is no reason phrase, some servers leave out the space behind the status, too.
    fn status_line(&mut self, cursor: &mut Cursor<'_>) -> Result<(), Stop> {
        let (version, behind) = cursor.version(cursor.rest())?;
        let text = match behind {
            [b' ', text @ ..] => text,
            [] => return Err(Stop::Partial),
            _ => return Err(cursor.fault(Fault::Status, behind)),
        };
        let (digits, behind) =
            split(text, text.iter().take(3).take_while(|byte| byte.is_ascii_digit()).count());
        let status = match digits {
            [b'0', ..] => return Err(cursor.fault(Fault::Status, text)),
            [_, _, _] => digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0')),
            _ if behind.is_empty() => return Err(Stop::Partial),
            _ => return Err(cursor.fault(Fault::Status, behind)),
        };
        let (reason, rest) = match behind {
            [b' ', text @ ..] => {
                let (reason, end) = split(text, text_prefix(text));
                (reason, cursor.end_of_line(end, Fault::Reason)?)
            }
            _ => (&[][..], cursor.end_of_line(behind, Fault::Status)?),
        };
        self.version = version;
        self.status = status;
        self.reason =
            self.fields.arena_mut().store(&[reason]).map_err(|full| cursor.fault(full.into(), behind))?;
        cursor.advance_to(rest);
        Ok(())
    }

    /// Judges the whole head.
    fn judge(&mut self, method: Method) -> Result<(), Fault> {
        let declared = Declared::by(&self.fields, self.version)?;
        self.framing = Framing::of_response(declared, method, self.status)?;
        // Some servers say so, and some of those send the body: what comes next on the connection nobody knows.
        self.is_contradictory = self.status == 204 && declared.is_content();
        self.connection = ConnectionOptions::of(&self.fields)?;
        Ok(())
    }
}

impl Default for ResponseHead {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests;
