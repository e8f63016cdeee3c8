//! Reads generated and mutated streams with hyper, too. What Sluice accepts, hyper has to read as the same messages;
//! wherever the two do not agree on what is a message at all, `differences` has to say so, and why.

mod differences;
mod reading;
mod streams;

use proptest::prelude::*;

use self::differences::{
    LOOSER_WITH_REQUESTS, LOOSER_WITH_RESPONSES, Looser, STRICTER_WITH_REQUESTS, STRICTER_WITH_RESPONSES,
    Stricter,
};
use self::reading::{
    End, Reading, requests_by_hyper, requests_by_sluice, response_by_hyper, response_by_sluice,
};
use self::streams::{requests, responses};
use crate::Method;

/// A row that is not true any more has to go.
#[test]
fn the_tables_are_true() {
    let response_by_sluice = |stream: &[u8]| response_by_sluice(stream, Method::Get);
    let response_by_hyper = |stream: &[u8]| response_by_hyper(stream, Method::Get);
    for Stricter { fault, why, example } in STRICTER_WITH_REQUESTS {
        assert_eq!(
            requests_by_sluice(example.as_bytes()).end,
            End::Refused(Some(*fault)),
            "{example:?}: {why}"
        );
        assert_eq!(requests_by_hyper(example.as_bytes()).end, End::Clean, "{example:?}: {why}");
    }
    for Stricter { fault, why, example } in STRICTER_WITH_RESPONSES {
        assert_eq!(
            response_by_sluice(example.as_bytes()).end,
            End::Refused(Some(*fault)),
            "{example:?}: {why}"
        );
        assert_eq!(response_by_hyper(example.as_bytes()).end, End::Clean, "{example:?}: {why}");
    }
    for Looser { why, example, is_in } in LOOSER_WITH_REQUESTS {
        assert!(!requests_by_sluice(example.as_bytes()).end.is_refused(), "{example:?}: {why}");
        assert!(
            requests_by_hyper(example.as_bytes()).end.is_refused() && is_in(example.as_bytes()),
            "{example:?}: {why}"
        );
    }
    for Looser { why, example, is_in } in LOOSER_WITH_RESPONSES {
        assert!(!response_by_sluice(example.as_bytes()).end.is_refused(), "{example:?}: {why}");
        assert!(
            response_by_hyper(example.as_bytes()).end.is_refused() && is_in(example.as_bytes()),
            "{example:?}: {why}"
        );
    }
}

/// A good stream is read at all: the comparison compares something.
#[test]
fn both_read_what_is_good() {
    let stream = b"POST /a?b HTTP/1.1\r\nHost: c\r\nX: d\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nefg\r\n0\r\nY: h\r\n\r\n\
        OPTIONS * HTTP/1.1\r\nHost: c\r\nContent-Length: 2\r\nConnection: close\r\n\r\nij";
    let reading = requests_by_sluice(stream);
    assert_eq!((reading.messages.len(), reading.end), (2, End::Clean));
    assert_eq!(requests_by_hyper(stream), reading);
    let stream = b"HTTP/1.1 103 Early Hints\r\nLink: a\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n";
    let reading = response_by_sluice(stream, Method::Get);
    assert_eq!((reading.messages.len(), reading.end), (1, End::Clean));
    assert_eq!(response_by_hyper(stream, Method::Get), reading);
}

/// Streams vary more than most input: there are more of them. The rows that are missing in the tables are what a failure
/// is about; keeping the streams would keep nothing.
fn config() -> ProptestConfig {
    let default = ProptestConfig::default();
    ProptestConfig { cases: default.cases * 8, failure_persistence: None, ..default }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn requests_are_read_alike(stream in requests()) {
        prop_assert_eq!(judge_requests(&stream), Ok(()));
    }

    #[test]
    fn responses_are_read_alike(stream in responses(), is_head: bool) {
        let method = if is_head { Method::Head } else { Method::Get };
        prop_assert_eq!(judge_response(&stream, method), Ok(()));
    }
}

/// Whether the two agree, or the tables say why they do not.
fn judge(
    sluice: &Reading,
    hyper: &Reading,
    stream: &[u8],
    stricter: &[Stricter],
    looser: &[Looser],
) -> Result<(), String> {
    let (mine, theirs) = (sluice.messages.len(), hyper.messages.len());
    let agree = sluice.messages.iter().zip(&hyper.messages).all(|(mine, theirs)| mine == theirs)
        && match (sluice.end, hyper.end) {
            // Wherever hyper stops, Sluice stops too, or has leave to go on.
            (_, End::Refused(_)) if mine > theirs => looser.iter().any(|row| (row.is_in)(stream)),
            (End::Partial, End::Refused(_)) => looser.iter().any(|row| (row.is_in)(stream)),
            // Wherever Sluice stops, hyper stops too, or Sluice has to.
            (End::Refused(Some(fault)), end) if theirs > mine || end == End::Clean => {
                stricter.iter().any(|row| row.fault == fault)
            }
            (End::Refused(_), _) => mine == theirs,
            (end, other) => mine == theirs && end == other,
        };
    let text = stream.escape_ascii();
    if agree { Ok(()) } else { Err(format!("{text}\nsluice: {sluice:#?}\nhyper: {hyper:#?}")) }
}

fn judge_requests(stream: &[u8]) -> Result<(), String> {
    judge(
        &requests_by_sluice(stream),
        &requests_by_hyper(stream),
        stream,
        STRICTER_WITH_REQUESTS,
        LOOSER_WITH_REQUESTS,
    )
}

fn judge_response(stream: &[u8], method: Method) -> Result<(), String> {
    let (sluice, hyper) = (response_by_sluice(stream, method), response_by_hyper(stream, method));
    judge(&sluice, &hyper, stream, STRICTER_WITH_RESPONSES, LOOSER_WITH_RESPONSES)
}
