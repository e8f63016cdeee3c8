//! Judges every attempt of `smuggling.txt`: what is refused is refused with the reason that is written there, and of
//! what is accepted exactly the bytes are sent on that are written there.

use std::collections::HashSet;

use crate::Fault;

use super::proxy::{Direction, Verdict, forward};

/// A paragraph of the file.
struct Attempt {
    direction: Direction,
    verdict: String,
    title: String,
    input: Vec<u8>,
    sent_on: Option<Vec<u8>>,
}

#[test]
fn every_attempt_is_judged_as_written() {
    let attempts = attempts(include_str!("../../smuggling.txt"));
    let mut wrong = Vec::new();
    for Attempt { direction, verdict, title, input, sent_on } in &attempts {
        let (judged, out) = forward(*direction, input);
        let label = match judged {
            Verdict::Accepted => "accepted",
            Verdict::Partial => "partial",
            Verdict::Refused(fault) => fault.label(),
        };
        if label != verdict {
            wrong.push(format!("{title}: {label} in place of {verdict}"));
        } else if let Some(expected) = sent_on.as_ref().filter(|expected| **expected != out) {
            let (out, expected) = (out.escape_ascii(), expected.escape_ascii());
            wrong.push(format!("{title}: sends on\n  {out}\nin place of\n  {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The file is worth something only if all that can be wrong is tried.
#[test]
fn every_fault_is_attempted() {
    let attempts = attempts(include_str!("../../smuggling.txt"));
    let tried: HashSet<_> = attempts.iter().map(|attempt| attempt.verdict.as_str()).collect();
    // Limits, and the end of a connection, are no matter of two parsers.
    let others = [
        Fault::MethodTooLong,
        Fault::TargetTooLong,
        Fault::TooManyFields,
        Fault::HeadTooLong,
        Fault::ChunkExtensionsTooLong,
        Fault::Truncated,
    ];
    let untried = Fault::ALL.iter().filter(|fault| !others.contains(fault) && !tried.contains(fault.label()));
    assert_eq!(untried.collect::<Vec<_>>(), [&Fault::Method; 0]);
}

fn attempts(text: &str) -> Vec<Attempt> {
    let lines = text.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>();
    let paragraphs = lines.split(|line| line.is_empty()).filter(|paragraph| !paragraph.is_empty());
    paragraphs.map(attempt).collect()
}

fn attempt(paragraph: &[&str]) -> Attempt {
    let [head, body @ ..] = paragraph else { panic!("an empty paragraph") };
    let (verdict, title) = head.split_once(": ").unwrap_or_else(|| panic!("no colon: {head}"));
    let (direction, verdict) = verdict.split_once(' ').unwrap_or_else(|| panic!("no verdict: {head}"));
    let direction = match direction {
        "request" => Direction::Request,
        "response" => Direction::Response,
        _ => panic!("neither request nor response: {head}"),
    };
    let sent_on = body.iter().find_map(|line| line.strip_prefix("=> ")).map(unescape);
    assert_eq!(sent_on.is_some(), verdict == "accepted", "{head}");
    let input = body.iter().filter(|line| !line.starts_with("=> ")).flat_map(|line| unescape(line)).collect();
    Attempt { direction, verdict: verdict.to_owned(), title: title.to_owned(), input, sent_on }
}

fn unescape(text: &str) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        out.push(match byte {
            b'\\' => match rest.next() {
                Some(b'r') => b'\r',
                Some(b'n') => b'\n',
                Some(b't') => b'\t',
                Some(b'0') => 0,
                Some(same @ (b'"' | b'\\')) => same,
                Some(b'x') => {
                    let digits: String = rest.by_ref().take(2).map(char::from).collect();
                    u8::from_str_radix(&digits, 16).unwrap_or_else(|_| panic!("\\x{digits}: {text}"))
                }
                other => panic!("unknown escape {other:?}: {text}"),
            },
            byte => byte,
        });
    }
    out
}
