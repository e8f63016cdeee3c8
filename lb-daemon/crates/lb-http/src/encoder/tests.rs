//! Bodies that are written.

use super::*;
use crate::known::KnownField;

fn encode(framing: Framing, pieces: &[&str]) -> Result<String, EncodeError> {
    let mut encoder = BodyEncoder::new(framing);
    let mut out = Vec::new();
    for piece in pieces {
        encoder.write(piece.as_bytes(), &mut out)?;
    }
    encoder.end(None, &mut out)?;
    Ok(String::from_utf8(out).unwrap())
}

#[test]
fn bodies_of_every_framing() {
    let sixteen = "0123456789abcdef";
    let cases = [
        (Framing::None, &[][..], ""),
        (Framing::Length(0), &[""], ""),
        (Framing::Length(3), &["a", "", "bc"], "abc"),
        (Framing::UntilClose, &["a", "bc"], "abc"),
        (Framing::Chunked, &[], "0\r\n\r\n"),
        (Framing::Chunked, &[sixteen, "a"], "10\r\n0123456789abcdef\r\n1\r\na\r\n0\r\n\r\n"),
    ];
    for (framing, pieces, expected) in cases {
        assert_eq!(encode(framing, pieces), Ok(expected.to_owned()), "{framing:?}");
    }
}

/// An empty chunk would end the body.
#[test]
fn no_content_is_no_chunk() {
    assert_eq!(encode(Framing::Chunked, &["a", "", "b"]), Ok("1\r\na\r\n1\r\nb\r\n0\r\n\r\n".to_owned()));
}

#[test]
fn a_body_is_as_long_as_its_head_says() {
    assert_eq!(encode(Framing::Length(3), &["ab"]), Err(EncodeError::TooShort { missing: 1 }));
    assert_eq!(encode(Framing::Length(3), &["ab", "cd"]), Err(EncodeError::TooLong));
    assert_eq!(encode(Framing::None, &["a"]), Err(EncodeError::TooLong));
}

#[test]
fn behind_the_end_there_is_nothing() {
    for framing in [Framing::None, Framing::Length(0), Framing::Chunked, Framing::UntilClose] {
        let mut encoder = BodyEncoder::new(framing);
        let mut out = Vec::new();
        encoder.end(None, &mut out).unwrap();
        let length = out.len();
        assert!(encoder.is_complete());
        assert_eq!(encoder.write(b"a", &mut out), Err(EncodeError::TooLong));
        encoder.end(None, &mut out).unwrap();
        assert_eq!(out.len(), length);
    }
}

#[test]
fn it_is_known_when_all_is_sent() {
    let mut encoder = BodyEncoder::new(Framing::Length(2));
    encoder.frame(1).unwrap();
    assert!(!encoder.is_complete());
    encoder.frame(1).unwrap();
    assert!(encoder.is_complete());
    assert!(!BodyEncoder::new(Framing::Chunked).is_complete());
    assert!(!BodyEncoder::new(Framing::UntilClose).is_complete());
}

#[test]
fn every_size_is_hexadecimal() {
    for length in [1, 9, 15, 16, 255, 256, 65_535, 65_536, usize::MAX >> 1, usize::MAX] {
        let frame = BodyEncoder::new(Framing::Chunked).frame(length).unwrap();
        assert_eq!(frame.before(), format!("{length:x}\r\n").as_bytes());
        assert_eq!(frame.after(), b"\r\n");
    }
}

#[test]
fn trailers_that_must_not_be_are_left_out() {
    let mut trailers = Fields::default();
    trailers.append("X-Checksum", b"1").unwrap();
    trailers.append(KnownField::ContentLength, b"5").unwrap();
    trailers.append("transfer-encoding", b"chunked").unwrap();
    let mut out = Vec::new();
    BodyEncoder::new(Framing::Chunked).end(Some(&trailers), &mut out).unwrap();
    assert_eq!(out, b"0\r\nX-Checksum: 1\r\n\r\n");
    out.clear();
    BodyEncoder::new(Framing::UntilClose).end(Some(&trailers), &mut out).unwrap();
    assert_eq!(out, b"");
}
