//! Headers in and out: what one proxy tells goes on to the next.

use std::io::Write as _;
use std::net::{Shutdown, SocketAddr};

use lb_tests::{Backend, Behaviour, Daemon, End, Hello, Loopback, ProxyHeader, client};

use super::{TRUSTED, UNTRUSTED, behind_proxies, client_number, header_of, line, sent};

const ALPN: u8 = 0x01;
const AUTHORITY: u8 = 0x02;
const UNIQUE_ID: u8 = 0x05;
const SSL: u8 = 0x20;
const NETNS: u8 = 0x30;
const CUSTOM: u8 = 0xE0;

/// A proxy in the middle: its backend sends back what it gets.
struct Middle {
    address: SocketAddr,
    daemon: Daemon,
    _backend: Backend,
}

impl Middle {
    fn start(send_proxy: &str) -> Self {
        let at = Loopback::new();
        let backend = Backend::start("b", at.backend(0), Behaviour::Echo);
        let daemon = Daemon::start(behind_proxies(at, "").pool("web", [&backend], send_proxy));
        Self { address: at.port(0), daemon, _backend: backend }
    }

    /// What the backend gets from a proxy's connection that says `bytes`, and the proxy's own two addresses.
    #[track_caller]
    fn passes_on(&self, source: &str, bytes: &[u8]) -> (String, SocketAddr) {
        let stream = sent(source, self.address, bytes);
        stream.shutdown(Shutdown::Write).unwrap();
        let (received, end) = client::read_to_end(&stream);
        assert_eq!(end, End::Closed);
        (received.escape_ascii().to_string(), stream.local_addr().unwrap())
    }

    #[track_caller]
    fn assert_passes_on(&self, header: &[u8], as_header: &[u8]) {
        let (received, _) = self.passes_on(TRUSTED, &[header, b"text"].concat());
        assert_eq!(received, [as_header, b"text"].concat().escape_ascii().to_string());
    }
}

#[test]
fn both_addresses_go_on_in_either_version() {
    let (source, destination) = client_number(1);
    let v6 = ["[2001:db8::1]:1000", "[2001:db8::2]:443"].map(super::address);
    let (to_v1, to_v2) = (Middle::start("send_proxy = \"v1\""), Middle::start("send_proxy = \"v2\""));
    for (source, destination) in [(source, destination), v6.into()] {
        let (text, binary) = (line(source, destination), ProxyHeader::tcp(source, destination).bytes());
        for header in [&text, &binary] {
            to_v1.assert_passes_on(header, &text);
            to_v2.assert_passes_on(header, &binary);
        }
    }
}

/// What has no name of a client goes on under the address that it came from.
#[test]
fn a_connection_of_the_proxy_itself_is_the_proxys() {
    let middle = Middle::start("send_proxy = \"v1\"");
    for header in [ProxyHeader::local().bytes(), b"PROXY UNKNOWN\r\n".to_vec()] {
        let (received, proxy) = middle.passes_on(TRUSTED, &header);
        assert_eq!(received, line(proxy, middle.address).escape_ascii().to_string());
    }
    let (received, peer) = middle.passes_on(UNTRUSTED, b"");
    assert_eq!(received, line(peer, middle.address).escape_ascii().to_string());
}

#[test]
fn values_go_on_and_the_checksum_is_made_anew() {
    let ssl = [1, 0, 0, 0, 0, 0x21, 0, 7, b'T', b'L', b'S', b'v', b'1', b'.', b'3'];
    let plain = Middle::start("send_proxy = \"v2\"");
    let summed = Middle::start("send_proxy = { version = \"v2\", tlvs = [\"crc32c\"] }");
    let values = header_of(1)
        .tlv(ALPN, b"h2")
        .tlv(AUTHORITY, b"a.example")
        .tlv(SSL, &ssl)
        .tlv(NETNS, b"blue")
        .tlv(CUSTOM, b"\0\xFF")
        .tlv(UNIQUE_ID, b"id")
        .tlv(0xEE, b"");
    for header in [values.clone(), values.clone().checksum(0), values.clone().padded(1000)] {
        plain.assert_passes_on(&header.bytes(), &values.bytes());
        summed.assert_passes_on(&header.bytes(), &values.clone().checksum(0).bytes());
    }
    // Version 1 has no room for them.
    let (source, destination) = client_number(1);
    Middle::start("send_proxy = \"v1\"").assert_passes_on(&values.bytes(), &line(source, destination));
}

#[test]
fn a_connection_keeps_the_id_that_it_has() {
    let middle = Middle::start("send_proxy = { version = \"v2\", tlvs = [\"unique_id\"] }");
    let header = header_of(1).tlv(UNIQUE_ID, b"it has \xFF one").bytes();
    middle.assert_passes_on(&header, &header);
    let record = middle.daemon.wait_for_record(client_number(1).0);
    assert_eq!(record.unique_id.as_deref(), Some("it has \\xff one"));
    // One that has none gets one.
    let (received, _) = middle.passes_on(TRUSTED, &header_of(2).bytes());
    let id = middle.daemon.wait_for_record(client_number(2).0).unique_id.unwrap();
    let expected = header_of(2).tlv(UNIQUE_ID, id.as_bytes()).bytes();
    assert_eq!(received, expected.escape_ascii().to_string());
}

/// Catches: a client whose connection fails because proxies before told so much.
#[test]
fn where_there_is_no_room_for_all_values_ours_go() {
    let middle = Middle::start("send_proxy = { version = \"v2\", tlvs = [\"unique_id\", \"crc32c\"] }");
    let full = header_of(1).tlv(CUSTOM, &[7; 4000]).padded(4096);
    let (received, _) = middle.passes_on(TRUSTED, &full.bytes());
    let id = middle.daemon.wait_for_record(client_number(1).0).unique_id.unwrap();
    let expected = header_of(1).tlv(UNIQUE_ID, id.as_bytes());
    let with_all = expected.clone().tlv(CUSTOM, &[7; 4000]).checksum(0).bytes();
    assert!(with_all.len() <= 4096, "there is room without the NOOP");
    assert_eq!(received, with_all.escape_ascii().to_string());

    let full = header_of(2).tlv(CUSTOM, &[7; 4050]);
    let (received, _) = middle.passes_on(TRUSTED, &full.bytes());
    let id = middle.daemon.wait_for_record(client_number(2).0).unique_id.unwrap();
    let expected = header_of(2).tlv(UNIQUE_ID, id.as_bytes()).checksum(0).bytes();
    assert_eq!(received, expected.escape_ascii().to_string());
}

#[test]
fn what_the_hello_says_goes_before_what_the_header_says() {
    let at = Loopback::new();
    let backend = Backend::start("b", at.backend(0), Behaviour::Echo);
    let listener = format!(
        "[listeners.web]\nbind = [\"{}\"]\nprotocol = \"tls\"\npool = \"web\"\naccept_proxy = [\"127.0.0.2\"]",
        at.port(0)
    );
    let send = "send_proxy = { version = \"v2\", tlvs = [\"authority\", \"alpn\"] }";
    let config = lb_tests::Config::new().table(&listener).pool("web", [&backend], send);
    let _daemon = Daemon::start(config);
    let header = header_of(1).tlv(AUTHORITY, b"old.example").tlv(CUSTOM, b"x").tlv(ALPN, b"old");
    let passed = |hello: &Hello| {
        let hello = hello.bytes();
        let stream = sent(TRUSTED, at.port(0), &header.bytes());
        (&stream).write_all(&hello).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let (received, _) = client::read_to_end(&stream);
        received.strip_suffix(&hello[..]).unwrap().escape_ascii().to_string()
    };
    let text = |header: ProxyHeader| header.bytes().escape_ascii().to_string();
    let both = Hello::to("new.example").offering(&["h2"]);
    let expected = header_of(1).tlv(ALPN, b"h2").tlv(AUTHORITY, b"new.example").tlv(CUSTOM, b"x");
    assert_eq!(passed(&both), text(expected));
    // Of what it does not say, the header's word stands.
    let expected = header_of(1).tlv(AUTHORITY, b"new.example").tlv(CUSTOM, b"x").tlv(ALPN, b"old");
    assert_eq!(passed(&Hello::to("new.example")), text(expected));
    assert_eq!(passed(&Hello::anonymous()), text(header.clone()));
}
