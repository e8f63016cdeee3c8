//! Any bytes have one verdict, whatever follows them, and what a header says can be written and reads the same.
#![no_main]

use lb_net::sniff::Progress;
use lb_net::sniff::proxy_protocol::{Checksum, Header, MAX_LENGTH, Tlv, encode_v1, encode_v2, parse};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let more = [bytes, b"\r\nPROXY \0"].concat();
    match parse(bytes) {
        Ok(Progress::NeedMore { at_most }) => assert!((bytes.len() + 1..=MAX_LENGTH).contains(&at_most)),
        Ok(Progress::Done { value, length }) => {
            assert!(
                matches!(parse(&bytes[..length - 1]), Ok(Progress::NeedMore { at_most }) if at_most >= length)
            );
            assert_eq!(parse(&more), Ok(Progress::Done { value: value.clone(), length }));
            write_again(&value);
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            assert_eq!(parse(&more), Err(error));
        }
    }
});

fn write_again(header: &Header<'_>) {
    let tlvs: Vec<Tlv<'_>> = header.tlvs.iter().collect();
    let Some(endpoints) = header.endpoints else { return };
    let line = encode_v1(endpoints);
    let Ok(Progress::Done { value, .. }) = parse(&line) else { panic!("{line:?}") };
    assert_eq!(value.endpoints, Some(endpoints));
    // A checksum may be what makes it too long.
    let Ok(bytes) = encode_v2(endpoints, header.transport, &tlvs, Checksum::Crc32c) else { return };
    let Ok(Progress::Done { value, length }) = parse(&bytes) else { panic!("{bytes:?}") };
    assert_eq!((value.endpoints, value.transport, length), (header.endpoints, header.transport, bytes.len()));
    assert_eq!(value.tlvs.iter().collect::<Vec<_>>(), tlvs);
}
