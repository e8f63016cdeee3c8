//! Trusted peers that do not send a header, or not a good one: they are reset, and no backend is bothered.

use std::net::Shutdown;

use lb_model::Termination;
use lb_tests::{Backend, Behaviour, Content, Daemon, End, Loopback, ProxyHeader, client};

use super::{TRUSTED, ended, header_of, sent, served};

/// What such a peer begins with, and a part of what the record says of it.
fn cases() -> Vec<(Vec<u8>, &'static str)> {
    let (source, to) = super::client_number(1);
    let line = super::line(source, to);
    let endless = [&b"PROXY UNKNOWN "[..], &[b'x'; 200]].concat();
    vec![
        (b"GET / HTTP/1.1\r\n\r\n".to_vec(), "no PROXY protocol header"),
        (b"PRI * HTTP/2.0\r\n".to_vec(), "no PROXY protocol header"),
        (Content::new(1).take(1000), "no PROXY protocol header"),
        (b"\r\n\r\nGET /".to_vec(), "no PROXY protocol header"),
        (b"PROXY TCP5 192.0.2.1 192.0.2.2 1 2\r\n".to_vec(), "an unknown protocol"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n".to_vec(), "two addresses and two ports"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2  1 2\r\n".to_vec(), "two addresses and two ports"),
        (b"PROXY TCP4 ::1 ::2 1 2\r\n".to_vec(), "an address that is not one of its protocol"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n".to_vec(), "a port that is no number"),
        (b"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\nx".to_vec(), "nor CR LF"),
        ([line.strip_suffix(b"\r\n").unwrap(), b" \t\r\n"].concat(), "nor CR LF"),
        (endless, "within 107 bytes"),
        (format!("PROXY UNKNOWN {:>92}\r\n", "x").into(), "within 107 bytes"),
        (ProxyHeader::of([0x11, 0x11], &[0; 12]).bytes(), "version 1 behind the signature"),
        (ProxyHeader::of([0x22, 0x11], &[0; 12]).bytes(), "command 2"),
        (ProxyHeader::of([0x21, 0x41], &[0; 12]).bytes(), "family 4"),
        (ProxyHeader::of([0x21, 0x13], &[0; 12]).bytes(), "transport 3"),
        (ProxyHeader::of([0x21, 0x11], &[0; 11]).bytes(), "27 bytes"),
        (ProxyHeader::of([0x21, 0x21], &[0; 12]).bytes(), "28 bytes"),
        (header_of(1).padded(4097).bytes(), "expected at most 4096"),
        (header_of(1).checksum(1).bytes(), "CRC32c"),
        (header_of(1).tlv(0x05, &[0; 129]).bytes(), "TLV of type 0x05"),
        (truncated_tlv(), "longer than what is left"),
    ]
}

/// A value that claims to be longer than its header.
fn truncated_tlv() -> Vec<u8> {
    let mut header = header_of(1).tlv(0xE0, b"ab").bytes();
    let at = header.len() - 3;
    *header.get_mut(at).unwrap() = 3;
    header
}

#[test]
fn what_is_no_header_is_refused() {
    let at = Loopback::new();
    let backend = Backend::start("b", at.backend(0), Behaviour::Tag);
    let daemon = Daemon::start(served(at, &backend, ""));
    let cases = cases();
    for (bytes, fault) in &cases {
        let record = daemon.record_of_refused(&ended(at.port(0), bytes));
        assert_eq!(
            (record.reason, record.tries, record.proxied_by),
            (Termination::BadHeader, 0, None),
            "{fault}"
        );
        let error = record.error.unwrap_or_default();
        assert!(error.contains(fault), "{error:?} does not say {fault:?}");
    }
    let metric = "sluice_listener_ended_total{listener=\"web\",reason=\"bad_header\"}";
    assert_eq!(daemon.metric(metric), cases.len() as f64);
    assert_eq!(backend.accepted(), 0);
}

#[test]
fn a_peer_has_header_timeout_for_its_header() {
    let at = Loopback::new();
    let backend = Backend::start("b", at.backend(0), Behaviour::Tag);
    let daemon = Daemon::start(served(at, &backend, "header_timeout = \"300ms\""));
    let header = header_of(1).tlv(0xE0, &[0; 100]).bytes();
    for part in [b"", &b"PROXY TCP4 192.0.2.1"[..], header.split_at(14).0, header.split_at(100).0] {
        let record = daemon.record_of_refused(&ended(at.port(0), part));
        assert_eq!((record.reason, record.error.as_deref()), (Termination::HeaderTimeout, None));
        assert!(record.duration_us >= 300_000, "{record:?}");
    }
    assert_eq!(backend.accepted(), 0);
}

#[test]
fn a_peer_that_leaves_halfway_is_noted() {
    let at = Loopback::new();
    let backend = Backend::start("b", at.backend(0), Behaviour::Tag);
    let daemon = Daemon::start(served(at, &backend, ""));
    let header = header_of(1).bytes();
    let error = |count: usize| {
        Some(format!("the client ended the connection after {count} bytes of the PROXY protocol header"))
    };
    for (part, reason, error) in [
        (&b""[..], Termination::ClientGone, None),
        (b"PROXY TCP4 192", Termination::BadHeader, error(14)),
        (header.split_at(20).0, Termination::BadHeader, error(20)),
    ] {
        let stream = sent(TRUSTED, at.port(0), part);
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(client::read_to_end(&stream), (vec![], End::Reset));
        let record = daemon.wait_for_record(stream.local_addr().unwrap());
        assert_eq!((record.reason, record.error), (reason, error));
    }
    assert_eq!(backend.accepted(), 0);
}
