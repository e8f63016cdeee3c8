//! Attempts to smuggle a request past Sluice, judged on the raw bytes that reach a backend.

use std::net::Shutdown;

use lb_tests::{End, HttpBackend, HttpMessage, response};

use super::Site;

/// An attempt of lb-http's corpus: see there.
struct Attempt {
    verdict: String,
    title: String,
    input: Vec<u8>,
}

#[test]
fn no_attempt_gets_past_and_what_does_means_one_thing() {
    let site = Site::start(|at| HttpBackend::answering("b", at, |_| response(200, b"ok")), "", "");
    let attempts = attempts(include_str!("../../../lb-daemon/crates/lb-http/smuggling.txt"));
    assert!(attempts.len() > 50, "only {}", attempts.len());
    let mut expected = 0;
    for Attempt { verdict, title, input } in attempts {
        let mut client = site.connect();
        client.send(&input);
        let _ = client.stream().shutdown(Shutdown::Write);
        let (got, end) = client.rest();
        let got = String::from_utf8_lossy(&got);
        match verdict.as_str() {
            "accepted" | "partial" => {}
            _ => {
                // A fault behind a good message on the same connection is answered after that.
                let refused = got.rsplit("HTTP/1.1 ").next().unwrap_or_default();
                assert!(refused.starts_with(['4', '5']), "{title}: {got:?} {end:?}");
                assert_eq!(end, End::Closed, "{title}");
            }
        }
        expected += 1;
    }
    assert!(expected > 0);
    // Whatever reached the backend is a sequence of whole requests, each of which a plain parser understands in one way only,
    // but for the last of a connection, which may have been cut off.
    for raw in site.backend.raw() {
        let mut rest = &raw[..];
        while let Ok(Some(request)) = HttpMessage::read(&mut rest, lb_tests::BodyEnd::AsFieldsSay) {
            let whole = request.head.replace("\r\n", "");
            assert!(!whole.contains(['\r', '\n', '\0']), "{whole:?}");
            assert!(
                !request.target().contains("SMUGGLED") && !request.method().contains("SMUGGLED"),
                "{whole:?}"
            );
            assert_eq!(request.fields("host").len(), 1, "{whole:?}");
        }
    }
}

fn attempts(text: &str) -> Vec<Attempt> {
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let paragraphs = lines.split(|line| line.is_empty()).filter(|paragraph| !paragraph.is_empty());
    paragraphs.filter_map(attempt).collect()
}

/// Those of requests only.
fn attempt(paragraph: &[&str]) -> Option<Attempt> {
    let [head, body @ ..] = paragraph else { return None };
    let (verdict, title) = head.strip_prefix("request ")?.split_once(": ")?;
    let input = body.iter().filter(|line| !line.starts_with("=> ")).flat_map(|line| unescape(line)).collect();
    Some(Attempt { verdict: verdict.into(), title: title.into(), input })
}

fn unescape(line: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = line.as_bytes();
    while let [first, behind @ ..] = rest {
        rest = behind;
        if *first != b'\\' {
            bytes.push(*first);
            continue;
        }
        let [escape, behind @ ..] = rest else { panic!("{line} ends in a backslash") };
        rest = behind;
        bytes.push(match escape {
            b'r' => b'\r',
            b'n' => b'\n',
            b't' => b'\t',
            b'0' => 0,
            b'x' => {
                let (digits, behind) = rest.split_at(2);
                rest = behind;
                u8::from_str_radix(std::str::from_utf8(digits).unwrap(), 16).unwrap()
            }
            other => *other,
        });
    }
    bytes
}
