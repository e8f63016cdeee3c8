//! A chunked body has one content, however it is cut; no byte is lost or invented, and what was decoded can be encoded
//! and decodes to the same.
#![no_main]

use lb_http::{BodyDecoder, BodyEncoder, BodyLimits, Decoded, Fault, Framing};
use libfuzzer_sys::fuzz_target;

/// Lower than in use, so that the fuzzer meets them.
const LIMITS: BodyLimits = BodyLimits { extensions: 32, trailer_bytes: 64, trailer_fields: 4 };

fuzz_target!(|input: &[u8]| {
    let [cut, bytes @ ..] = input else { return };
    // A mistake in trailers may be found only when its line ends, so it does.
    let bytes = [bytes, b"\n"].concat();
    let whole = Body::decode(&bytes, bytes.len());
    assert_eq!(Body::decode(&bytes, usize::from(*cut) % bytes.len()), whole);
    assert_eq!(Body::decode(&bytes, 1), whole);
    if let Ok(length) = whole.end {
        assert_eq!(Body::decode(&bytes[..length], length), whole);
        let encoded = whole.encode();
        assert_eq!(Body::decode(&encoded, encoded.len()).content, whole.content);
    }
});

#[derive(Debug, PartialEq)]
struct Body {
    content: Vec<u8>,
    /// How long it was, or why it has no end.
    end: Result<usize, Fault>,
}

impl Body {
    /// Decodes the input, which comes in two pieces.
    fn decode(input: &[u8], cut: usize) -> Self {
        let mut decoder = BodyDecoder::new(Framing::Chunked, LIMITS);
        let (mut content, mut at) = (Vec::new(), 0);
        for come in [cut, input.len()] {
            while at < come && !decoder.is_ended() {
                match decoder.decode(&input[at..come]) {
                    Ok(Decoded { consumed, data }) => {
                        assert!(consumed > 0 && data.end <= consumed);
                        content.extend_from_slice(&input[at..come][data]);
                        at += consumed;
                    }
                    Err(error) => return Self { content, end: Err(error.fault) },
                }
            }
        }
        Self { content, end: decoder.close().map(|()| at) }
    }

    fn encode(&self) -> Vec<u8> {
        let mut encoder = BodyEncoder::new(Framing::Chunked);
        let mut out = Vec::new();
        encoder.write(&self.content, &mut out).unwrap();
        encoder.end(None, &mut out).unwrap();
        out
    }
}
