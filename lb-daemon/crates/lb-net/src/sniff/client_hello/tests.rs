//! Hellos built by hand and by real clients, whole, in pieces, broken.

mod clients;

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const LIMIT: usize = DEFAULT_LIMIT;

/// What a hello is built from: a good one, until a test changes something.
#[derive(Debug, Clone)]
struct Hello {
    version: u16,
    session_id: Vec<u8>,
    cipher_suites: Vec<u8>,
    compression_methods: Vec<u8>,
    extensions: Vec<(u16, Vec<u8>)>,
}

impl Default for Hello {
    fn default() -> Self {
        Self {
            version: 0x0303,
            session_id: vec![7; 32],
            cipher_suites: vec![0x13, 0x01],
            compression_methods: vec![0],
            extensions: vec![server_name("www.example.com"), alpn(&["h2", "http/1.1"]), (43, vec![2, 3, 4])],
        }
    }
}

impl Hello {
    fn with(extensions: Vec<(u16, Vec<u8>)>) -> Self {
        Self { extensions, ..Self::default() }
    }

    fn body(&self) -> Vec<u8> {
        let extensions = self
            .extensions
            .iter()
            .flat_map(|(kind, data)| [&kind.to_be_bytes()[..], &u16_vector(data)].concat());
        let start = [&self.version.to_be_bytes()[..], &[0xAB; 32], &u8_vector(&self.session_id)].concat();
        let lists = [u16_vector(&self.cipher_suites), u8_vector(&self.compression_methods)].concat();
        [start, lists, u16_vector(&extensions.collect::<Vec<_>>())].concat()
    }

    /// In one record.
    fn record(&self) -> Vec<u8> {
        records(&message(&self.body()), usize::MAX)
    }
}

fn server_name(name: &str) -> (u16, Vec<u8>) {
    (0, u16_vector(&[&[0], &*u16_vector(name.as_bytes())].concat()))
}

fn alpn(protocols: &[&str]) -> (u16, Vec<u8>) {
    (16, u16_vector(&protocols.iter().flat_map(|name| u8_vector(name.as_bytes())).collect::<Vec<_>>()))
}

fn u8_vector(content: &[u8]) -> Vec<u8> {
    [&[u8::try_from(content.len()).unwrap()], content].concat()
}

fn u16_vector(content: &[u8]) -> Vec<u8> {
    [&u16::try_from(content.len()).unwrap().to_be_bytes(), content].concat()
}

/// A ClientHello with any body.
fn message(body: &[u8]) -> Vec<u8> {
    let [_, length @ ..] = u32::try_from(body.len()).unwrap().to_be_bytes();
    [&[1], &length[..], body].concat()
}

/// A message in handshake records of `size` bytes each.
fn records(message: &[u8], size: usize) -> Vec<u8> {
    message.chunks(size).flat_map(|content| [&[22, 3, 1], &*u16_vector(content)].concat()).collect()
}

#[track_caller]
fn done(bytes: &[u8]) -> (ClientHello, usize) {
    match parse(bytes, LIMIT) {
        Ok(Progress::Done { value, length }) => (value, length),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn name_in(bytes: &[u8]) -> Option<String> {
    done(bytes).0.server_name.map(|name| name.to_string())
}

/// Checks that `bytes` are refused with this alert.
#[track_caller]
fn assert_alert(bytes: &[u8], alert: Alert) {
    match parse(bytes, LIMIT) {
        Err(error) => assert_eq!(error.alert(), Some(alert), "{error}"),
        other => panic!("{other:?}"),
    }
}

/// Checks that the hello is whole with its last byte, and not before, whatever follows.
#[track_caller]
fn assert_ends_with_its_last_byte(bytes: &[u8]) {
    let (whole, length) = done(bytes);
    assert_eq!(length, bytes.len());
    assert_eq!(done(&[bytes, b"\x17anything"].concat()), (whole, length));
    for end in 0..bytes.len() {
        assert_eq!(parse(&bytes[..end], LIMIT), Ok(Progress::NeedMore { at_most: LIMIT }), "at {end}");
    }
}

#[test]
fn says_whom_the_client_wants() {
    let bytes = Hello::default().record();
    let (hello, _) = done(&bytes);
    assert_eq!(hello.server_name, Some("www.example.com".parse().unwrap()));
    assert_eq!(hello.alpn.iter().collect::<Vec<_>>(), [&b"h2"[..], b"http/1.1"]);
    assert!(hello.alpn.contains(b"h2") && !hello.alpn.contains(b"http/1"));
    assert_ends_with_its_last_byte(&bytes);
}

#[test]
fn a_name_is_lower_case_without_the_dot_of_the_root() {
    assert_eq!(
        name_in(&Hello::with(vec![server_name("WWW.Example.COM.")]).record()).unwrap(),
        "www.example.com"
    );
}

#[test]
fn a_client_may_ask_for_nobody() {
    let nobody = ClientHello { server_name: None, alpn: AlpnProtocols::default() };
    assert_eq!(done(&Hello::with(vec![]).record()).0, nobody);
    // Before TLS 1.3, even the list of extensions may be missing.
    let body = Hello::with(vec![]).body();
    let bytes = records(&message(&body[..body.len() - 2]), usize::MAX);
    assert_eq!(done(&bytes).0, nobody);
    // A type of name that nobody knows yet.
    let unknown = (0, u16_vector(&[&[9], &*u16_vector(b"x")].concat()));
    assert_eq!(done(&Hello::with(vec![unknown]).record()).0, nobody);
}

#[test]
fn an_ip_address_is_no_name() {
    for ip in ["192.0.2.1", "2001:db8::1"] {
        assert_eq!(name_in(&Hello::with(vec![server_name(ip)]).record()), None);
    }
}

#[test]
fn a_hello_may_come_in_many_records() {
    for size in [1, 2, 3, 4, 5, 50] {
        let bytes = records(&message(&Hello::default().body()), size);
        assert_eq!(name_in(&bytes).unwrap(), "www.example.com", "{size}");
        assert_ends_with_its_last_byte(&bytes);
    }
}

#[test]
fn what_follows_in_the_same_record_is_not_of_the_hello() {
    let hello = message(&Hello::default().body());
    let (read, length) = done(&records(&[&hello[..], b"more"].concat(), usize::MAX));
    assert_eq!((read, length), (done(&records(&hello, usize::MAX)).0, 5 + hello.len()));
}

#[test]
fn every_version_since_tls_1_0_is_taken() {
    for version in [0x0301, 0x0302, 0x0303, 0x0304] {
        assert!(name_in(&Hello { version, ..Hello::default() }.record()).is_some());
    }
    for version in [0x0300, 0x0200, 0x0002] {
        assert_alert(&Hello { version, ..Hello::default() }.record(), Alert::ProtocolVersion);
    }
    let mut bytes = Hello::default().record();
    bytes[2] = 0xFF;
    assert!(name_in(&bytes).is_some(), "the minor version of a record is to be ignored");
}

#[test]
fn what_is_not_tls_is_refused_at_its_first_byte() {
    for first in ["GET / HTTP/1.1", "SSH-2.0-", "\0", "\x7F", "PROXY ", "EHLO"] {
        assert_eq!(parse(&first.as_bytes()[..1], LIMIT), Err(InvalidHello::NotTls), "{first:?}");
    }
    // SSL 2.0: a length with its highest bit set, then the type CLIENT-HELLO.
    assert_eq!(parse(&[0x80], LIMIT), Err(InvalidHello::NotTls));
    assert_eq!(parse(&[0x80, 0x2E, 1, 3, 1], LIMIT), Err(InvalidHello::NotTls));
    assert_eq!(parse(&[22, b'x'], LIMIT), Err(InvalidHello::NotTls));
    assert_eq!(InvalidHello::NotTls.alert(), None);
}

#[test]
fn other_messages_are_unexpected() {
    for kind in [20, 21, 23] {
        assert_alert(&[kind], Alert::UnexpectedMessage);
        assert_alert(&[kind, 0], Alert::UnexpectedMessage);
    }
    assert_alert(&[22, 3, 1, 0, 5, 2], Alert::UnexpectedMessage);
    assert_alert(&[22, 3, 1, 0, 0], Alert::UnexpectedMessage);
    let half = &Hello::default().record()[5..45];
    for kind in [21, 23, 99] {
        assert_alert(&[&records(half, usize::MAX)[..], &[kind]].concat(), Alert::UnexpectedMessage);
    }
    assert_alert(&[&records(half, usize::MAX)[..], &[22, 2]].concat(), Alert::ProtocolVersion);
}

#[test]
fn sizes_have_bounds() {
    assert_alert(&[22, 3, 1, 0x40, 0x01], Alert::RecordOverflow);
    assert_eq!(parse(&[22, 3, 1, 0x40, 0x00], LIMIT), Ok(Progress::NeedMore { at_most: LIMIT }));
    // As soon as it says how long it is.
    let claims = [22, 3, 1, 0, 9, 1, 0, 0x40, 0];
    assert_eq!(parse(&claims, LIMIT), Err(InvalidHello::TooLong { limit: LIMIT }));
    assert_alert(&claims, Alert::IllegalParameter);
    let bytes = Hello::default().record();
    assert!(matches!(parse(&bytes, bytes.len()), Ok(Progress::Done { .. })));
    let limit = bytes.len() - 1;
    assert_eq!(parse(&bytes[..limit], limit), Err(InvalidHello::TooLong { limit }));
    assert_eq!(parse(&bytes, limit), Err(InvalidHello::TooLong { limit }));
}

#[test]
fn the_headers_of_records_count_too() {
    let padded = Hello::with(vec![server_name("a.example"), (21, vec![0; 2000])]);
    let bytes = records(&message(&padded.body()), 1);
    assert_eq!(name_in(&bytes).unwrap(), "a.example");
    let large = Hello::with(vec![server_name("a.example"), (21, vec![0; 4000])]);
    let bytes = records(&message(&large.body()), 1);
    assert_eq!(parse(&bytes, LIMIT), Err(InvalidHello::TooLong { limit: LIMIT }));
}

#[test]
fn what_cannot_be_taken_apart_is_a_decode_error() {
    let good = Hello::default();
    for broken in [
        Hello { session_id: vec![0; 33], ..good.clone() },
        Hello { cipher_suites: vec![], ..good.clone() },
        Hello { cipher_suites: vec![0x13], ..good.clone() },
        Hello { compression_methods: vec![], ..good.clone() },
        Hello::with(vec![(0, vec![])]),
        Hello::with(vec![(0, vec![0, 0])]),
        Hello::with(vec![server_name("")]),
        Hello::with(vec![(0, vec![0, 4, 0, 0, 2, b'a'])]),
        Hello::with(vec![(0, vec![0, 4, 0, 0, 1, b'a', b'b'])]),
        Hello::with(vec![(16, vec![])]),
        Hello::with(vec![alpn(&[])]),
        Hello::with(vec![alpn(&["h2", ""])]),
        Hello::with(vec![(16, vec![0, 2, 2, b'h'])]),
    ] {
        assert_alert(&broken.record(), Alert::DecodeError);
    }
    let body = good.body();
    assert_alert(&records(&message(&[&body[..], b"x"].concat()), usize::MAX), Alert::DecodeError);
    for end in 0..body.len() {
        let cut = records(&message(&body[..end]), usize::MAX);
        // Without its list of extensions it is a good hello of TLS 1.2.
        if end != 2 + 32 + 33 + 4 + 2 {
            assert_alert(&cut, Alert::DecodeError);
        }
    }
}

#[test]
fn what_must_not_be_is_an_illegal_parameter() {
    let two_names = u16_vector(&[0, 0, 1, b'a', 0, 0, 1, b'b']);
    for broken in [
        Hello::with(vec![server_name("a.example"), (5, vec![]), server_name("a.example")]),
        Hello::with(vec![(0x0A0A, vec![]), (0x0A0A, vec![])]),
        Hello::with(vec![(0, two_names)]),
        Hello::with(vec![server_name("a b")]),
        Hello::with(vec![server_name("*.example.com")]),
        Hello::with(vec![server_name("bücher.example")]),
        Hello::with(vec![server_name("a..example")]),
        Hello::with(vec![server_name("10.1")]),
        Hello::with(vec![server_name("a\0.example")]),
        Hello::with(vec![(0, u16_vector(&[0, 0, 2, 0xC3, 0x28]))]),
    ] {
        assert_alert(&broken.record(), Alert::IllegalParameter);
    }
}

fn any_hello() -> impl Strategy<Value = Hello> {
    let name = prop::option::of("[a-zA-Z0-9]{1,20}(\\.[a-z]{1,10}){1,3}".prop_map(|name| server_name(&name)));
    let protocols = prop::option::of(
        vec("[a-z0-9/.]{1,9}", 1..4)
            .prop_map(|names| alpn(&names.iter().map(String::as_str).collect::<Vec<_>>())),
    );
    let other = prop::option::of((17_u16.., vec(any::<u8>(), 0..200)));
    (name, protocols, other, vec(any::<u8>(), 0..=32)).prop_map(|(name, protocols, other, session_id)| {
        Hello {
            session_id,
            extensions: [other, protocols, name].into_iter().flatten().collect(),
            ..Hello::default()
        }
    })
}

/// A hello in records in which some bytes are wrong.
fn almost_a_hello() -> impl Strategy<Value = Vec<u8>> {
    let wrong = vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (any_hello(), 1_usize..200, wrong).prop_map(|(hello, size, wrong)| {
        let mut bytes = records(&message(&hello.body()), size);
        for (at, byte) in wrong {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        bytes
    })
}

proptest! {
    #[test]
    fn reads_the_same_however_it_is_cut(hello in any_hello(), size in 1_usize..200) {
        let bytes = records(&message(&hello.body()), size);
        prop_assert_eq!(done(&bytes).0, done(&hello.record()).0);
        assert_ends_with_its_last_byte(&bytes);
    }

    #[test]
    fn more_bytes_do_not_change_a_verdict(
        bytes in prop_oneof![almost_a_hello(), vec(any::<u8>(), 0..80)],
        limit in 0_usize..600,
    ) {
        let mut verdict = None;
        for end in 0..=bytes.len() {
            let now = parse(&bytes[..end], limit);
            match (&verdict, &now) {
                (Some(verdict), now) => prop_assert_eq!(verdict, now),
                (None, Ok(Progress::NeedMore { at_most })) => prop_assert!(*at_most == limit && limit > end),
                (None, Ok(Progress::Done { length, .. })) => {
                    prop_assert!(*length == end && end <= limit);
                    verdict = Some(now);
                }
                (None, Err(_)) => verdict = Some(now),
            }
        }
    }
}
