//! Heads of responses, good and bad, in one piece and in many.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const LIMITS: HeadLimits = HeadLimits { bytes: 1024, target: 0, fields: 16 };

fn parse(input: &str, method: Method) -> Result<ResponseHead, ParseError> {
    let mut head = ResponseHead::new();
    match head.parse(input.as_bytes(), method, &LIMITS)? {
        Parsed::Complete { length } => assert_eq!(length, input.len(), "{input:?}"),
        Parsed::Partial => panic!("partial: {input:?}"),
    }
    Ok(head)
}

fn written(head: &ResponseHead, framing: Framing) -> String {
    let mut out = Vec::new();
    head.write(framing, &mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_response_is_taken_apart() {
    let head =
        parse("HTTP/1.1 404 Not  Found\r\nServer:a\r\nContent-Length: 7\r\n\r\n", Method::Get).unwrap();
    assert_eq!((head.status(), head.reason()), (404, &b"Not  Found"[..]));
    assert_eq!(head.version(), Version::Http11);
    assert_eq!(head.framing(), Framing::Length(7));
    assert_eq!(head.persistence(), Persistence::KeepAlive);
    assert_eq!(
        written(&head, Framing::Chunked),
        "HTTP/1.1 404 Not  Found\r\nServer: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    );
}

#[test]
fn the_reason_may_be_missing() {
    for line in ["HTTP/1.1 200 ", "HTTP/1.1 200"] {
        let head = parse(&format!("{line}\r\n\r\n"), Method::Get).unwrap();
        assert_eq!(head.reason(), b"");
        assert_eq!(written(&head, Framing::UntilClose), "HTTP/1.1 200 \r\n\r\n");
    }
    let head = parse("HTTP/1.1 200 \u{e9}\t\r\n\r\n", Method::Get).unwrap();
    assert_eq!(head.reason(), "\u{e9}\t".as_bytes());
}

#[test]
fn where_the_body_ends() {
    const LENGTH: &str = "Content-Length: 5\r\n";
    const CHUNKED: &str = "Transfer-Encoding: Chunked\r\n";
    let cases = [
        (Method::Get, 200, "", Framing::UntilClose, Persistence::Close),
        (Method::Get, 200, LENGTH, Framing::Length(5), Persistence::KeepAlive),
        (Method::Get, 200, CHUNKED, Framing::Chunked, Persistence::KeepAlive),
        (Method::Head, 200, "", Framing::None, Persistence::KeepAlive),
        (Method::Head, 200, LENGTH, Framing::None, Persistence::KeepAlive),
        (Method::Head, 200, CHUNKED, Framing::None, Persistence::KeepAlive),
        (Method::Get, 304, LENGTH, Framing::None, Persistence::KeepAlive),
        (Method::Get, 204, "", Framing::None, Persistence::KeepAlive),
        (Method::Get, 204, "Content-Length: 0\r\n", Framing::None, Persistence::KeepAlive),
        (Method::Get, 204, LENGTH, Framing::None, Persistence::Close),
        (Method::Get, 204, CHUNKED, Framing::None, Persistence::Close),
        (Method::Get, 103, "Content-Length: 0\r\n", Framing::None, Persistence::KeepAlive),
        (Method::Head, 103, "", Framing::None, Persistence::KeepAlive),
        (Method::Get, 999, LENGTH, Framing::Length(5), Persistence::KeepAlive),
        (
            Method::Get,
            200,
            "Content-Length: 5\r\nConnection: close\r\n",
            Framing::Length(5),
            Persistence::Close,
        ),
    ];
    for (method, status, fields, framing, persistence) in cases {
        let head = parse(&format!("HTTP/1.1 {status} x\r\n{fields}\r\n"), method).unwrap();
        assert_eq!(
            (head.framing(), head.persistence()),
            (framing, persistence),
            "{method:?} {status} {fields}"
        );
    }
    let old = parse("HTTP/1.0 200 x\r\nContent-Length: 5\r\n\r\n", Method::Get).unwrap();
    assert_eq!((old.framing(), old.persistence()), (Framing::Length(5), Persistence::Close));
}

#[test]
fn a_length_without_body_is_kept_where_it_may_be() {
    let length = |status: u16, method| {
        let head = format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n");
        let head = parse(&head, method).unwrap();
        written(&head, head.framing()).contains("Content-Length")
    };
    assert!(length(200, Method::Head) && length(304, Method::Get) && length(404, Method::Head));
    assert!(!length(204, Method::Get) && !length(103, Method::Get) && !length(204, Method::Head));
}

#[test]
fn what_is_wrong_is_named_with_its_place() {
    let cases = [
        ("\r\nHTTP/1.1 200 OK\r\n", Fault::Version, 0),
        ("HTTQ/1.1 200 OK\r\n", Fault::Version, 3),
        ("HTTP/2.0 200 OK\r\n", Fault::VersionUnsupported, 0),
        ("HTTP/1.1  200 OK\r\n", Fault::Status, 9),
        ("HTTP/1.1\t200 OK\r\n", Fault::Status, 8),
        ("HTTP/1.1 099 OK\r\n", Fault::Status, 9),
        ("HTTP/1.1 20 OK\r\n", Fault::Status, 11),
        ("HTTP/1.1 2000 OK\r\n", Fault::Status, 12),
        ("HTTP/1.1 +20 OK\r\n", Fault::Status, 9),
        ("HTTP/1.1 200\tOK\r\n", Fault::Status, 12),
        ("HTTP/1.1 200 O\0K\r\n", Fault::Reason, 14),
        ("HTTP/1.1 200 OK\n", Fault::BareLf, 15),
        ("HTTP/1.1 200 OK\rX", Fault::BareCr, 16),
        ("HTTP/1.1 200 OK\r\n a: b\r\n", Fault::Folded, 17),
        ("HTTP/1.1 100 x\r\nContent-Length: 1\r\n\r\n", Fault::InformationalContent, 37),
        ("HTTP/1.1 101 x\r\nTransfer-Encoding: chunked\r\n\r\n", Fault::InformationalContent, 46),
    ];
    for (input, fault, at) in cases {
        assert_eq!(parse(input, Method::Get).err(), Some(ParseError { fault, at }), "{input:?}");
    }
}

#[test]
fn a_head_of_our_own() {
    let mut head = parse("HTTP/1.1 204 x\r\nServer: a\r\nContent-Length: 1\r\n\r\n", Method::Get).unwrap();
    head.begin(503);
    head.fields_mut().append(KnownField::RetryAfter, b"1").unwrap();
    assert_eq!(
        written(&head, Framing::Length(0)),
        "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n"
    );
}

fn parse_in_pieces(input: &[u8], cuts: &[usize]) -> (Result<Parsed, ParseError>, Option<String>) {
    let mut head = ResponseHead::new();
    let mut cuts: Vec<_> = cuts.iter().map(|cut| cut % (input.len() + 1)).chain([input.len()]).collect();
    cuts.sort();
    for cut in cuts {
        match head.parse(&input[..cut], Method::Get, &LIMITS) {
            Ok(Parsed::Partial) => {}
            done => return (done, done.is_ok().then(|| format!("{head:?}"))),
        }
    }
    (Ok(Parsed::Partial), None)
}

/// Something like a head, with mistakes here and there.
fn almost_a_head() -> impl Strategy<Value = Vec<u8>> {
    let part = prop::sample::select(vec![
        "HTTP/1.1 ",
        "HTTP/1.0 ",
        "HTTP/2.0",
        "200",
        "304",
        "99",
        " OK",
        "\r\n",
        "\r\n",
        "\r\n",
        "\r",
        "\n",
        " ",
        "a:b\r\n",
        "Connection: close\r\n",
        "Content-Length: 5\r\n",
        "Transfer-Encoding: chunked\r\n",
        "\r\n\r\n",
        "\0",
        "\u{e9}",
        ":",
    ]);
    let good = "HTTP/1\\.[01] [1-5][0-9]{2} [a-z ]{0,5}\r\n([a-c]:[ \t]{0,2}[a-z]{0,5}[ \t]{0,2}\r\n){0,4}\r\n.{0,4}";
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

    #[test]
    fn what_is_written_reads_the_same(input in good_head()) {
        let head = read(&input);
        let mut out = Vec::new();
        head.write(head.framing(), &mut out);
        let again = read(&out);
        prop_assert_eq!((again.status(), again.reason()), (head.status(), head.reason()));
        prop_assert_eq!((again.version(), again.framing()), (Version::Http11, head.framing()));
        let others = |head: &ResponseHead| {
            let mut fields = head.fields().clone();
            fields.retain(|field| !field.known.is_some_and(|known| FRAMING_FIELDS.contains(known)));
            fields
        };
        prop_assert_eq!(others(&again), others(&head));
    }
}

fn read(input: &[u8]) -> ResponseHead {
    let mut head = ResponseHead::new();
    let parsed = head.parse(input, Method::Get, &LIMITS);
    assert_eq!(parsed, Ok(Parsed::Complete { length: input.len() }), "{}", input.escape_ascii());
    head
}

fn good_head() -> impl Strategy<Value = Vec<u8>> {
    let line = "HTTP/1\\.1 (200|204|304|418|999)( [ -~]{0,12})?\r\n";
    let field = "([a-c]|Server|X-[A-Z]{1,12}):[ \t]{0,2}([!-~][ -~]{0,30}[!-~])?[ \t]{0,2}\r\n";
    let framing = prop::sample::select(vec!["", "content-length: 17\r\n", "Transfer-encoding:Chunked\r\n"]);
    let fields = || vec(prop::string::string_regex(field).unwrap(), 0..5).prop_map(|lines| lines.concat());
    let line = prop::string::string_regex(line).unwrap();
    (line, fields(), framing, fields()).prop_map(|(line, before, framing, behind)| {
        format!("{line}{before}{framing}{behind}\r\n").into_bytes()
    })
}
