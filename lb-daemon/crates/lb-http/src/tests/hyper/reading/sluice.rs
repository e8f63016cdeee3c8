//! The reading of lb-http.

use crate::{
    BodyDecoder, BodyLimits, Decoded, Fault, Fields, Framing, HeadLimits, KnownField, Method, Parsed,
    Persistence, RequestHead, ResponseHead,
};

use super::{End, Message, Reading, sorted};

const HEAD_LIMITS: HeadLimits = HeadLimits { bytes: 64 * 1024, target: 64 * 1024, fields: 100 };
const BODY_LIMITS: BodyLimits =
    BodyLimits { extensions: 16 * 1024, trailer_bytes: 16 * 1024, trailer_fields: 100 };

/// Requests of one connection.
pub(in crate::tests::hyper) fn requests_by_sluice(stream: &[u8]) -> Reading {
    let mut head = RequestHead::new();
    let mut messages = Vec::new();
    let mut rest = stream;
    loop {
        match request(&mut head, &mut rest) {
            Ok(message) => messages.push(message),
            // A client may send an empty line behind its last request.
            Err(End::Partial) if b"\r\n".starts_with(rest) => {
                return Reading { messages, end: End::Clean };
            }
            Err(end) => return Reading { messages, end },
        }
        if head.persistence() == Persistence::Close {
            return Reading { messages, end: End::Clean };
        }
    }
}

/// The response to a request with `method`, after informational ones.
pub(in crate::tests::hyper) fn response_by_sluice(stream: &[u8], method: Method) -> Reading {
    let mut head = ResponseHead::new();
    let mut rest = stream;
    let message = loop {
        let parsed = head.parse(rest, method, &HEAD_LIMITS).map_err(|error| error.fault);
        match advance(parsed, &mut rest) {
            Ok(()) if matches!(head.status(), 100 | 102..=199) => continue,
            Ok(()) => break body(head.framing(), &mut rest),
            Err(end) => break Err(end),
        }
    };
    match message {
        Ok((content, trailers)) => {
            let start = head.status().to_string();
            let message = Message { start, fields: fields(head.fields()), content, trailers };
            Reading { messages: vec![message], end: End::Clean }
        }
        Err(end) => Reading { messages: Vec::new(), end },
    }
}

fn request(head: &mut RequestHead, rest: &mut &[u8]) -> Result<Message, End> {
    let parsed = head.parse(rest, &HEAD_LIMITS).map_err(|error| error.fault);
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut before = *rest;
    advance(parsed, &mut before)?;
    let authority = head.scheme().and_then(|_| head.fields().get(KnownField::Host)).unwrap_or_default();
    // RFC 9112 §3.2.4: what hyper leaves to the application.
    let target = if head.scheme().is_some() && head.target() == b"*" { b"/" } else { head.target() };
    let start = format!("{} {} {}", text(head.method_name()), text(authority), text(target));
    if head.scheme().is_some() {
        head.fields_mut().remove(KnownField::Host);
    }
    let (content, trailers) = body(head.framing(), &mut before)?;
    *rest = before;
    Ok(Message { start, fields: fields(head.fields()), content, trailers })
}

fn advance(parsed: Result<Parsed, Fault>, rest: &mut &[u8]) -> Result<(), End> {
    match parsed {
        Ok(Parsed::Complete { length }) => {
            *rest = &rest[length..];
            Ok(())
        }
        Ok(Parsed::Partial) => Err(End::Partial),
        Err(fault) => Err(End::Refused(Some(fault))),
    }
}

/// Content and trailers.
fn body(framing: Framing, rest: &mut &[u8]) -> Result<(String, Vec<(String, String)>), End> {
    let mut decoder = BodyDecoder::new(framing, BODY_LIMITS);
    let mut content = Vec::new();
    while !rest.is_empty() && !decoder.is_ended() {
        let Decoded { consumed, data } =
            decoder.decode(rest).map_err(|error| End::Refused(Some(error.fault)))?;
        content.extend_from_slice(&rest[data]);
        *rest = &rest[consumed..];
    }
    decoder.close().map_err(|_truncated| End::Partial)?;
    Ok((content.escape_ascii().to_string(), decoder.trailers().map(fields).unwrap_or_default()))
}

fn fields(fields: &Fields) -> Vec<(String, String)> {
    sorted(fields.iter().map(|field| (field.name, field.value)))
}
