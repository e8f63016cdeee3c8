//! Headers as the specification has them, and what else may come.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn endpoints(source: &str, destination: &str) -> Endpoints {
    Endpoints { source: source.parse().unwrap(), destination: destination.parse().unwrap() }
}

/// A header that is whole.
#[track_caller]
fn done(bytes: &[u8]) -> (Header<'_>, usize) {
    match parse(bytes) {
        Ok(Progress::Done { value, length }) => (value, length),
        other => panic!("{other:?}"),
    }
}

/// How many bytes a beginning wants at most.
#[track_caller]
fn wanted(bytes: &[u8]) -> usize {
    match parse(bytes) {
        Ok(Progress::NeedMore { at_most }) => at_most,
        other => panic!("{bytes:02x?}: {other:?}"),
    }
}

/// Checks that `header` is whole with its last byte, and not before, whatever follows.
#[track_caller]
fn assert_ends_with_its_last_byte(header: &[u8]) {
    let coalesced = [header, b"\r\nPROXY "].concat();
    let (whole, length) = done(header);
    assert_eq!(length, header.len());
    assert_eq!(done(&coalesced), (whole, length));
    let mut at_most = MAX_LENGTH;
    for end in 0..header.len() {
        let now = wanted(&header[..end]);
        assert!((header.len()..=at_most).contains(&now), "at {end}: {now}, before it {at_most}");
        at_most = now;
    }
}

mod v1 {
    use super::*;

    #[test]
    fn reads_the_example_of_the_specification() {
        let bytes =
            b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\nGET / HTTP/1.1\r\nHost: 192.168.0.11\r\n\r\n";
        let (header, length) = done(bytes);
        assert_eq!(header.endpoints, Some(endpoints("192.168.0.1:56324", "192.168.0.11:443")));
        assert_eq!((header.transport, header.tlvs.iter().count()), (Transport::Stream, 0));
        assert!(bytes[length..].starts_with(b"GET "));
    }

    #[test]
    fn reads_ipv6_in_every_form() {
        for (text, meant) in [
            ("2001:db8::1", "2001:db8::1"),
            ("2001:0DB8:0000:0000:0000:0000:0000:0001", "2001:db8::1"),
            ("::", "::"),
            // As inet_ntop writes mapped addresses, and as the specification does.
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("::ffff:c000:201", "192.0.2.1"),
        ] {
            let line = format!("PROXY TCP6 {text} ::1 0 65535\r\n");
            let source = done(line.as_bytes()).0.endpoints.unwrap().source;
            assert_eq!(source, SocketAddr::new(meant.parse().unwrap(), 0), "{text}");
        }
    }

    #[test]
    fn unknown_may_say_anything() {
        let longest = format!(
            "PROXY UNKNOWN {0} {0} 65535 65535\r\n",
            [0xFFFF_u16; 8].map(|g| format!("{g:x}")).join(":")
        );
        assert_eq!(longest.len(), 107);
        for line in ["PROXY UNKNOWN\r\n", "PROXY UNKNOWN \r\n", "PROXY UNKNOWN \n\r\0?\r\n", &longest] {
            assert_eq!(done(line.as_bytes()).0.endpoints, None, "{line:?}");
            assert_ends_with_its_last_byte(line.as_bytes());
        }
    }

    #[test]
    fn refuses_what_does_not_match_exactly() {
        for line in [
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 \r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
            "PROXY TCP4 192.0.2.1  192.0.2.2 1 2\r\n",
            "PROXY TCP4  192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\r\n",
            "PROXY TCP4 192.0.2.1\t192.0.2.2 1 2\r\n",
            "PROXY TCP4 192.0.02.1 192.0.2.2 1 2\r\n",
            "PROXY TCP4 192.0.2 192.0.2.2 1 2\r\n",
            "PROXY TCP4 192.0.2.256 192.0.2.2 1 2\r\n",
            "PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n",
            "PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY TCP6 2001:db8::1::2 ::1 1 2\r\n",
            "PROXY TCP6 fe80::1%1 ::1 1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 01 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 00\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 a 2\r\n",
            "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY tcp4 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY UNKNOWN?\r\n",
        ] {
            assert!(
                matches!(parse(line.as_bytes()), Err(InvalidHeader::Line(_))),
                "{line:?}: {:?}",
                parse(line.as_bytes())
            );
        }
    }

    #[test]
    fn refuses_at_the_first_byte_that_cannot_be() {
        for impossible in [
            "POST / HTTP/1.1\r\n",
            "PROXY TCP5",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\n",
            "PROXY TCP4 192.0.2.1x",
            "PROXY TCP6 g",
            "PROXY UNKNOWNS",
        ] {
            let end =
                (0..impossible.len()).find(|&end| parse(&impossible.as_bytes()[..=end]).is_err()).unwrap();
            let expected = match impossible {
                "POST / HTTP/1.1\r\n" => 1,
                _ => impossible.len() - 1,
            };
            assert_eq!(end, expected, "{impossible:?}");
        }
    }

    #[test]
    fn a_line_ends_within_107_bytes() {
        for endless in
            ["PROXY UNKNOWN ".to_owned() + &"x".repeat(200), "PROXY TCP6 ".to_owned() + &"1".repeat(200)]
        {
            assert_eq!(wanted(&endless.as_bytes()[..106]), 107);
            assert_eq!(parse(&endless.as_bytes()[..107]), Err(InvalidHeader::LineTooLong));
            assert_eq!(parse(endless.as_bytes()), Err(InvalidHeader::LineTooLong));
        }
        let late = "PROXY UNKNOWN ".to_owned() + &"x".repeat(92) + "\r\n";
        assert_eq!((late.len(), parse(late.as_bytes())), (108, Err(InvalidHeader::LineTooLong)));
    }

    #[test]
    fn writes_one_family() {
        let line =
            |source, destination| String::from_utf8(encode_v1(endpoints(source, destination))).unwrap();
        assert_eq!(line("192.0.2.1:1", "192.0.2.2:2"), "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n");
        assert_eq!(line("[2001:db8::1]:1", "[::1]:2"), "PROXY TCP6 2001:db8::1 ::1 1 2\r\n");
        assert_eq!(line("192.0.2.1:1", "[::1]:2"), "PROXY TCP6 0:0:0:0:0:ffff:c000:201 ::1 1 2\r\n");
        assert_eq!(line("[::ffff:192.0.2.1]:1", "192.0.2.2:2"), "PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n");
    }
}

mod v2 {
    use super::*;

    const SIGNATURE: &[u8; 12] = b"\x0D\x0A\x0D\x0A\x00\x0D\x0A\x51\x55\x49\x54\x0A";

    /// A header with any content.
    fn header(command: u8, family: u8, block: &[u8]) -> Vec<u8> {
        let length = u16::try_from(block.len()).unwrap().to_be_bytes();
        [&SIGNATURE[..], &[command, family], &length, block].concat()
    }

    const INET: &[u8] = &[192, 0, 2, 1, 192, 0, 2, 2, 0x12, 0x34, 0x01, 0xBB];

    /// A header with TLVs behind IPv4 addresses.
    fn with_tlvs(tlvs: &[u8]) -> Vec<u8> {
        header(0x21, 0x11, &[INET, tlvs].concat())
    }

    #[test]
    fn reads_addresses() {
        let v4 = header(0x21, 0x11, INET);
        assert_eq!(done(&v4).0.endpoints, Some(endpoints("192.0.2.1:4660", "192.0.2.2:443")));
        assert_eq!(done(&v4).0.transport, Transport::Stream);
        assert_eq!(done(&header(0x21, 0x12, INET)).0.transport, Transport::Datagram);
        let ips = ["2001:db8::1", "::ffff:192.0.2.2"].map(|ip| ip.parse::<Ipv6Addr>().unwrap().octets());
        let v6 = header(0x21, 0x21, &[&ips.concat(), &INET[8..]].concat());
        assert_eq!(done(&v6).0.endpoints, Some(endpoints("[2001:db8::1]:4660", "192.0.2.2:443")));
        assert_ends_with_its_last_byte(&v4);
        assert_ends_with_its_last_byte(&v6);
    }

    #[test]
    fn without_ip_addresses_the_real_ones_count() {
        let paths = [b'/'; 216];
        for (command, family, block) in [
            (0x20, 0x00, &[][..]),
            (0x20, 0x11, INET),
            (0x20, 0xFF, b"whatever"),
            (0x21, 0x00, b""),
            (0x21, 0x00, b"whatever"),
            (0x21, 0x01, b"\xFF"),
            (0x21, 0x10, INET),
            (0x21, 0x31, &paths),
            (0x21, 0x32, &paths),
        ] {
            let bytes = header(command, family, block);
            assert_eq!(done(&bytes).0.endpoints, None, "{command:#x} {family:#x}");
            assert_ends_with_its_last_byte(&bytes);
        }
        assert_eq!(done(&LOCAL).1, 16);
    }

    #[test]
    fn unix_sockets_have_tlvs_too() {
        let bytes = header(0x21, 0x31, &[&[b'/'; 216][..], &[5, 0, 1, 7]].concat());
        assert_eq!(done(&bytes).0.tlvs.iter().collect::<Vec<_>>(), [Tlv::UniqueId(&[7])]);
    }

    #[test]
    fn refuses_what_is_unassigned() {
        for (command, family, error) in [
            (0x11, 0x11, InvalidHeader::Version(1)),
            (0x31, 0x11, InvalidHeader::Version(3)),
            (0x22, 0x11, InvalidHeader::Command(2)),
            (0x21, 0x41, InvalidHeader::Family(4)),
            (0x21, 0x40, InvalidHeader::Family(4)),
            (0x21, 0x13, InvalidHeader::Transport(3)),
        ] {
            let bytes = header(command, family, INET);
            assert_eq!(parse(&bytes), Err(error.clone()));
            assert_eq!(parse(&bytes[..14]), Err(error), "before the length");
        }
        assert_eq!(parse(b"\r\n\r\n\0\r\nQUIP"), Err(InvalidHeader::NoHeader));
        assert_eq!(parse(b"\r\n\r\n\0\r\nQUIP\nlonger"), Err(InvalidHeader::NoHeader));
        assert_eq!(parse(&[22, 3, 1]), Err(InvalidHeader::NoHeader));
    }

    #[test]
    fn the_length_has_bounds() {
        let too_short = InvalidHeader::TooShort { length: 27, needed: 28 };
        assert_eq!(parse(&header(0x21, 0x11, &INET[..11])[..16]), Err(too_short));
        assert!(matches!(parse(&header(0x21, 0x21, &[0; 35])), Err(InvalidHeader::TooShort { .. })));
        assert!(matches!(parse(&header(0x21, 0x31, &[0; 215])), Err(InvalidHeader::TooShort { .. })));
        assert_eq!(done(&header(0x20, 0, &[0; 4080])).1, MAX_LENGTH);
        assert_eq!(parse(&header(0x20, 0, &[0; 4081])[..16]), Err(InvalidHeader::TooLong(4097)));
        assert_eq!(wanted(&header(0x21, 0x11, &[0; 100])[..16]), 116);
    }

    #[test]
    fn reads_every_tlv() {
        let ssl = [1, 0, 0, 0, 0, 0x21, 0, 7, b'T', b'L', b'S', b'v', b'1', b'.', b'3', 0x22, 0, 1, b'x'];
        let tlvs = [
            &[1, 0, 2, b'h', b'2'][..],
            &[4, 0, 0, 4, 0, 1, 0xFF],
            &[2, 0, 3, b'a', b'.', b'b'],
            &[5, 0, 0],
            &[0x20, 0, 19],
            &ssl,
            &[0x30, 0, 1, b'n'],
            &[0xEA, 0, 1, 0xFF],
        ]
        .concat();
        let bytes = with_tlvs(&tlvs);
        let tlvs: Vec<_> = done(&bytes).0.tlvs.iter().collect();
        let [alpn, authority, id, Tlv::Ssl(ssl), netns, other] = *tlvs else { panic!("{tlvs:?}") };
        assert_eq!([alpn, authority], [Tlv::Alpn(b"h2"), Tlv::Authority("a.b")]);
        assert_eq!([id, netns], [Tlv::UniqueId(b""), Tlv::Netns("n")]);
        assert_eq!(other, Tlv::Other(RawTlv { kind: 0xEA, value: &[0xFF] }));
        assert_eq!((ssl.client, ssl.verify), (1, 0));
        let details: Vec<_> = ssl.details().map(|raw| (raw.kind, raw.value)).collect();
        assert_eq!(details, [(0x21, &b"TLSv1.3"[..]), (0x22, b"x")]);
    }

    #[test]
    fn refuses_broken_tlvs() {
        let long_id = [&[5, 0, 129][..], &[0; 129]].concat();
        for tlvs in [
            &[1][..],
            &[1, 0],
            &[1, 0, 1],
            &[1, 0, 0, 1],
            &[2, 0, 1, 0xFF],
            &[3, 0, 3, 0, 0, 0],
            &long_id,
            &[0x20, 0, 4, 1, 0, 0, 0],
            &[0x20, 0, 6, 1, 0, 0, 0, 0, 0x21],
            &[0x30, 0, 2, 0xC3, 0xA9],
            &[3, 0, 4, 0, 0, 0, 0, 3, 0, 4, 0, 0, 0, 0],
        ] {
            assert!(matches!(parse(&with_tlvs(tlvs)), Err(InvalidHeader::Tlv(_))), "{tlvs:?}");
        }
    }

    #[test]
    fn the_checksum_may_be_anywhere() {
        let mut bytes = with_tlvs(&[3, 0, 4, 0, 0, 0, 0, 2, 0, 1, b'a']);
        let sum = crc32c::crc32c(&bytes);
        assert!(
            matches!(parse(&bytes), Err(InvalidHeader::Checksum { claimed: 0, actual }) if actual == sum)
        );
        bytes[31..35].copy_from_slice(&sum.to_be_bytes());
        assert_eq!(done(&bytes).0.tlvs.iter().collect::<Vec<_>>(), [Tlv::Authority("a")]);
    }

    /// With `send-proxy-v2 proxy-v2-options crc32c,unique-id,ssl`, captured.
    #[test]
    fn reads_what_haproxy_sends() {
        let bytes = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x2a\x7f\0\0\x01\x7f\0\0\x01\xae\x8a\xdc\x47\
            \x03\0\x04\x0c\xf7\xbf\x23\x05\0\x0cid-127.0.0.1\x20\0\x05\0\0\0\0\0";
        let (header, length) = done(bytes);
        assert_eq!((header.endpoints, length), (Some(endpoints("127.0.0.1:44682", "127.0.0.1:56391")), 58));
        let tlvs: Vec<_> = header.tlvs.iter().collect();
        let [Tlv::UniqueId(b"id-127.0.0.1"), Tlv::Ssl(ssl)] = *tlvs else { panic!("{tlvs:?}") };
        assert_eq!((ssl.client, ssl.verify, ssl.details().count()), (0, 0, 0));
    }

    #[test]
    fn writes_what_any_receiver_takes_or_nothing() {
        let write = |tlvs: &[Tlv<'_>]| {
            encode_v2(endpoints("192.0.2.1:1", "[::1]:2"), Transport::Stream, tlvs, Checksum::Crc32c)
        };
        let long_id = write(&[Tlv::UniqueId(&[0; 129])]);
        assert!(matches!(long_id, Err(EncodeError::Tlv(InvalidTlv::Value { kind: 5, .. }))));
        assert!(matches!(write(&[Tlv::Netns("é")]), Err(EncodeError::Tlv(InvalidTlv::Value { .. }))));
        for kind in [1, 3, 4] {
            let smuggled = write(&[Tlv::Other(RawTlv { kind, value: &[0; 4] })]);
            assert_eq!(smuggled, Err(EncodeError::Tlv(InvalidTlv::Kind(kind))));
        }
        let room = MAX_LENGTH - 16 - 36 - 7 - 3;
        assert_eq!(write(&[Tlv::Alpn(&vec![0; room])]).unwrap().len(), MAX_LENGTH);
        assert_eq!(write(&[Tlv::Alpn(&vec![0; room + 1])]), Err(EncodeError::TooLong(MAX_LENGTH + 1)));
        assert!(matches!(write(&[Tlv::Alpn(&[0; 70_000])]), Err(EncodeError::TooLong(_))));
    }

    proptest! {
        #[test]
        fn what_is_written_reads_the_same(header in any_header()) {
            let bytes = header.encode();
            let (read, length) = done(&bytes);
            prop_assert_eq!(length, bytes.len());
            prop_assert_eq!(read.endpoints, Some(header.endpoints));
            prop_assert_eq!(read.transport, header.transport);
            prop_assert_eq!(read.tlvs.iter().collect::<Vec<_>>(), header.tlvs());
            assert_ends_with_its_last_byte(&bytes);
        }

        /// But for the fields that say where the checksum is, or that the header means nothing.
        #[test]
        fn the_checksum_finds_every_flipped_bit(header in any_header(), bit in any::<prop::sample::Index>()) {
            let tlvs = [None, None, header.tlvs[2].clone()];
            let header = Written { checksum: Checksum::Crc32c, tlvs, ..header };
            let mut bytes = header.encode();
            let is_ipv4 = header.endpoints.source.is_ipv4() && header.endpoints.destination.is_ipv4();
            let tlvs = if is_ipv4 { 28 } else { 52 };
            let heads = [tlvs..tlvs + 3, bytes.len() - 7..bytes.len() - 4];
            let is_plain = |at: &usize| !heads.iter().any(|head| head.contains(at));
            let plain: Vec<_> = (16..bytes.len()).filter(is_plain).collect();
            let bit = bit.index(plain.len() * 8);
            bytes[plain[bit / 8]] ^= 1 << (bit % 8);
            let found = matches!(parse(&bytes), Err(InvalidHeader::Checksum { .. }));
            prop_assert!(found, "{:?}", parse(&bytes));
        }
    }
}

/// What a header is written from.
#[derive(Debug, Clone)]
struct Written {
    endpoints: Endpoints,
    transport: Transport,
    /// ALPN, authority, unique id.
    tlvs: [Option<Vec<u8>>; 3],
    checksum: Checksum,
}

impl Written {
    fn tlvs(&self) -> Vec<Tlv<'_>> {
        let [alpn, authority, id] = self.tlvs.each_ref().map(Option::as_deref);
        let authority = authority.map(|name| Tlv::Authority(std::str::from_utf8(name).unwrap()));
        [alpn.map(Tlv::Alpn), authority, id.map(Tlv::UniqueId)].into_iter().flatten().collect()
    }

    fn encode(&self) -> Vec<u8> {
        encode_v2(self.endpoints, self.transport, &self.tlvs(), self.checksum).unwrap()
    }
}

fn any_endpoints() -> impl Strategy<Value = Endpoints> {
    (any::<[SocketAddr; 2]>()).prop_map(|ends| {
        let [source, destination] = ends.map(|end| (end.ip(), end.port()));
        Endpoints::new(source, destination)
    })
}

fn any_header() -> impl Strategy<Value = Written> {
    let bytes = |most| prop::option::of(vec(any::<u8>(), 0..=most));
    let tlvs = (bytes(300), prop::option::of("\\PC{0,80}".prop_map(String::into_bytes)), bytes(128));
    let transport = prop_oneof![Just(Transport::Stream), Just(Transport::Datagram)];
    let checksum = prop_oneof![Just(Checksum::Omit), Just(Checksum::Crc32c)];
    (any_endpoints(), transport, tlvs, checksum).prop_map(|(endpoints, transport, tlvs, checksum)| Written {
        endpoints,
        transport,
        tlvs: tlvs.into(),
        checksum,
    })
}

/// Bytes that are random but for a promising start.
fn almost_a_header() -> impl Strategy<Value = Vec<u8>> {
    const STARTS: [&[u8]; 8] = [
        b"",
        b"PROXY ",
        b"PROXY TCP4 1.2.3.4 ",
        b"PROXY UNKNOWN",
        b"\r\n\r\n\0\r\nQUIT\n",
        b"\r\n\r\n\0\r\nQUIT\n\x21",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0",
        b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x20\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0A\x0B\x0C",
    ];
    (prop::sample::select(&STARTS[..]), vec(any::<u8>(), 0..80))
        .prop_map(|(start, rest)| [start, &rest].concat())
}

proptest! {
    #[test]
    fn a_line_reads_as_it_was_written(endpoints in any_endpoints()) {
        let line = encode_v1(endpoints);
        prop_assert!(line.len() <= 107);
        prop_assert_eq!(done(&line).0.endpoints, Some(endpoints));
        assert_ends_with_its_last_byte(&line);
    }

    #[test]
    fn more_bytes_do_not_change_a_verdict(bytes in almost_a_header()) {
        let mut verdict = None;
        let mut at_most = MAX_LENGTH;
        for end in 0..=bytes.len() {
            let now = parse(&bytes[..end]);
            match (&verdict, &now) {
                (Some(verdict), now) => prop_assert_eq!(verdict, now),
                (None, Ok(Progress::NeedMore { at_most: now })) => {
                    prop_assert!((end + 1..=at_most).contains(now));
                    at_most = *now;
                }
                (None, Ok(Progress::Done { length, .. })) => {
                    prop_assert_eq!(*length, end);
                    verdict = Some(now);
                }
                (None, Err(_)) => verdict = Some(now),
            }
        }
    }
}
