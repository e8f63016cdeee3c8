//! What Sluice and hyper make of a stream of bytes, in a form in which it can be compared.

mod hyper;
mod sluice;

pub(super) use self::hyper::{requests_by_hyper, response_by_hyper};
pub(super) use self::sluice::{requests_by_sluice, response_by_sluice};
use crate::Fault;

/// What a parser makes of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reading {
    /// The messages that are whole.
    pub(super) messages: Vec<Message>,
    pub(super) end: End,
}

/// What comes behind them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Nothing, or the last message says that nothing comes.
    Clean,
    /// The beginning of a message.
    Partial,
    /// Something wrong; Sluice says what.
    Refused(Option<Fault>),
}

impl End {
    pub(super) fn is_refused(self) -> bool {
        matches!(self, Self::Refused(_))
    }
}

/// A message, all bytes that are no text escaped, without the fields that Sluice adds or takes away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// Method and target with its authority, or status.
    pub(super) start: String,
    /// In the order of their names; those of one name in theirs.
    pub(super) fields: Vec<(String, String)>,
    pub(super) content: String,
    pub(super) trailers: Vec<(String, String)>,
}

/// By name, in lower case; those of one name keep their order.
pub(super) fn sorted<'f>(fields: impl Iterator<Item = (&'f [u8], &'f [u8])>) -> Vec<(String, String)> {
    let lower = |name: &[u8]| String::from_utf8(name.to_ascii_lowercase()).unwrap();
    let mut fields: Vec<_> =
        fields.map(|(name, value)| (lower(name), value.escape_ascii().to_string())).collect();
    fields.sort_by(|(a, _), (b, _)| a.cmp(b));
    fields
}
