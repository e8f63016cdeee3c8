//! The chunked transfer coding, as far as its last chunk (RFC 9112 §7.1).

use crate::decoder::{Decoded, at_most};
use crate::fault::{Fault, ParseError};
use crate::grammar::hex_digit;

/// Follows chunks. What is between their data is read byte by byte: of the size at most 16 digits; of extensions
/// nothing, but they must not be longer in all than the limit.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Chunks {
    next: Next,
    /// Bytes of extensions so far.
    extensions: usize,
}

/// What the next byte is.
#[derive(Debug, Clone, Copy)]
enum Next {
    /// A digit of the size, or what is behind it.
    Size { size: u64, digits: u32 },
    /// Part of an extension, or the CR behind it.
    Extension { size: u64 },
    /// The LF behind the size.
    SizeLf { size: u64 },
    /// Data, of which so many bytes are left, one at least.
    Data { left: u64 },
    /// The CR behind the data.
    DataCr,
    /// The LF behind the data.
    DataLf,
    /// Something behind the last chunk.
    Trailers,
}

/// More digits than 64 bits need are refused even if they are zeros.
const MOST_DIGITS: u32 = u64::BITS / 4;

impl Chunks {
    pub(crate) fn new() -> Self {
        Self { next: Next::FIRST_DIGIT, extensions: 0 }
    }

    /// Takes input up to the data of a chunk, that data, and what is behind it up to the next data. What is wrong behind
    /// data is left for the next call.
    pub(crate) fn decode(&mut self, input: &[u8], most_extensions: usize) -> Result<Decoded, ParseError> {
        let start = self.skip(input, 0, most_extensions)?;
        let data = start..start + self.data(input.len() - start);
        let mut ahead = *self;
        let consumed = if data.is_empty() {
            start
        } else if let Ok(end) = ahead.skip(input, data.end, most_extensions) {
            *self = ahead;
            end
        } else {
            data.end
        };
        Ok(Decoded { consumed, data })
    }

    /// Whether the last chunk has been read.
    pub(crate) fn are_over(&self) -> bool {
        matches!(self.next, Next::Trailers)
    }

    /// How many of the next `available` bytes are data.
    fn data(&mut self, available: usize) -> usize {
        let Next::Data { left } = &mut self.next else { return 0 };
        let taken = at_most(*left, available);
        *left -= taken as u64;
        if *left == 0 {
            self.next = Next::DataCr;
        }
        taken
    }

    /// Reads on from `at` to where there is data, or to what is behind the last chunk.
    fn skip(&mut self, input: &[u8], mut at: usize, most_extensions: usize) -> Result<usize, ParseError> {
        while !matches!(self.next, Next::Data { .. } | Next::Trailers) {
            let Some(byte) = input.get(at) else { break };
            self.next = self.next.after(*byte).map_err(|fault| ParseError { fault, at })?;
            if let Next::Extension { .. } = self.next {
                if self.extensions == most_extensions {
                    return Err(ParseError { fault: Fault::ChunkExtensionsTooLong, at });
                }
                self.extensions += 1;
            }
            at += 1;
        }
        Ok(at)
    }
}

impl Next {
    const FIRST_DIGIT: Self = Self::Size { size: 0, digits: 0 };

    /// What is next after this byte.
    fn after(self, byte: u8) -> Result<Self, Fault> {
        match (self, byte) {
            (Self::Size { size, digits: 1.. }, b'\r') => Ok(Self::SizeLf { size }),
            (Self::Size { size, digits: 1.. }, b';') => Ok(Self::Extension { size }),
            (Self::Size { size, digits }, _) => {
                let digit = hex_digit(byte).ok_or(Fault::ChunkSize)?;
                if digits == MOST_DIGITS {
                    return Err(Fault::ChunkSizeTooLarge);
                }
                Ok(Self::Size { size: size << 4 | digit, digits: digits + 1 })
            }
            (Self::Extension { size }, b'\r') => Ok(Self::SizeLf { size }),
            (Self::Extension { .. }, b'\n') => Err(Fault::BareLf),
            (Self::Extension { .. }, b'\t' | b' '..=b'~' | 0x80..) => Ok(self),
            (Self::Extension { .. }, _) => Err(Fault::ChunkExtension),
            (Self::SizeLf { size: 0 }, b'\n') => Ok(Self::Trailers),
            (Self::SizeLf { size }, b'\n') => Ok(Self::Data { left: size }),
            (Self::DataCr, b'\r') => Ok(Self::DataLf),
            (Self::DataCr, _) => Err(Fault::ChunkEnd),
            (Self::DataLf, b'\n') => Ok(Self::FIRST_DIGIT),
            (Self::SizeLf { .. } | Self::DataLf, _) => Err(Fault::BareCr),
            (Self::Data { .. } | Self::Trailers, _) => Ok(self),
        }
    }
}
