//! Heads of requests, good and bad, in one piece and in many.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const LIMITS: HeadLimits = HeadLimits { bytes: 1024, target: 256, fields: 16 };

fn parse(input: &str) -> Result<RequestHead, ParseError> {
    let mut head = RequestHead::new();
    match head.parse(input.as_bytes(), &LIMITS)? {
        Parsed::Complete { length } => assert_eq!(length, input.len(), "{input:?}"),
        Parsed::Partial => panic!("partial: {input:?}"),
    }
    Ok(head)
}

fn fault(input: &str) -> Option<Fault> {
    parse(input).err().map(|error| error.fault)
}

fn written(head: &RequestHead) -> String {
    let mut out = Vec::new();
    head.write(head.framing(), &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_request_is_taken_apart() {
    let head = parse(
        "POST /a/b?c=d HTTP/1.1\r\nHOST: example.com:8080\r\nx-other:\t 1 \r\nContent-Length: 005\r\nempty:\r\n\r\n",
    )
    .unwrap();
    assert_eq!((head.method(), head.method_name()), (Method::Post, &b"POST"[..]));
    assert_eq!((head.path(), head.query()), (&b"/a/b"[..], Some(&b"c=d"[..])));
    assert_eq!(head.target(), b"/a/b?c=d");
    assert_eq!((head.version(), head.scheme()), (Version::Http11, None));
    assert_eq!(head.authority(), Some(Authority { host: b"example.com", port: Some(8080) }));
    assert_eq!(head.framing(), Framing::Length(5));
    assert_eq!(head.persistence(), Persistence::KeepAlive);
    assert_eq!(head.expectation(), Expectation::None);
    assert_eq!(head.upgrades().count(), 0);
    assert_eq!(head.fields().get("X-OTHER"), Some(&b"1"[..]));
    assert_eq!(
        written(&head),
        "POST /a/b?c=d HTTP/1.1\r\nHOST: example.com:8080\r\nx-other: 1\r\nempty: \r\nContent-Length: 5\r\n\r\n"
    );
}

#[test]
fn any_token_is_a_method_and_case_counts() {
    let head = parse("get / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!((head.method(), head.method_name()), (Method::Other, &b"get"[..]));
    let head = parse("VERSION-CONTROL / HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(written(&head), "VERSION-CONTROL / HTTP/1.1\r\nHost: a\r\n\r\n");
}

#[test]
fn a_uri_as_target_tells_the_host() {
    let head = parse("GET http://b:81?c HTTP/1.1\r\nx: 1\r\nHost: a\r\ny: 2\r\n\r\n").unwrap();
    assert_eq!(head.authority(), Some(Authority { host: b"b", port: Some(81) }));
    assert_eq!(head.scheme(), Some(Scheme::Http));
    assert_eq!((head.path(), head.query()), (&b"/"[..], Some(&b"c"[..])));
    assert_eq!(written(&head), "GET /?c HTTP/1.1\r\nx: 1\r\nHost: b:81\r\ny: 2\r\n\r\n");

    let head = parse("GET https://b/ HTTP/1.0\r\n\r\n").unwrap();
    assert_eq!((head.scheme(), head.version()), (Some(Scheme::Https), Version::Http10));
    assert_eq!(written(&head), "GET / HTTP/1.1\r\nHost: b\r\n\r\n");
    // The next one does not inherit it.
    let mut head = head;
    assert_eq!(head.parse(b"GET / HTTP/1.0\r\n\r\n", &LIMITS), Ok(Parsed::Complete { length: 18 }));
    assert_eq!((head.scheme(), head.authority()), (None, None));
    assert_eq!(written(&head), "GET / HTTP/1.1\r\n\r\n");
}

#[test]
fn options_has_an_asterisk() {
    let head = parse("OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!((head.path(), head.query()), (&b"*"[..], None));
    let head = parse("OPTIONS http://a HTTP/1.1\r\nHost: a\r\n\r\n").unwrap();
    assert_eq!(written(&head), "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(fault("GET * HTTP/1.1\r\nHost: a\r\n\r\n"), Some(Fault::TargetForm));
}

#[test]
fn persistence_is_as_the_version_and_connection_say() {
    let cases = [
        ("HTTP/1.1", "", Persistence::KeepAlive),
        ("HTTP/1.1", "Connection: x, CLOSE\r\n", Persistence::Close),
        ("HTTP/1.1", "Connection: keep-alive\r\nConnection: close\r\n", Persistence::Close),
        ("HTTP/1.1", "Connection: closed, \"close\", close;\r\n", Persistence::KeepAlive),
        ("HTTP/1.0", "", Persistence::Close),
        ("HTTP/1.0", "Connection: Keep-Alive\r\n", Persistence::KeepAlive),
        ("HTTP/1.0", "Connection: keep-alive, close\r\n", Persistence::Close),
        ("HTTP/1.0", "Proxy-Connection: keep-alive\r\n", Persistence::Close),
    ];
    for (version, fields, persistence) in cases {
        let mut head = parse(&format!("GET / {version}\r\nHost: a\r\n{fields}\r\n")).unwrap();
        head.fields_mut().remove_hop_by_hop();
        assert_eq!(head.persistence(), persistence, "{version} {fields}");
    }
}

#[test]
fn upgrades_need_both_fields_and_the_version() {
    let upgrades = |version: &str, fields: &str| {
        let head = parse(&format!("GET / {version}\r\nHost: a\r\n{fields}\r\n")).unwrap();
        head.upgrades().map(|protocol| String::from_utf8(protocol.to_vec()).unwrap()).collect::<Vec<_>>()
    };
    let both = "Connection: keep-alive, Upgrade\r\nUpgrade: websocket, x/1\r\nUpgrade: y\r\n";
    assert_eq!(upgrades("HTTP/1.1", both), ["websocket", "x/1", "y"]);
    assert_eq!(upgrades("HTTP/1.0", both), [""; 0]);
    assert_eq!(upgrades("HTTP/1.1", "Upgrade: websocket\r\n"), [""; 0]);
    assert_eq!(upgrades("HTTP/1.1", "Connection: upgrade\r\n"), [""; 0]);
}

#[test]
fn expectations() {
    let cases = [
        ("HTTP/1.1", "", Expectation::None),
        ("HTTP/1.1", "Expect: 100-Continue\r\n", Expectation::Continue),
        ("HTTP/1.0", "Expect: 100-continue\r\n", Expectation::None),
        ("HTTP/1.1", "Expect: 200-ok\r\n", Expectation::Unknown),
        ("HTTP/1.1", "Expect: 100-continue\r\nExpect: more\r\n", Expectation::Unknown),
        ("HTTP/1.1", "Expect:\r\n", Expectation::Unknown),
    ];
    for (version, fields, expectation) in cases {
        let head = parse(&format!("GET / {version}\r\nHost: a\r\n{fields}\r\n")).unwrap();
        assert_eq!(head.expectation(), expectation, "{version} {fields}");
    }
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let cases = [
        ("@ET / HTTP/1.1\r\n", Fault::Method, 0),
        ("G@T / HTTP/1.1\r\n", Fault::Method, 1),
        (" GET / HTTP/1.1\r\n", Fault::Method, 0),
        ("\r\n\r\nGET / HTTP/1.1\r\n", Fault::Method, 2),
        ("\nGET / HTTP/1.1\r\n", Fault::Method, 0),
        ("\rGET / HTTP/1.1\r\n", Fault::BareCr, 1),
        ("\x16\x03\x01", Fault::Method, 0),
        ("GET\t/ HTTP/1.1\r\n", Fault::Method, 3),
        ("GET  / HTTP/1.1\r\n", Fault::Target, 4),
        ("GET /\u{e9} HTTP/1.1\r\n", Fault::Target, 5),
        ("GET /#a HTTP/1.1\r\n", Fault::Target, 5),
        ("GET /\0 HTTP/1.1\r\n", Fault::Target, 5),
        ("GET /\r\n", Fault::Version, 5),
        ("GET / \r\n", Fault::Version, 6),
        ("GET / a HTTP/1.1\r\n", Fault::Version, 6),
        ("GET / http/1.1\r\n", Fault::Version, 6),
        ("GET / HTTP/11\r\n", Fault::Version, 12),
        ("GET / HTTP/1.1 \r\n", Fault::Version, 14),
        ("GET / HTTP/1.10\r\n", Fault::Version, 14),
        ("GET / HTTP/1.2\r\n", Fault::VersionUnsupported, 6),
        ("PRI * HTTP/2.0\r\n", Fault::VersionUnsupported, 6),
        ("GET / HTTP/1.1\n", Fault::BareLf, 14),
        ("GET / HTTP/1.1\rX", Fault::BareCr, 15),
        ("CONNECT a:1 HTTP/1.1\r\n", Fault::Connect, 0),
        ("GET a HTTP/1.1\r\n", Fault::TargetForm, 0),
        ("GET / HTTP/1.1\r\n a: b\r\n", Fault::Folded, 16),
        ("GET / HTTP/1.1\r\na: b\r\n\tc\r\n", Fault::Folded, 22),
        ("GET / HTTP/1.1\r\na : b\r\n", Fault::SpaceBeforeColon, 17),
        ("GET / HTTP/1.1\r\n: b\r\n", Fault::FieldName, 16),
        ("GET / HTTP/1.1\r\na\r\n", Fault::FieldName, 17),
        ("GET / HTTP/1.1\r\na\u{e9}: b\r\n", Fault::FieldName, 17),
        ("GET / HTTP/1.1\r\na: b\0c\r\n", Fault::FieldValue, 20),
        ("GET / HTTP/1.1\r\na: b\rc\r\n", Fault::BareCr, 21),
        ("GET / HTTP/1.1\r\na: b\n", Fault::BareLf, 20),
        ("GET / HTTP/1.1\r\n\n", Fault::BareLf, 16),
        ("GET / HTTP/1.1\r\n\rX", Fault::BareCr, 17),
        ("GET / HTTP/1.1\r\n\r\n", Fault::HostMissing, 18),
        ("GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", Fault::HostRepeated, 36),
        ("GET / HTTP/1.0\r\nHost: a\r\nhost: a\r\n\r\n", Fault::HostRepeated, 36),
        ("GET / HTTP/1.1\r\nHost:\r\n\r\n", Fault::Host, 25),
        ("GET http://b/ HTTP/1.1\r\nHost: a b\r\n\r\n", Fault::Host, 37),
        ("GET http://b/ HTTP/1.1\r\n\r\n", Fault::HostMissing, 26),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: close, \u{e9}\r\n\r\n", Fault::ConnectionOptions, 50),
    ];
    for (input, fault, at) in cases {
        assert_eq!(parse(input).err(), Some(ParseError { fault, at }), "{input:?}");
    }
}

#[test]
fn limits_hold_to_the_byte() {
    let head = "GET /56789 HTTP/1.1\r\nHost: a\r\nb: c\r\n\r\n";
    let limits = HeadLimits { bytes: head.len(), target: 6, fields: 2 };
    let parse = |limits| RequestHead::new().parse(head.as_bytes(), &limits).map_err(|error| error.fault);
    assert_eq!(parse(limits), Ok(Parsed::Complete { length: head.len() }));
    assert_eq!(parse(HeadLimits { bytes: head.len() - 1, ..limits }), Err(Fault::HeadTooLong));
    assert_eq!(parse(HeadLimits { target: 5, ..limits }), Err(Fault::TargetTooLong));
    assert_eq!(parse(HeadLimits { fields: 1, ..limits }), Err(Fault::TooManyFields));

    // Who does not end a line is stopped, too.
    let mut parsed = RequestHead::new();
    let endless = |start: &str| start.bytes().chain(std::iter::repeat_n(b'x', 2000)).collect::<Vec<_>>();
    let limits = HeadLimits { bytes: 1000, target: 500, fields: 2 };
    for (start, fault) in [
        ("", Fault::MethodTooLong),
        ("GET /", Fault::TargetTooLong),
        ("GET / HTTP/1.1\r\n", Fault::HeadTooLong),
        ("GET / HTTP/1.1\r\na: ", Fault::HeadTooLong),
    ] {
        let input = endless(start);
        let first = (0..input.len()).find_map(|length| parsed.parse(&input[..length], &limits).err());
        assert_eq!(first.map(|error| error.fault), Some(fault), "{start}");
    }
}

#[test]
fn connection_options_are_few() {
    let head =
        |options: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nConnection: {}\r\n\r\n", "x,".repeat(options));
    assert_eq!(fault(&head(32)), None);
    assert_eq!(fault(&head(33)), Some(Fault::ConnectionOptions));
}

/// What came of the input, given up to each of the `cuts` in turn, and what the head says then.
fn parse_in_pieces(input: &[u8], cuts: &[usize]) -> (Result<Parsed, ParseError>, Option<String>) {
    let mut head = RequestHead::new();
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (input.len() + 1)).chain([input.len()]).collect();
    cuts.sort();
    for cut in cuts {
        match head.parse(&input[..cut], &LIMITS) {
            Ok(Parsed::Partial) => {}
            done => return (done, done.is_ok().then(|| format!("{:?} {head:?}", head.authority()))),
        }
    }
    (Ok(Parsed::Partial), None)
}

/// Something like a head, with mistakes here and there.
fn almost_a_head() -> impl Strategy<Value = Vec<u8>> {
    let part = prop::sample::select(vec![
        "GET ",
        "POST ",
        "OPTIONS ",
        "/",
        "/a?b",
        "http://b",
        "*",
        " HTTP/1.1",
        " HTTP/1.0",
        " HTTP/1.",
        "\r\n",
        "\r\n",
        "\r\n",
        "\r",
        "\n",
        " ",
        "Host: a\r\n",
        "Host: a:8\r\n",
        "a:b\r\n",
        "c:  d  \r\n",
        "Connection: close\r\n",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "\r\n\r\n",
        "\0",
        "\u{e9}",
        ":",
    ]);
    let good = "(\r\n)?GET (/|http://b) HTTP/1\\.[01]\r\n(Host: a\r\n)?([a-c]:[ \t]{0,2}[a-z]{0,5}[ \t]{0,2}\r\n){0,4}\r\n.{0,4}";
    prop_oneof![
        vec(part, 0..12).prop_map(|parts| parts.concat().into_bytes()),
        prop::string::string_regex(good).unwrap().prop_map(String::into_bytes),
    ]
}

proptest! {
    /// A mistake in a line may be found only when the line ends, so it does.
    #[test]
    fn however_it_comes_the_verdict_is_the_same(start in almost_a_head(), cuts in vec(any::<usize>(), 0..6)) {
        let input = [&start[..], b"\n"].concat();
        prop_assert_eq!(parse_in_pieces(&input, &cuts), parse_in_pieces(&input, &[]));
        let every_byte: Vec<_> = (0..input.len()).collect();
        prop_assert_eq!(parse_in_pieces(&input, &every_byte), parse_in_pieces(&input, &[]));
    }

    /// What is behind a head does not change it, and no beginning of it is one.
    #[test]
    fn a_head_ends_where_it_ends(input in almost_a_head(), more in vec(any::<u8>(), 1..20)) {
        let (parsed, said) = parse_in_pieces(&input, &[]);
        match parsed {
            Ok(Parsed::Partial) => {}
            Ok(Parsed::Complete { length }) => {
                prop_assert_eq!(parse_in_pieces(&[&input, &more[..]].concat(), &[]), (parsed, said));
                prop_assert_eq!(parse_in_pieces(&input[..length - 1], &[]).0, Ok(Parsed::Partial));
            }
            Err(_) => prop_assert_eq!(parse_in_pieces(&[&input, &more[..]].concat(), &[]), (parsed, said)),
        }
    }

    #[test]
    fn what_is_written_reads_the_same(input in good_head()) {
        let head = read(&input);
        let mut out = Vec::new();
        head.write(head.framing(), &mut out);
        let again = read(&out);
        prop_assert_eq!(again.authority(), head.authority());
        prop_assert_eq!((again.method(), again.method_name()), (head.method(), head.method_name()));
        prop_assert_eq!((again.path(), again.query()), (head.path(), head.query()));
        prop_assert_eq!((again.version(), again.framing()), (Version::Http11, head.framing()));
        let mut fields = head.fields().clone();
        // Where the body ends is said behind all other fields.
        for name in [KnownField::ContentLength, KnownField::TransferEncoding] {
            if let Some(value) = fields.get(name).map(<[u8]>::to_ascii_lowercase) {
                fields.remove(name);
                fields.append(name, &value).unwrap();
            }
        }
        let same = fields.iter().zip(again.fields().iter()).all(|(a, b)| {
            a.value == b.value && (a.name == b.name || FRAMING_FIELDS.contains(a.known.unwrap()))
        });
        prop_assert!(same && fields.len() == again.fields().len(), "{:?} {:?}", fields, again.fields());
    }
}

fn read(input: &[u8]) -> RequestHead {
    let mut head = RequestHead::new();
    assert_eq!(
        head.parse(input, &LIMITS),
        Ok(Parsed::Complete { length: input.len() }),
        "{}",
        input.escape_ascii()
    );
    head
}

fn good_head() -> impl Strategy<Value = Vec<u8>> {
    let line = "(GET|POST|M-SEARCH) (/|/[!-\"$-~]{0,9}|http://b|https://b:1/c\\?d) HTTP/1\\.1\r\n";
    let field = "([a-c]|Accept|X-[A-Z]{1,12}):[ \t]{0,2}([!-~][ -~]{0,30}[!-~])?[ \t]{0,2}\r\n";
    let framing = prop::sample::select(vec!["", "content-length: 17\r\n", "Transfer-encoding:Chunked\r\n"]);
    let fields = || vec(prop::string::string_regex(field).unwrap(), 0..5).prop_map(|lines| lines.concat());
    let line = prop::string::string_regex(line).unwrap();
    let host = prop::sample::select(vec!["Host: a\r\n", "hOST:a:80 \r\n", "Host: [::1]\r\n"]);
    (line, fields(), host, fields(), framing, fields())
        .prop_map(|(line, a, host, b, framing, c)| format!("{line}{a}{host}{b}{framing}{c}\r\n").into_bytes())
}
