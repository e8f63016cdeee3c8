//! Puts content into the bytes that follow a head (RFC 9112 §6, §7).

use crate::fields::Fields;
use crate::framing::Framing;

/// Follows a body that is sent, from its first byte to its last, and sees to it that it is as the head says.
#[derive(Debug)]
pub struct BodyEncoder(State);

/// What has to be sent before and behind a piece of content.
#[derive(Debug, Clone, Copy)]
pub struct Frame {
    before: [u8; LONGEST_SIZE],
    /// How many bytes of it are used.
    used: usize,
    after: &'static [u8],
}

/// Why content cannot be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// There is more than the head says, or there was an end before.
    #[error("the body is longer than its Content-Length")]
    TooLong,
    /// There is less than the head says.
    #[error("the body lacks {missing} bytes of its Content-Length")]
    TooShort {
        /// How many bytes are missing.
        missing: u64,
    },
}

#[derive(Debug, Clone, Copy)]
enum State {
    /// So many bytes are left, maybe none.
    Length(u64),
    Chunked,
    UntilClose,
    Ended,
}

/// 16 digits, CR, LF.
const LONGEST_SIZE: usize = 18;

impl BodyEncoder {
    /// For the body of a message whose head was written with this framing.
    pub fn new(framing: Framing) -> Self {
        Self(match framing {
            Framing::None => State::Length(0),
            Framing::Length(length) => State::Length(length),
            Framing::Chunked => State::Chunked,
            Framing::UntilClose => State::UntilClose,
        })
    }

    /// What has to be around the next `length` bytes of content. Once this is called they have to be sent. Around no
    /// content there is nothing.
    pub fn frame(&mut self, length: usize) -> Result<Frame, EncodeError> {
        match &mut self.0 {
            _ if length == 0 => Ok(Frame::NONE),
            State::Chunked => Ok(Frame::chunk(length)),
            State::UntilClose => Ok(Frame::NONE),
            State::Length(left) => {
                *left = left.checked_sub(length as u64).ok_or(EncodeError::TooLong)?;
                Ok(Frame::NONE)
            }
            State::Ended => Err(EncodeError::TooLong),
        }
    }

    /// Writes content to `out` with what has to be around it. To spare the copy, use [`Self::frame`].
    pub fn write(&mut self, content: &[u8], out: &mut Vec<u8>) -> Result<(), EncodeError> {
        let frame = self.frame(content.len())?;
        [frame.before(), content, frame.after()].iter().for_each(|part| out.extend_from_slice(part));
        Ok(())
    }

    /// Writes the end of the body to `out`. `trailers` go with chunks only, and those that must not be trailers
    /// (RFC 9110 §6.5.1) are left out. With [`Framing::UntilClose`] the connection has to be closed then, in order.
    pub fn end(&mut self, trailers: Option<&Fields>, out: &mut Vec<u8>) -> Result<(), EncodeError> {
        match self.0 {
            State::Length(missing @ 1..) => return Err(EncodeError::TooShort { missing }),
            State::Length(0) | State::UntilClose | State::Ended => {}
            State::Chunked => {
                out.extend_from_slice(b"0\r\n");
                trailers.into_iter().for_each(|trailers| trailers.write_trailers(out));
                out.extend_from_slice(b"\r\n");
            }
        }
        self.0 = State::Ended;
        Ok(())
    }

    /// Whether nothing more has to be sent: the body has ended, or its whole length has been.
    pub fn is_complete(&self) -> bool {
        matches!(self.0, State::Ended | State::Length(0))
    }
}

impl Frame {
    const NONE: Self = Self { before: [0; LONGEST_SIZE], used: 0, after: b"" };

    fn chunk(length: usize) -> Self {
        let digits = length.checked_ilog(16).unwrap_or(0) + 1;
        let shifts = (0..digits).rev().map(|place| place * 4);
        let digits = shifts.map(|shift| HEX.get(length >> shift & 0xf).copied().unwrap_or_default());
        let mut frame = Self { after: b"\r\n", ..Self::NONE };
        for (place, byte) in frame.before.iter_mut().zip(digits.chain(*b"\r\n")) {
            *place = byte;
            frame.used += 1;
        }
        frame
    }

    /// To be sent before the content.
    pub fn before(&self) -> &[u8] {
        self.before.get(..self.used).unwrap_or_default()
    }

    /// To be sent behind it.
    pub fn after(&self) -> &'static [u8] {
        self.after
    }
}

const HEX: &[u8; 16] = b"0123456789abcdef";

#[cfg(test)]
mod tests;
