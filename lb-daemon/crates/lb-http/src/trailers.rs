//! The trailer section of a chunked body (RFC 9112 §7.1.2).

use crate::decoder::BodyLimits;
use crate::fault::ParseError;
use crate::fields::Fields;
use crate::known::{KnownField, KnownFields};
use crate::progress::{Parsed, Progress};

/// Collects the section, in as many pieces as it comes.
#[derive(Debug, Default)]
pub(crate) struct TrailerSection {
    text: Vec<u8>,
    fields: Fields,
    progress: Progress,
    is_ended: bool,
}

/// Fields that have no business behind the content: they frame or route the message, or are needed before the content
/// can be read (RFC 9110 §6.5.1).
const FORBIDDEN: KnownFields = KnownFields::of(&[
    KnownField::Authorization,
    KnownField::CacheControl,
    KnownField::Connection,
    KnownField::ContentEncoding,
    KnownField::ContentLength,
    KnownField::ContentRange,
    KnownField::ContentType,
    KnownField::Cookie,
    KnownField::Expect,
    KnownField::Forwarded,
    KnownField::Host,
    KnownField::KeepAlive,
    KnownField::Location,
    KnownField::MaxForwards,
    KnownField::ProxyAuthorization,
    KnownField::ProxyConnection,
    KnownField::Range,
    KnownField::SetCookie,
    KnownField::Te,
    KnownField::Trailer,
    KnownField::TransferEncoding,
    KnownField::Upgrade,
    KnownField::Via,
    KnownField::XForwardedFor,
    KnownField::XForwardedHost,
    KnownField::XForwardedPort,
    KnownField::XForwardedProto,
    KnownField::XRealIp,
]);

impl TrailerSection {
    /// Takes what comes next of the section; says how much of it belongs to it.
    pub(crate) fn read(&mut self, input: &[u8], limits: &BodyLimits) -> Result<usize, ParseError> {
        let before = self.text.len();
        let room = limits.trailer_bytes.saturating_sub(before);
        self.text.extend_from_slice(input.get(..room).unwrap_or(input));
        let Self { text, fields, progress, .. } = self;
        let read =
            progress.go_on(text, limits.trailer_bytes, |cursor| fields.read(cursor, limits.trailer_fields));
        match read.map_err(|error| ParseError { at: error.at.saturating_sub(before), ..error })? {
            Parsed::Complete { length } => {
                self.is_ended = true;
                Ok(length - before)
            }
            Parsed::Partial => Ok(input.len()),
        }
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.is_ended
    }

    pub(crate) fn fields(&self) -> &Fields {
        &self.fields
    }
}

impl Fields {
    /// Writes the fields as a trailer section, but for those that must not be in one.
    pub(crate) fn write_trailers(&self, out: &mut Vec<u8>) {
        self.write(FORBIDDEN, out);
    }
}
