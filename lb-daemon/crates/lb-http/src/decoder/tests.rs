//! Bodies of every framing, good and bad, in one piece and in many.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::encoder::BodyEncoder;

const LIMITS: BodyLimits = BodyLimits { extensions: 32, trailer_bytes: 64, trailer_fields: 4 };

/// What a body has come to.
#[derive(Debug, Clone, PartialEq)]
struct Outcome {
    content: Vec<u8>,
    /// What of the input does not belong to it.
    rest: Vec<u8>,
    /// Why it is not good, and the offset in the whole input.
    error: Option<ParseError>,
    is_ended: bool,
    trailers: Vec<u8>,
}

impl Outcome {
    /// What does not depend on how the input comes. How much is consumed in front of a mistake does.
    fn verdict(mut self) -> Self {
        if let Some(error) = &mut self.error {
            error.at = 0;
            self.rest.clear();
        }
        self
    }
}

/// Decodes the input as it comes in pieces: what is not consumed is there again with the next piece.
fn decode_in_pieces(framing: Framing, input: &[u8], cuts: &[usize]) -> Outcome {
    let mut decoder = BodyDecoder::new(framing, LIMITS);
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (input.len() + 1)).chain([input.len()]).collect();
    cuts.sort();
    let (mut at, mut content, mut error) = (0, Vec::new(), None);
    'pieces: for cut in cuts {
        while at < cut && !decoder.is_ended() {
            match decoder.decode(&input[at..cut]) {
                Ok(Decoded { consumed, data }) => {
                    assert!(consumed > 0, "no progress at {at}");
                    assert!(data.end <= consumed);
                    content.extend_from_slice(&input[at..cut][data]);
                    at += consumed;
                }
                Err(wrong) => {
                    error = Some(ParseError { at: at + wrong.at, ..wrong });
                    break 'pieces;
                }
            }
        }
    }
    let mut trailers = Vec::new();
    decoder.trailers().into_iter().for_each(|fields| fields.write(Default::default(), &mut trailers));
    Outcome { content, rest: input[at..].to_vec(), error, is_ended: decoder.is_ended(), trailers }
}

fn decode(framing: Framing, input: &str) -> Outcome {
    let whole = decode_in_pieces(framing, input.as_bytes(), &[]);
    let every_byte: Vec<_> = (0..input.len()).collect();
    let bytewise = decode_in_pieces(framing, input.as_bytes(), &every_byte);
    assert_eq!(bytewise.verdict(), whole.clone().verdict(), "{input:?}");
    whole
}

fn good(framing: Framing, input: &str) -> (String, String, String) {
    let Outcome { content, rest, error, is_ended, trailers } = decode(framing, input);
    assert_eq!((error, is_ended), (None, true), "{input:?}");
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (text(content), text(rest), text(trailers))
}

#[test]
fn bodies_of_every_framing() {
    let parts = |content: &str, rest: &str, trailers: &str| {
        (content.to_owned(), rest.to_owned(), trailers.to_owned())
    };
    assert_eq!(good(Framing::None, "GET"), parts("", "GET", ""));
    assert_eq!(good(Framing::Length(0), "GET"), parts("", "GET", ""));
    assert_eq!(good(Framing::Length(3), "abcGET"), parts("abc", "GET", ""));
    assert_eq!(good(Framing::Chunked, "0\r\n\r\nGET"), parts("", "GET", ""));
    assert_eq!(good(Framing::Chunked, "3\r\nabc\r\n0\r\n\r\nGET"), parts("abc", "GET", ""));
    assert_eq!(
        good(Framing::Chunked, "0a\r\n0123456789\r\nB\r\n0123456789a\r\n000\r\n\r\n"),
        parts("01234567890123456789a", "", "")
    );
    assert_eq!(good(Framing::Chunked, "1;a=\"b\u{e9}\t c\"\r\nx\r\n0;\r\n\r\n"), parts("x", "", ""));
    assert_eq!(
        good(Framing::Chunked, "1\r\nx\r\n0\r\nA:b\r\nc: d \r\n\r\nGET"),
        parts("x", "GET", "A: b\r\nc: d\r\n")
    );
    let open = decode(Framing::UntilClose, "abc");
    assert_eq!((open.content, open.is_ended), (b"abc".to_vec(), false));
}

#[test]
fn one_call_is_enough_for_a_body_that_is_there() {
    let mut decoder = BodyDecoder::new(Framing::Chunked, LIMITS);
    let input = b"3\r\nabc\r\n0\r\n\r\nGET";
    assert_eq!(decoder.decode(input), Ok(Decoded { consumed: 13, data: 3..6 }));
    assert!(decoder.is_ended());
}

#[test]
fn data_in_front_of_a_mistake_is_handed_on_first() {
    let mut decoder = BodyDecoder::new(Framing::Chunked, LIMITS);
    assert_eq!(decoder.decode(b"3\r\nabcX"), Ok(Decoded { consumed: 6, data: 3..6 }));
    assert_eq!(decoder.decode(b"X"), Err(ParseError { fault: Fault::ChunkEnd, at: 0 }));
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let long = |start: &str, filler: &str, end: &str| format!("{start}{}{end}", filler.repeat(100));
    let cases = [
        ("\r\n", Fault::ChunkSize, 0),
        ("g\r\n", Fault::ChunkSize, 0),
        ("0x5\r\n", Fault::ChunkSize, 1),
        ("+5\r\n", Fault::ChunkSize, 0),
        ("-5\r\n", Fault::ChunkSize, 0),
        (" 5\r\n", Fault::ChunkSize, 0),
        ("5 \r\n", Fault::ChunkSize, 1),
        ("5 ;a\r\n", Fault::ChunkSize, 1),
        ("5_0\r\n", Fault::ChunkSize, 1),
        ("5,5\r\n", Fault::ChunkSize, 1),
        (";a\r\n", Fault::ChunkSize, 0),
        ("5\n", Fault::ChunkSize, 1),
        ("5\rX", Fault::BareCr, 2),
        ("5;a\n", Fault::BareLf, 3),
        ("5;a\rX", Fault::BareCr, 4),
        ("5;a\0\r\n", Fault::ChunkExtension, 3),
        ("5;a\x7f\r\n", Fault::ChunkExtension, 3),
        ("10000000000000000\r\n", Fault::ChunkSizeTooLarge, 16),
        ("00000000000000001\r\n", Fault::ChunkSizeTooLarge, 16),
        (&long("5;", "a", "\r\n"), Fault::ChunkExtensionsTooLong, 33),
        (&long("", "1;a\r\nx\r\n", ""), Fault::ChunkExtensionsTooLong, 16 * 8 + 1),
        ("1\r\nxy", Fault::ChunkEnd, 4),
        ("1\r\nx\n", Fault::ChunkEnd, 4),
        ("1\r\nx\ry", Fault::BareCr, 5),
        ("0\r\na\r\n\r\n", Fault::FieldName, 4),
        ("0\r\na : b\r\n\r\n", Fault::SpaceBeforeColon, 4),
        ("0\r\n a: b\r\n\r\n", Fault::Folded, 3),
        ("0\r\na: b\n\r\n", Fault::BareLf, 7),
        ("0\r\n\n", Fault::BareLf, 3),
        ("0\r\na:\r\nb:\r\nc:\r\nd:\r\ne:\r\n\r\n", Fault::TooManyFields, 19),
        (&long("0\r\na: ", "b", "\r\n\r\n"), Fault::HeadTooLong, 67),
    ];
    for (input, fault, at) in cases {
        assert_eq!(decode(Framing::Chunked, input).error, Some(ParseError { fault, at }), "{input:?}");
    }
}

#[test]
fn the_largest_chunk_is_one_of_64_bits() {
    let mut decoder = BodyDecoder::new(Framing::Chunked, LIMITS);
    assert_eq!(decoder.decode(b"ffffffffffffffff\r\nabc"), Ok(Decoded { consumed: 21, data: 18..21 }));
    assert_eq!(decoder.close(), Err(Fault::Truncated));
}

#[test]
fn only_a_body_without_an_end_of_its_own_ends_with_the_connection() {
    for (framing, input, end) in [
        (Framing::None, "", Ok(())),
        (Framing::UntilClose, "", Ok(())),
        (Framing::UntilClose, "abc", Ok(())),
        (Framing::Length(3), "ab", Err(Fault::Truncated)),
        (Framing::Length(3), "abc", Ok(())),
        (Framing::Chunked, "", Err(Fault::Truncated)),
        (Framing::Chunked, "1\r\na\r\n0\r\n", Err(Fault::Truncated)),
        (Framing::Chunked, "1\r\na\r\n0\r\na: b\r\n", Err(Fault::Truncated)),
        (Framing::Chunked, "0\r\n\r\n", Ok(())),
    ] {
        let mut decoder = BodyDecoder::new(framing, LIMITS);
        let mut rest = input.as_bytes();
        while !rest.is_empty() {
            rest = &rest[decoder.decode(rest).unwrap().consumed..];
        }
        assert_eq!(decoder.close(), end, "{framing:?} {input:?}");
        assert_eq!(decoder.is_ended(), end.is_ok());
    }
}

/// The content as some client might send it in chunks.
fn chunked(pieces: &[Vec<u8>], extension: &str, trailers: &str) -> Vec<u8> {
    let mut out = Vec::new();
    for piece in pieces.iter().filter(|piece| !piece.is_empty()) {
        out.extend_from_slice(format!("{:03X}{extension}\r\n", piece.len()).as_bytes());
        out.extend_from_slice(piece);
        out.extend_from_slice(b"\r\n");
    }
    out.extend_from_slice(format!("0{extension}\r\n{trailers}\r\n").as_bytes());
    out
}

fn almost_chunks() -> impl Strategy<Value = Vec<u8>> {
    let part = prop::sample::select(vec![
        "0",
        "1",
        "3",
        "a",
        "\r\n",
        "\r\n",
        "\r\n",
        "\r",
        "\n",
        "x",
        "abc",
        ";",
        ";a=b",
        " ",
        "a: b\r\n",
        "0\r\n\r\n",
        "\0",
        "3\r\nabc\r\n",
        "1;a\r\nx\r\n",
    ]);
    vec(part, 0..12).prop_map(|parts| parts.concat().into_bytes())
}

proptest! {
    #[test]
    fn no_byte_is_lost_or_invented(
        pieces in vec(vec(any::<u8>(), 0..40), 0..6),
        extension in prop::sample::select(vec!["", ";a", ";"]),
        trailers in prop::sample::select(vec!["", "A: b\r\n", "A: b\r\nc: d\r\n"]),
        rest in vec(any::<u8>(), 0..10),
        cuts in vec(any::<usize>(), 0..10),
    ) {
        let content = pieces.concat();
        let input = [chunked(&pieces, extension, trailers), rest.clone()].concat();
        let expected = Outcome { content, rest, error: None, is_ended: true, trailers: trailers.as_bytes().to_vec() };
        prop_assert_eq!(decode_in_pieces(Framing::Chunked, &input, &cuts), expected);
    }

    #[test]
    fn what_is_encoded_is_decoded(
        pieces in vec(vec(any::<u8>(), 0..40), 0..6),
        is_chunked: bool,
        rest in vec(any::<u8>(), 0..10),
        cuts in vec(any::<usize>(), 0..10),
    ) {
        let content = pieces.concat();
        let framing = if is_chunked { Framing::Chunked } else { Framing::Length(content.len() as u64) };
        let mut encoder = BodyEncoder::new(framing);
        let mut input = Vec::new();
        for piece in &pieces {
            encoder.write(piece, &mut input).unwrap();
        }
        encoder.end(None, &mut input).unwrap();
        input.extend_from_slice(&rest);
        let expected = Outcome { content, rest, error: None, is_ended: true, trailers: Vec::new() };
        prop_assert_eq!(decode_in_pieces(framing, &input, &cuts), expected);
    }

    #[test]
    fn however_it_comes_the_verdict_is_the_same(start in almost_chunks(), cuts in vec(any::<usize>(), 0..6)) {
        let input = [&start[..], b"\n"].concat();
        let (whole, pieces) = (decode_in_pieces(Framing::Chunked, &input, &[]), decode_in_pieces(Framing::Chunked, &input, &cuts));
        prop_assert_eq!(pieces.verdict(), whole.verdict());
    }
}
