//! Any bytes have one verdict, however they are cut and whatever follows them, and what a head says can be written and
//! reads the same.
#![no_main]

use lb_http::{HeadLimits, Method, ParseError, Parsed, ResponseHead};
use libfuzzer_sys::fuzz_target;

/// Lower than in use, so that the fuzzer meets them.
const LIMITS: HeadLimits = HeadLimits { bytes: 512, target: 0, fields: 8 };

fuzz_target!(|input: &[u8]| {
    let [cut, bytes @ ..] = input else { return };
    let method = if cut % 2 == 0 { Method::Get } else { Method::Head };
    // A mistake may be found only when its line ends, so it does.
    let bytes = [bytes, b"\n"].concat();
    let (verdict, head) = parse(&[&bytes], method);
    let (pieces, _) = parse(&[&bytes[..usize::from(*cut) % bytes.len()], &bytes], method);
    assert_eq!(pieces, verdict);
    match verdict {
        Ok(Parsed::Partial) => assert!(bytes.len() < LIMITS.bytes),
        Ok(Parsed::Complete { length }) => {
            assert_eq!(parse(&[&bytes[..length - 1]], method).0, Ok(Parsed::Partial));
            assert_eq!(parse(&[&bytes[..length]], method).0, verdict);
            write_again(&head, method);
        }
        Err(error) => {
            assert!(!error.to_string().is_empty() && error.at <= bytes.len());
            assert_eq!(parse(&[&[&bytes[..], b"\r\n\r\n"].concat()], method).0, verdict);
        }
    }
});

/// The verdict on the last of the inputs, each of which begins with the one before it, or on the first that has one.
fn parse(inputs: &[&[u8]], method: Method) -> (Result<Parsed, ParseError>, ResponseHead) {
    let mut head = ResponseHead::new();
    let verdicts = inputs.iter().map(|input| head.parse(input, method, &LIMITS));
    let verdict = verdicts.fold(Ok(Parsed::Partial), |before, verdict| before.and(verdict));
    (verdict, head)
}

fn write_again(head: &ResponseHead, method: Method) {
    let mut out = Vec::new();
    head.write(head.framing(), &mut out);
    let limits = HeadLimits { bytes: usize::MAX, target: usize::MAX, fields: usize::MAX };
    let mut again = ResponseHead::new();
    assert_eq!(again.parse(&out, method, &limits), Ok(Parsed::Complete { length: out.len() }));
    assert_eq!((again.status(), again.reason()), (head.status(), head.reason()));
    assert_eq!(again.framing(), head.framing());
    let mut once_more = Vec::new();
    again.write(again.framing(), &mut once_more);
    assert_eq!(once_more, out);
}
