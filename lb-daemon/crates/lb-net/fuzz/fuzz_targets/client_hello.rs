//! Any bytes have one verdict, whatever follows them, and what a hello asks for is well-formed.
#![no_main]

use lb_net::sniff::Progress;
use lb_net::sniff::client_hello::{ClientHello, parse};
use libfuzzer_sys::fuzz_target;

/// Shorter than by default, so that the fuzzer meets it.
const LIMIT: usize = 2048;

fuzz_target!(|bytes: &[u8]| {
    let more = [bytes, b"\x17\x03\x03\0\x01x"].concat();
    match parse(bytes, LIMIT) {
        Ok(Progress::NeedMore { at_most }) => assert!(at_most == LIMIT && bytes.len() < LIMIT),
        Ok(Progress::Done { value, length }) => {
            assert!(matches!(parse(&bytes[..length - 1], LIMIT), Ok(Progress::NeedMore { .. })));
            look_at(&value);
            assert_eq!(parse(&more, LIMIT), Ok(Progress::Done { value, length }));
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert_eq!(parse(&more, LIMIT), Err(error));
        }
    }
});

fn look_at(hello: &ClientHello) {
    if let Some(name) = &hello.server_name {
        assert_eq!(name.as_str().parse().as_ref(), Ok(name));
    }
    assert!(hello.alpn.iter().all(|protocol| !protocol.is_empty() && hello.alpn.contains(protocol)));
}
