//! Streams of messages: good ones mostly, with something odd here and there.

use proptest::collection::vec;
use proptest::prelude::*;

/// What a client might send.
pub(super) fn requests() -> impl Strategy<Value = Vec<u8>> {
    mutated(vec(message(request_line(), "Host: a\r\n"), 1..4).prop_map(|messages| messages.concat()))
}

/// What a server might send.
pub(super) fn responses() -> impl Strategy<Value = Vec<u8>> {
    mutated(vec(message(status_line(), ""), 1..3).prop_map(|messages| messages.concat()))
}

/// One of those that are good mostly, and else one of those that are odd.
fn mostly(good: &[&'static str], odd: &[&'static str]) -> impl Strategy<Value = &'static str> + use<> {
    prop_oneof![15 => prop::sample::select(good.to_vec()), 1 => prop::sample::select(odd.to_vec())]
}

fn line_break() -> impl Strategy<Value = &'static str> {
    prop_oneof![60 => Just("\r\n"), 1 => prop::sample::select(vec!["\n", "\r", "\r\r\n", "\n\r", ""])]
}

fn field() -> impl Strategy<Value = String> {
    let name = mostly(
        &["Connection", "Expect", "Upgrade", "TE", "Trailer", "X", "x", "Content_Length"],
        &["Host", "Content-Length", "Transfer-Encoding", "content-length", "transfer-encoding", "", "X y"],
    );
    let separator = mostly(&[": ", ":", ":\t", ":  "], &[" : ", " ", "\t:", ":\0"]);
    let value = mostly(
        &[
            "a",
            "close",
            "keep-alive",
            "close, keep-alive",
            "upgrade",
            "100-continue",
            "websocket",
            "a b",
            "",
            "3",
            "chunked",
        ],
        &[
            "\u{e9}",
            "\"a\"",
            "a:80",
            "a,b",
            "0",
            "+3",
            "3, 3",
            "18446744073709551614",
            "gzip, chunked",
            "chunked, gzip",
        ],
    );
    (name, separator, value, line_break())
        .prop_map(|(name, separator, value, end)| format!("{name}{separator}{value}{end}"))
}

fn chunks() -> impl Strategy<Value = String> {
    let chunk = mostly(
        &["3\r\nabc\r\n", "1;a=b\r\nc\r\n", "0A\r\n0123456789\r\n"],
        &["1 \r\na\r\n", "1\na\n", "0x1\r\na\r\n", "2\r\na\r\n", "1\r\nab\r\n", "1;\r\na\r\r\n", ";\r\n"],
    );
    let end = mostly(
        &["0\r\n\r\n", "0\r\nX: a\r\n\r\n", "000;a\r\n\r\n"],
        &["0\r\nX : a\r\n\r\n", "0\r\n\n", "0\n\r\n", "0\r\n a: b\r\n\r\n", ""],
    );
    (vec(chunk, 0..3), end).prop_map(|(chunks, end)| chunks.concat() + end)
}

/// A field that says where the body ends, and a body that may have its end there.
fn framed() -> impl Strategy<Value = (String, String)> {
    let length = mostly(
        &["Content-Length: 3\r\n", "content-length:03 \r\n"],
        &["Content-Length: 4\r\n", "Content-Length: 3,3\r\n"],
    );
    let chunked = mostly(
        &["Transfer-Encoding: chunked\r\n", "transfer-encoding:\tCHUNKED\r\n"],
        &[
            "Transfer-Encoding: gzip, chunked\r\n",
            "Transfer-Encoding: identity\r\n",
            "Content-Length: 9\r\n",
            "",
        ],
    );
    prop_oneof![
        Just((String::new(), String::new())),
        length.prop_map(|field| (field.to_owned(), "abc".to_owned())),
        (chunked, chunks()).prop_map(|(field, body)| (field.to_owned(), body)),
    ]
}

fn message(start: impl Strategy<Value = String>, first: &'static str) -> impl Strategy<Value = String> {
    let fields = || vec(field(), 0..3).prop_map(|fields| fields.concat());
    (start, line_break(), fields(), framed(), fields(), line_break()).prop_map(
        move |(start, end, before, (framing, body), behind, empty)| {
            format!("{start}{end}{first}{before}{framing}{behind}{empty}{body}")
        },
    )
}

fn request_line() -> impl Strategy<Value = String> {
    let method =
        mostly(&["GET", "POST", "HEAD", "OPTIONS", "get"], &["CONNECT", "G@T", "", "\r\nGET", "\r\n\r\nGET"]);
    let target = mostly(
        &["/", "/a?b=c", "http://b/c?d", "HTTP://b", "https://b:1?c", "//", "/%2e/..", "/{|}\\^"],
        &["*", "a", "a:1", "/#", "/\"<>`", "/?\"<>`", "/\u{e9}", "http://", "http://a@b/", "http://a b/", ""],
    );
    let version = mostly(&["HTTP/1.1"], &["HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "http/1.1", "HTTP/1.1 ", ""]);
    (method, target, version).prop_map(|(method, target, version)| format!("{method} {target} {version}"))
}

fn status_line() -> impl Strategy<Value = String> {
    let version = mostly(&["HTTP/1.1"], &["HTTP/1.0", "HTTP/1.2", "HTTP/2.0", "ICY", "\r\nHTTP/1.1"]);
    let status = mostly(&["200", "204", "304", "404", "999", "100", "103"], &["099", "20", "2000", "+20"]);
    let reason = mostly(&[" OK", " ", "", " Not  Found", " \u{e9}", " a\tb"], &["\tOK", "  ", " \0"]);
    (version, status, reason).prop_map(|(version, status, reason)| format!("{version} {status}{reason}"))
}

/// A few bytes changed, or none.
fn mutated(stream: impl Strategy<Value = String>) -> impl Strategy<Value = Vec<u8>> {
    let byte = prop_oneof![any::<u8>(), prop::sample::select(b"\r\n \t:;,0aA\0\x7f\x80".to_vec())];
    let change = (any::<prop::sample::Index>(), 0..3, byte);
    let changes = prop_oneof![2 => Just(Vec::new()), 1 => vec(change, 1..3)];
    (stream, changes).prop_map(|(stream, changes)| {
        let mut stream = stream.into_bytes();
        for (at, change, byte) in changes {
            match (at.index(stream.len() + 1), change) {
                (at, 0) => stream.insert(at, byte),
                (at, 1) if at < stream.len() => stream[at] = byte,
                (at, _) if at < stream.len() => drop(stream.remove(at)),
                _ => {}
            }
        }
        stream
    })
}
