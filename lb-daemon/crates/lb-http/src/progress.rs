//! How far a head has been read. A head comes in as many pieces as the peer likes, and none of its bytes is looked at
//! more than a few times, however small they are.

use std::mem;

use crate::cursor::Cursor;
use crate::fault::{Fault, ParseError};

/// Bounds of a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// Bytes of the whole head, from the start line to the empty line at its end.
    pub bytes: usize,
    /// Bytes of a request's target.
    pub target: usize,
    /// Number of fields.
    pub fields: usize,
}

/// What came of the bytes so far.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// The head is whole.
    Complete {
        /// How many bytes it takes, counted from the first. What is behind them is the body, or the next message.
        length: usize,
    },
    /// All bytes so far make a good beginning.
    Partial,
}

/// Why reading stops before the end.
#[derive(Debug)]
pub(crate) enum Stop {
    /// There are no more bytes.
    Partial,
    /// They are wrong.
    Fault(ParseError),
}

impl From<ParseError> for Stop {
    fn from(error: ParseError) -> Self {
        Self::Fault(error)
    }
}

/// Where to go on.
#[derive(Debug, Clone, Default)]
pub(crate) struct Progress {
    /// Offset of the first line that has not been read.
    line: usize,
    /// How many bytes have been looked at: no line ends between `line` and here.
    seen: usize,
}

impl Progress {
    /// Has `read` read the lines of `input` that it has not read yet, until it has had the last. There may be `most`
    /// bytes of them. After anything but [`Parsed::Partial`] the next one begins anew.
    pub(crate) fn go_on<'i>(
        &mut self,
        input: &'i [u8],
        most: usize,
        read: impl FnOnce(&mut Cursor<'i>) -> Result<(), Stop>,
    ) -> Result<Parsed, ParseError> {
        let Self { line, seen } = mem::take(self);
        let is_last_chance = input.len() >= most;
        if seen > 0 && !is_last_chance && !ends_a_line(input.get(seen..).unwrap_or_default()) {
            *self = Self { line, seen: input.len() };
            return Ok(Parsed::Partial);
        }
        let mut cursor = Cursor::new(input.get(..most).unwrap_or(input), line);
        match read(&mut cursor) {
            Ok(()) => Ok(Parsed::Complete { length: cursor.at() }),
            Err(Stop::Partial) if is_last_chance => Err(ParseError { fault: Fault::HeadTooLong, at: most }),
            Err(Stop::Partial) => {
                *self = Self { line: cursor.at(), seen: input.len() };
                Ok(Parsed::Partial)
            }
            Err(Stop::Fault(error)) => Err(error),
        }
    }
}

fn ends_a_line(bytes: &[u8]) -> bool {
    memchr::memchr(b'\n', bytes).is_some()
}
