//! The least proxy that there can be: reads messages from a stream of bytes and writes what it would send on.

use crate::{
    BodyDecoder, BodyEncoder, BodyLimits, Decoded, Fault, Framing, HeadLimits, Method, Parsed, RequestHead,
    ResponseHead,
};

/// Who sends the stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// A client.
    Request,
    /// A server, in answer to GET.
    Response,
}

/// What is to be said of a stream in the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It has whole messages and nothing else.
    Accepted,
    /// It ends within a message.
    Partial,
    /// It has something that is no message.
    Refused(Fault),
}

pub(super) const HEAD_LIMITS: HeadLimits = HeadLimits { bytes: 16 * 1024, target: 8 * 1024, fields: 100 };
pub(super) const BODY_LIMITS: BodyLimits =
    BodyLimits { extensions: 4096, trailer_bytes: 4096, trailer_fields: 32 };

/// What becomes of the stream, and what is sent on of it. Of a message that is not whole nothing is.
pub(super) fn forward(direction: Direction, stream: &[u8]) -> (Verdict, Vec<u8>) {
    let mut out = Vec::new();
    let mut rest = stream;
    while !rest.is_empty() {
        let before = out.len();
        match message(direction, rest, &mut out) {
            Ok(length) => rest = &rest[length..],
            Err(verdict) => {
                out.truncate(before);
                return (verdict, out);
            }
        }
    }
    (Verdict::Accepted, out)
}

/// Sends on the message at the start of the stream; says how long it is there.
fn message(direction: Direction, stream: &[u8], out: &mut Vec<u8>) -> Result<usize, Verdict> {
    let (length, framing) = match direction {
        Direction::Request => request_head(stream, out)?,
        Direction::Response => response_head(stream, out)?,
    };
    Ok(length + body(framing, &stream[length..], out)?)
}

fn request_head(stream: &[u8], out: &mut Vec<u8>) -> Result<(usize, Framing), Verdict> {
    let mut head = RequestHead::new();
    let length = complete(head.parse(stream, &HEAD_LIMITS).map_err(|error| error.fault))?;
    head.fields_mut().remove_hop_by_hop();
    head.write(head.framing(), out);
    Ok((length, head.framing()))
}

fn response_head(stream: &[u8], out: &mut Vec<u8>) -> Result<(usize, Framing), Verdict> {
    let mut head = ResponseHead::new();
    let length = complete(head.parse(stream, Method::Get, &HEAD_LIMITS).map_err(|error| error.fault))?;
    head.fields_mut().remove_hop_by_hop();
    head.write(head.framing(), out);
    Ok((length, head.framing()))
}

fn complete(parsed: Result<Parsed, Fault>) -> Result<usize, Verdict> {
    match parsed {
        Ok(Parsed::Complete { length }) => Ok(length),
        Ok(Parsed::Partial) => Err(Verdict::Partial),
        Err(fault) => Err(Verdict::Refused(fault)),
    }
}

fn body(framing: Framing, stream: &[u8], out: &mut Vec<u8>) -> Result<usize, Verdict> {
    let (mut decoder, mut encoder) = (BodyDecoder::new(framing, BODY_LIMITS), BodyEncoder::new(framing));
    let mut rest = stream;
    while !rest.is_empty() && !decoder.is_ended() {
        let Decoded { consumed, data } =
            decoder.decode(rest).map_err(|error| Verdict::Refused(error.fault))?;
        encoder.write(&rest[data], out).unwrap();
        rest = &rest[consumed..];
    }
    decoder.close().map_err(|_truncated| Verdict::Partial)?;
    encoder.end(decoder.trailers(), out).unwrap();
    Ok(stream.len() - rest.len())
}
