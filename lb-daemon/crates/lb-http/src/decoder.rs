//! Finds a body's content in the bytes that follow a head (RFC 9112 §6, §7).

use std::ops::Range;

use crate::chunks::Chunks;
use crate::fault::{Fault, ParseError};
use crate::fields::Fields;
use crate::framing::Framing;
use crate::trailers::TrailerSection;

/// Bounds of what a chunked body has beside its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyLimits {
    /// Bytes of all chunk extensions together.
    pub extensions: usize,
    /// Bytes of the trailer section, with the empty line at its end.
    pub trailer_bytes: usize,
    /// Number of trailer fields.
    pub trailer_fields: usize,
}

/// Follows a body from its first byte to its last. Nothing is copied but trailers.
#[derive(Debug)]
pub struct BodyDecoder {
    state: State,
    limits: BodyLimits,
    /// There only once there are trailers.
    trailers: Option<Box<TrailerSection>>,
}

/// What became of some input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded {
    /// How many bytes of the input are done with. They are all of it, unless the body has
    /// [ended](BodyDecoder::is_ended) before, or more content comes behind the data.
    pub consumed: usize,
    /// Where in the input there is content: maybe nowhere.
    pub data: Range<usize>,
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// So many bytes are left, one at least.
    Length(u64),
    Chunked(Chunks),
    Trailers,
    UntilClose,
    Ended,
}

impl BodyDecoder {
    /// For the body of a message with this framing.
    pub fn new(framing: Framing, limits: BodyLimits) -> Self {
        let state = match framing {
            Framing::None | Framing::Length(0) => State::Ended,
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked(Chunks::new()),
            Framing::UntilClose => State::UntilClose,
        };
        Self { state, limits, trailers: None }
    }

    /// Takes what has come since what was consumed last. Content is handed on as soon as it is there, and only then is
    /// what is wrong behind it an error.
    pub fn decode(&mut self, input: &[u8]) -> Result<Decoded, ParseError> {
        match &mut self.state {
            State::Ended => Ok(Decoded { consumed: 0, data: 0..0 }),
            State::UntilClose => Ok(Decoded { consumed: input.len(), data: 0..input.len() }),
            State::Length(left) => {
                let taken = at_most(*left, input.len());
                *left -= taken as u64;
                if *left == 0 {
                    self.state = State::Ended;
                }
                Ok(Decoded { consumed: taken, data: 0..taken })
            }
            State::Chunked(chunks) => {
                let decoded = chunks.decode(input, self.limits.extensions)?;
                if !chunks.are_over() {
                    return Ok(decoded);
                }
                self.state = State::Trailers;
                self.decode_trailers(input, decoded)
            }
            State::Trailers => self.decode_trailers(input, Decoded { consumed: 0, data: 0..0 }),
        }
    }

    /// Whether the body's last byte has been consumed. Never so with [`Framing::UntilClose`] before
    /// [`Self::close`].
    pub fn is_ended(&self) -> bool {
        matches!(self.state, State::Ended)
    }

    /// The sender has closed the connection: good if the body ends there, or has ended before.
    pub fn close(&mut self) -> Result<(), Fault> {
        match self.state {
            State::Ended | State::UntilClose => {
                self.state = State::Ended;
                Ok(())
            }
            State::Length(_) | State::Chunked(_) | State::Trailers => Err(Fault::Truncated),
        }
    }

    /// The trailer fields (RFC 9110 §6.5), once the body has ended, if there are any. Among them may be some that should
    /// not be there, such as `Content-Length`: they mean nothing, and a [`BodyEncoder`](crate::BodyEncoder) leaves them
    /// out.
    pub fn trailers(&self) -> Option<&Fields> {
        self.trailers.as_ref().filter(|_| self.is_ended()).map(|section| section.fields())
    }

    /// Goes on behind the last chunk, of whose input `decoded` came. The trailer section is nearly always empty.
    fn decode_trailers(&mut self, input: &[u8], decoded: Decoded) -> Result<Decoded, ParseError> {
        let Decoded { consumed, data } = decoded;
        let rest = input.get(consumed..).unwrap_or_default();
        if self.trailers.is_none() && rest.starts_with(b"\r\n") {
            self.state = State::Ended;
            return Ok(Decoded { consumed: consumed + 2, data });
        }
        if rest.is_empty() || !data.is_empty() {
            return Ok(Decoded { consumed, data });
        }
        let section = self.trailers.get_or_insert_default();
        let taken = section
            .read(rest, &self.limits)
            .map_err(|error| ParseError { at: consumed + error.at, ..error })?;
        if section.is_ended() {
            self.state = State::Ended;
        }
        Ok(Decoded { consumed: consumed + taken, data })
    }
}

/// `number`, but no more than `most`.
pub(crate) fn at_most(number: u64, most: usize) -> usize {
    usize::try_from(number).map_or(most, |number| number.min(most))
}

#[cfg(test)]
mod tests;
