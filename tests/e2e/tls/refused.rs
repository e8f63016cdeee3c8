//! What is no ClientHello: who speaks TLS hears an alert, the others are reset, and no backend is bothered.

use std::io::Write as _;
use std::net::{Shutdown, TcpStream};

use lb_model::Termination;
use lb_tests::{Content, Daemon, End, Hello, client};

use super::{
    DECODE_ERROR, ILLEGAL_PARAMETER, PROTOCOL_VERSION, RECORD_OVERFLOW, Site, UNEXPECTED_MESSAGE,
    UNRECOGNIZED_NAME, alert, count, ended, route, sent, served_by,
};

/// What a client begins with, the alert that it hears, and a part of what the record says of it.
type Case = (Vec<u8>, Option<u8>, &'static str);

fn cases() -> Vec<Case> {
    let hello = Hello::to("a.example").bytes();
    let with = |at: usize, byte: u8| {
        let mut hello = hello.clone();
        *hello.get_mut(at).unwrap() = byte;
        hello
    };
    let ssl2 = vec![0x80, 46, 1, 0, 2, 0, 21, 0, 0, 0, 16];
    vec![
        (b"GET / HTTP/1.1\r\nhost: a.example\r\n\r\n".to_vec(), None, "not TLS"),
        (b"SSH-2.0-OpenSSH_9.2\r\n".to_vec(), None, "not TLS"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n".to_vec(), None, "not TLS"),
        (Content::new(1).take(1000), None, "not TLS"),
        (ssl2, None, "not TLS"),
        (vec![22, 2, 0], None, "not TLS"),
        (alert(0), Some(UNEXPECTED_MESSAGE), "record of type 21"),
        (vec![23, 3, 3, 0, 1, 0], Some(UNEXPECTED_MESSAGE), "record of type 23"),
        (vec![22, 3, 1, 0, 0], Some(UNEXPECTED_MESSAGE), "empty TLS record"),
        (with(5, 2), Some(UNEXPECTED_MESSAGE), "message of type 2"),
        (vec![22, 3, 1, 0x40, 1], Some(RECORD_OVERFLOW), "16385 bytes"),
        (with(9, 2), Some(PROTOCOL_VERSION), "version 0x0203"),
        (with(43, 33), Some(DECODE_ERROR), "session id"),
        (with(6, 1), Some(ILLEGAL_PARAMETER), "more than 16384 bytes"),
        (impossible_name(), Some(ILLEGAL_PARAMETER), "impossible server name"),
        (twice_named(), Some(ILLEGAL_PARAMETER), "two extensions of type 0"),
    ]
}

/// A hello that asks for a name with an empty label.
fn impossible_name() -> Vec<u8> {
    let mut hello = Hello::to("a.example").bytes();
    let at = hello.windows(9).position(|window| window == b"a.example").unwrap();
    *hello.get_mut(at).unwrap() = b'.';
    hello
}

/// A hello with nothing but two empty extensions of type server_name.
fn twice_named() -> Vec<u8> {
    let mut body = vec![3, 3];
    body.extend([0; 32]);
    body.extend([0, 0, 2, 0x13, 0x01, 1, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0, 0]);
    let length = |extra: usize| u8::try_from(body.len() + extra).unwrap();
    [&[22, 3, 1, 0, length(4), 1, 0, 0, length(0)][..], &body].concat()
}

#[test]
fn who_begins_with_something_else_is_refused() {
    let site = Site::new(&["a"]);
    let daemon = Daemon::start(site.config("pool = \"a\"", &[]));
    let cases = cases();
    for (bytes, code, fault) in &cases {
        let ended = ended(site.address(), bytes);
        let expected = code.map_or((vec![], End::Reset), |code| (alert(code), End::Closed));
        assert_eq!((ended.bytes, ended.end), expected, "{fault}");
        let record = daemon.wait_for_record(ended.client);
        assert_eq!((record.reason, record.tries, record.pool.as_str()), (Termination::BadHeader, 0, ""));
        let error = record.error.unwrap_or_default();
        assert!(error.contains(fault), "{error:?} does not say {fault:?}");
    }
    assert_eq!(count(&daemon, "secure", "bad_header"), cases.len() as f64);
    assert_eq!(served_by(site.address(), &Hello::to("a.example")), "a");
    assert_eq!(site.backend("a").accepted(), 1);
}

/// One that is only long: its records are good, and their sum is too much.
#[test]
fn a_hello_over_the_limit_is_refused_as_soon_as_it_says_so() {
    let site = Site::new(&["a"]);
    let daemon = Daemon::start(site.config("pool = \"a\"", &[]));
    let hello = Hello::to("a.example").about(20_000).bytes();
    // Its length is in the first bytes; in records of 32 bytes it fits by itself, but not with the heads.
    let longest = Hello::to("a.example").about(15_500).in_records_of(32).bytes();
    for bytes in [hello.split_at(9).0, &hello, &longest] {
        let ended = ended(site.address(), bytes);
        assert_eq!((ended.bytes, ended.end), (alert(ILLEGAL_PARAMETER), End::Closed));
        let record = daemon.wait_for_record(ended.client);
        assert_eq!(record.reason, Termination::BadHeader);
        assert_eq!(record.error.as_deref(), Some("a ClientHello of more than 16384 bytes"));
    }
}

/// What a client has sent and nobody reads would have the kernel reset the connection, and the alert would be lost.
#[test]
fn the_alert_arrives_although_the_client_still_sends() {
    let site = Site::new(&["a"]);
    let daemon = Daemon::start(site.config("", &[route(&["a.example"], &[], "a")]));
    let oversized = Hello::to("a.example").about(20_000).bytes();
    for (bytes, code, reason) in [
        (Hello::to("b.example").bytes(), UNRECOGNIZED_NAME, Termination::NoRoute),
        (oversized, ILLEGAL_PARAMETER, Termination::BadHeader),
    ] {
        let stream = sent(site.address(), &bytes);
        // More than fits in any buffer on the way: it has to be taken from there.
        (&stream).write_all(&Content::new(1).take(20 << 20)).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(client::read_to_end(&stream), (alert(code), End::Closed));
        assert_eq!(daemon.wait_for_record(stream.local_addr().unwrap()).reason, reason);
    }
}

/// It is told, and not waited for for ever.
#[test]
fn who_hears_the_alert_and_stays_is_reset() {
    let site = Site::new(&["a"]);
    let daemon = Daemon::start(site.config("", &[route(&["a.example"], &[], "a")]));
    let stream = sent(site.address(), &Hello::to("b.example").bytes());
    assert_eq!(client::read_to_end(&stream), (alert(UNRECOGNIZED_NAME), End::Closed));
    daemon.wait_for_record(stream.local_addr().unwrap());
    assert_eq!(written_until_it_fails(&stream), End::Reset);
}

#[track_caller]
fn written_until_it_fails(mut stream: &TcpStream) -> End {
    loop {
        if let Err(error) = stream.write_all(b"x") {
            return End::from(&error);
        }
    }
}
