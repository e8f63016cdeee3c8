//! One way of a body: decoded as its sender frames it, encoded as its receiver gets it, never copied.

use std::io::IoSlice;

use lb_http::{BodyDecoder, BodyEncoder, BodyLimits, Decoded, EncodeError, Fault, Framing, ParseError};
use lb_net::Wire;

/// A body on its way.
#[derive(Debug)]
pub(crate) struct Body {
    decoder: BodyDecoder,
    encoder: BodyEncoder,
    /// Whether its end has been written.
    is_ended: bool,
    /// Bytes of content that have been written, without any framing.
    pub(crate) content: u64,
    /// How many there may be.
    most: Option<u64>,
}

/// Why a body does not go on.
#[derive(Debug)]
pub(crate) enum BodyError {
    /// Its sender has sent something else.
    Malformed(Fault),
    /// There is more of it than there may be. What is over was not passed on, so that nobody takes it for whole.
    TooLarge,
    /// Its receiver's connection has failed.
    Write,
}

impl Body {
    /// Pieces that leave in one call at most.
    const PIECES: usize = 12;

    /// If so many pieces have less than this together, further ones are copied to leave with them: whoever sends a byte in a
    /// chunk shall not cost everybody a system call for each.
    const SMALL: usize = 4096;

    /// So much is put together at most.
    const GATHERED: usize = 16 << 10;

    /// A body that comes as `from` says and goes as `to` says.
    pub(crate) fn new(from: Framing, to: Framing, limits: BodyLimits) -> Self {
        let decoder = BodyDecoder::new(from, limits);
        Self { decoder, encoder: BodyEncoder::new(to), is_ended: false, content: 0, most: None }
    }

    /// The same, of so many bytes at most.
    pub(crate) fn limited(self, most: Option<u64>) -> Self {
        Self { most, ..self }
    }

    /// Whether all of it has come and was written.
    pub(crate) fn is_ended(&self) -> bool {
        self.is_ended
    }

    /// Writes `lead` to `target`, and behind it what `input` has of the body, all in one call if it can be. Returns how much
    /// of `input` belongs to the body.
    pub(crate) fn forward(
        &mut self,
        mut lead: &[u8],
        input: &[u8],
        target: &mut Wire,
    ) -> Result<usize, BodyError> {
        let mut rest = input;
        loop {
            let mut pieces: [&[u8]; Self::PIECES] = [&[]; Self::PIECES];
            let before = rest.len();
            for piece in &mut pieces {
                *piece = self.decode(&mut rest)?;
                if rest.is_empty() {
                    break;
                }
            }
            let mut gathered = Vec::new();
            if !rest.is_empty() && pieces.iter().map(|piece| piece.len()).sum::<usize>() < Self::SMALL {
                gathered.extend(pieces.iter().copied().flatten());
                while !rest.is_empty() && gathered.len() < Self::GATHERED && !self.decoder.is_ended() {
                    gathered.extend_from_slice(self.decode(&mut rest)?);
                }
                pieces = [&[]; Self::PIECES];
                pieces[0] = &gathered;
            }
            self.send(lead, &pieces, target)?;
            lead = &[];
            if rest.is_empty() || self.is_ended() || rest.len() == before {
                return Ok(input.len() - rest.len());
            }
        }
    }

    /// What comes next of the content, which is taken from `rest` with what frames it.
    fn decode<'i>(&mut self, rest: &mut &'i [u8]) -> Result<&'i [u8], BodyError> {
        let Decoded { consumed, data } = self.decoder.decode(rest)?;
        let piece = rest.get(data).unwrap_or_default();
        *rest = rest.get(consumed..).unwrap_or_default();
        Ok(piece)
    }

    /// There is none.
    pub(crate) fn end(&mut self) {
        self.is_ended = true;
    }

    /// The sender has closed its connection: the end of the body, or of a part of it.
    pub(crate) fn close(&mut self, target: &mut Wire) -> Result<(), BodyError> {
        self.decoder.close().map_err(BodyError::Malformed)?;
        self.send(&[], &[[].as_slice(); Self::PIECES], target)
    }

    /// Writes what there is, with the framing that belongs to it.
    fn send(
        &mut self,
        lead: &[u8],
        pieces: &[&[u8]; Self::PIECES],
        target: &mut Wire,
    ) -> Result<(), BodyError> {
        let length = pieces.iter().map(|piece| piece.len()).sum();
        if self.most.is_some_and(|most| self.content + length as u64 > most) {
            return Err(BodyError::TooLarge);
        }
        let frame = self.encoder.frame(length)?;
        let mut end = Vec::new();
        if self.decoder.is_ended() && !self.is_ended {
            self.encoder.end(self.decoder.trailers(), &mut end)?;
            self.is_ended = true;
        }
        let around = [lead, frame.before(), frame.after(), &end];
        if length == 0 && around.iter().all(|part| part.is_empty()) {
            return Ok(());
        }
        let [lead, before, after, end] = around;
        let mut parts = [IoSlice::new(&[]); Self::PIECES + 4];
        let all = [lead, before].into_iter().chain(pieces.iter().copied()).chain([after, end]);
        let mut count = 0;
        for (part, bytes) in parts.iter_mut().zip(all.filter(|bytes| !bytes.is_empty())) {
            *part = IoSlice::new(bytes);
            count += 1;
        }
        self.content += length as u64;
        target.write(parts.get(..count).unwrap_or_default()).map_err(|_failed| BodyError::Write)
    }
}

impl From<ParseError> for BodyError {
    fn from(error: ParseError) -> Self {
        Self::Malformed(error.fault)
    }
}

impl From<EncodeError> for BodyError {
    /// The decoder has counted the same bytes before.
    fn from(_unequal: EncodeError) -> Self {
        Self::Malformed(Fault::ContentLength)
    }
}
