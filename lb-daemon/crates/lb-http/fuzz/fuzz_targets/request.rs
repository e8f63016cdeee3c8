//! Any bytes have one verdict, however they are cut and whatever follows them, and what a head says can be written and
//! reads the same.
#![no_main]

use lb_http::{HeadLimits, ParseError, Parsed, RequestHead};
use libfuzzer_sys::fuzz_target;

/// Lower than in use, so that the fuzzer meets them.
const LIMITS: HeadLimits = HeadLimits { bytes: 512, target: 64, fields: 8 };

fuzz_target!(|input: &[u8]| {
    let [cut, bytes @ ..] = input else { return };
    // A mistake may be found only when its line ends, so it does.
    let bytes = [bytes, b"\n"].concat();
    let (verdict, head) = parse(&[&bytes]);
    let (pieces, _) = parse(&[&bytes[..usize::from(*cut) % bytes.len()], &bytes]);
    assert_eq!(pieces, verdict);
    match verdict {
        Ok(Parsed::Partial) => assert!(bytes.len() < LIMITS.bytes),
        Ok(Parsed::Complete { length }) => {
            assert_eq!(parse(&[&bytes[..length - 1]]).0, Ok(Parsed::Partial));
            assert_eq!(parse(&[&bytes[..length]]).0, verdict);
            write_again(head);
        }
        Err(error) => {
            assert!(!error.to_string().is_empty() && error.at <= bytes.len());
            assert_eq!(parse(&[&[&bytes[..], b"\r\n\r\n"].concat()]).0, verdict);
        }
    }
});

/// The verdict on the last of the inputs, each of which begins with the one before it, or on the first that has one.
fn parse(inputs: &[&[u8]]) -> (Result<Parsed, ParseError>, RequestHead) {
    let mut head = RequestHead::new();
    let verdicts = inputs.iter().map(|input| head.parse(input, &LIMITS));
    let verdict = verdicts.fold(Ok(Parsed::Partial), |before, verdict| before.and(verdict));
    (verdict, head)
}

fn write_again(mut head: RequestHead) {
    if head.authority().is_none() {
        // With HTTP/1.0 nobody has to tell the host, with 1.1 somebody has to.
        head.fields_mut().set("host", b"a").unwrap();
    }
    let mut out = Vec::new();
    head.write(head.framing(), &mut out);
    let limits = HeadLimits { bytes: usize::MAX, target: usize::MAX, fields: usize::MAX };
    let mut again = RequestHead::new();
    assert_eq!(again.parse(&out, &limits), Ok(Parsed::Complete { length: out.len() }));
    assert_eq!((again.method_name(), again.target()), (head.method_name(), head.target()));
    assert_eq!(again.framing(), head.framing());
    let mut once_more = Vec::new();
    again.write(again.framing(), &mut once_more);
    assert_eq!(once_more, out);
    head.fields_mut().remove_hop_by_hop();
    assert!(head.fields().len() <= again.fields().len());
}
