//! Headers that go out: the exact bytes, before anything else, to whichever backend takes the connection.

use std::io::Write as _;
use std::net::{Shutdown, SocketAddr, TcpStream};

use lb_model::Termination;
use lb_tests::{
    Backend, Behaviour, Config, Content, Daemon, Digest, End, Hang, Hello, Loopback, ProxyHeader, client,
    eventually,
};

use super::line;

const ALPN: u8 = 0x01;
const AUTHORITY: u8 = 0x02;
const UNIQUE_ID: u8 = 0x05;

/// The two ends of a client's connection, as the client sees them.
fn ends(stream: &TcpStream) -> (SocketAddr, SocketAddr) {
    (stream.local_addr().unwrap(), stream.peer_addr().unwrap())
}

/// A daemon whose backend sends back what it gets: its header, too.
fn echoing(at: Loopback, bind: SocketAddr, send_proxy: &str) -> (Backend, Daemon) {
    let backend = Backend::start("b", at.backend(0), Behaviour::Echo);
    let config = Config::new().listener("web", bind, "").pool("web", [&backend], send_proxy);
    (backend, Daemon::start(config))
}

/// Asserts that the backend gets this next. The client has not closed, so nothing is behind it unless it said so.
#[track_caller]
fn assert_next(stream: &TcpStream, expected: &[u8]) {
    assert_eq!(
        client::read_bytes(stream, expected.len()).unwrap().escape_ascii().to_string(),
        expected.escape_ascii().to_string()
    );
}

/// Says `text`, and asserts that the backend gets it, and nothing before and after it.
#[track_caller]
fn assert_relays(mut stream: &TcpStream, text: &[u8]) {
    stream.write_all(text).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let (bytes, end) = client::read_to_end(stream);
    assert_eq!((bytes.escape_ascii().to_string(), end), (text.escape_ascii().to_string(), End::Closed));
}

#[test]
fn the_header_goes_first_though_nobody_speaks() {
    for bind in [Loopback::new().port(0), Loopback::v6()] {
        for version in ["v1", "v2"] {
            let (_backend, daemon) = echoing(Loopback::new(), bind, &format!("send_proxy = \"{version}\""));
            let stream = client::connect(bind).unwrap();
            let (source, destination) = ends(&stream);
            let expected = match version {
                "v1" => line(source, destination),
                _ => ProxyHeader::tcp(source, destination).bytes(),
            };
            assert_next(&stream, &expected);
            assert_relays(&stream, b"PROXY and more");
            let record = daemon.wait_for_record(source);
            assert_eq!((record.bytes_in, record.unique_id), (14, None), "the header is not counted");
        }
    }
}

#[test]
fn the_header_goes_first_though_the_client_speaks_first() {
    let at = Loopback::new();
    let (_backend, _daemon) = echoing(at, at.port(0), "send_proxy = \"v1\"");
    for _ in 0..20 {
        let stream = client::connect(at.port(0)).unwrap();
        (&stream).write_all(b"at once").unwrap();
        let (source, destination) = ends(&stream);
        assert_next(&stream, &line(source, destination));
        assert_next(&stream, b"at once");
    }
}

#[test]
fn the_header_goes_first_though_the_server_speaks_first() {
    let at = Loopback::new();
    let backend = Backend::start("b", at.backend(0), Behaviour::Tag);
    let config = Config::new().listener("web", at.port(0), "");
    let _daemon = Daemon::start(config.pool("web", [&backend], "send_proxy = \"v2\""));
    let stream = client::connect(at.port(0)).unwrap();
    assert_next(&stream, b"b\n");
    let (source, destination) = ends(&stream);
    assert_next(&stream, &ProxyHeader::tcp(source, destination).bytes());
}

#[test]
fn the_header_goes_to_a_backend_of_a_client_that_has_said_all() {
    let at = Loopback::new();
    let (_backend, _daemon) = echoing(at, at.port(0), "send_proxy = \"v1\"");
    let stream = client::connect(at.port(0)).unwrap();
    let (source, destination) = ends(&stream);
    stream.shutdown(Shutdown::Write).unwrap();
    assert_eq!(client::read_to_end(&stream), (line(source, destination), End::Closed));
}

#[test]
fn content_behind_the_header_is_intact() {
    let at = Loopback::new();
    let backend = Backend::start("b", at.backend(0), Behaviour::CloseFirst);
    let config = Config::new().listener("web", at.port(0), "");
    let daemon = Daemon::start(config.pool("web", [&backend], "send_proxy = \"v2\""));
    let stream = client::connect(at.port(0)).unwrap();
    let (source, destination) = ends(&stream);
    let content = Content::new(1).take(5 << 20);
    (&stream).write_all(&content).unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let all = [ProxyHeader::tcp(source, destination).bytes(), content.clone()].concat();
    assert_eq!(backend.wait_ended(1), (Digest::of(&all), End::Closed));
    let record = daemon.wait_for_record(source);
    assert_eq!((record.reason, record.bytes_in), (Termination::Finished, content.len() as u64));
}

/// On a socket that is for both families, IPv4 addresses come mapped into IPv6.
#[test]
fn a_client_has_the_address_of_its_family_on_any_listener() {
    let both = Loopback::v6();
    for bind in [format!("*:{}", both.port()), format!("[::]:{}", both.port())] {
        let backend = Backend::start("b", Loopback::new().backend(0), Behaviour::Echo);
        let config = Config::new().listener("web", &bind, "");
        let _daemon = Daemon::start(config.pool("web", [&backend], "send_proxy = \"v1\""));
        let v4 = SocketAddr::new(Loopback::new().ip(), both.port());
        for listener in [Some(both), bind.starts_with('*').then_some(v4)].into_iter().flatten() {
            let stream = client::connect(listener).unwrap();
            let (source, destination) = ends(&stream);
            assert_next(&stream, &line(source, destination));
        }
    }
}

#[test]
fn the_header_goes_first_to_a_backend_that_was_waited_for() {
    let at = Loopback::new();
    let backend = Backend::start("b", at.backend(0), Behaviour::Echo);
    let config = Config::new().listener("web", at.port(0), "");
    let entries = [backend.entry("max_connections = 1")];
    let daemon = Daemon::start(config.pool_of("web", &entries, "send_proxy = \"v1\""));
    let first = client::connect(at.port(0)).unwrap();
    let (source, destination) = ends(&first);
    assert_next(&first, &line(source, destination));
    let waiting = client::connect(at.port(0)).unwrap();
    (&waiting).write_all(b"said while waiting").unwrap();
    let queue = "sluice_pool_queue_length{pool=\"web\"}";
    eventually(client::PATIENCE, "the client waits", || daemon.metric(queue) == 1.0);
    drop(first);
    let (source, destination) = ends(&waiting);
    assert_next(&waiting, &line(source, destination));
    assert_next(&waiting, b"said while waiting");
}

#[test]
fn the_next_backend_gets_the_same_header() {
    let at = Loopback::new();
    let backend = Backend::start("b", at.backend(0), Behaviour::Echo);
    let _hang = Hang::start(at.backend(1));
    let entries = [1, 2].map(|index| format!("\"{}\"", at.backend(index)));
    let entries = [&entries[..], &[backend.entry("")]].concat();
    let lines = "connect_timeout = \"300ms\"\nconnect_tries = 3\nbalance = \"round_robin\"\n\
                 passive_health = { failures = 1000 }\n\
                 send_proxy = { version = \"v2\", tlvs = [\"unique_id\"] }";
    let daemon = Daemon::start(Config::new().listener("web", at.port(0), "").pool_of("web", &entries, lines));
    let mut most_tries = 0;
    for _ in 0..6 {
        let stream = client::connect(at.port(0)).unwrap();
        let (source, destination) = ends(&stream);
        let header = ProxyHeader::tcp(source, destination).bytes();
        let received = client::read_bytes(&stream, header.len() + 3 + 32).unwrap();
        drop(stream);
        let record = daemon.wait_for_record(source);
        let id = record.unique_id.unwrap();
        let expected = ProxyHeader::tcp(source, destination).tlv(UNIQUE_ID, id.as_bytes()).bytes();
        assert_eq!(received.escape_ascii().to_string(), expected.escape_ascii().to_string());
        most_tries = most_tries.max(record.tries);
    }
    assert!(most_tries > 1, "somebody met a backend that does not take connections");
}

/// What of a TLS client's hello and connection is told, value by value.
#[test]
fn each_value_is_told_if_it_is_asked_for() {
    let at = Loopback::new();
    let backend = Backend::start("b", at.backend(0), Behaviour::Echo);
    let config = |tlvs: &[&str]| {
        let listener =
            format!("[listeners.web]\nbind = [\"{}\"]\nprotocol = \"tls\"\npool = \"web\"", at.port(0));
        let send = format!("send_proxy = {{ version = \"v2\", tlvs = {tlvs:?} }}");
        Config::new().table(&listener).pool("web", [&backend], &send)
    };
    let daemon = Daemon::start(config(&[]));
    let (named, anonymous) = (Hello::to("A.example").offering(&["h2", "http/1.1"]), Hello::anonymous());
    for tlvs in [
        &[][..],
        &["alpn"],
        &["authority"],
        &["unique_id"],
        &["crc32c"],
        &["crc32c", "unique_id", "authority", "alpn"],
    ] {
        daemon.reload(config(tlvs));
        for hello in [&named, &anonymous] {
            let is_named = std::ptr::eq(hello, &raw const named);
            let hello = hello.bytes();
            let stream = client::connect(at.port(0)).unwrap();
            let (source, destination) = ends(&stream);
            (&stream).write_all(&hello).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            let (received, end) = client::read_to_end(&stream);
            let record = daemon.wait_for_record(source);
            let wants = |tlv| tlvs.contains(&tlv);
            let mut header = ProxyHeader::tcp(source, destination);
            if wants("alpn") && is_named {
                header = header.tlv(ALPN, b"h2");
            }
            if wants("authority") && is_named {
                header = header.tlv(AUTHORITY, b"a.example");
            }
            assert_eq!(record.unique_id.is_some(), wants("unique_id"));
            if let Some(id) = &record.unique_id {
                header = header.tlv(UNIQUE_ID, id.as_bytes());
            }
            if wants("crc32c") {
                header = header.checksum(0);
            }
            let expected = [header.bytes(), hello].concat();
            assert_eq!(received.escape_ascii().to_string(), expected.escape_ascii().to_string(), "{tlvs:?}");
            assert_eq!(end, End::Closed);
        }
    }
}

#[test]
fn no_two_connections_have_the_same_id() {
    let at = Loopback::new();
    let send = "send_proxy = { version = \"v2\", tlvs = [\"unique_id\"] }";
    let (_backend, daemon) = echoing(at, at.port(0), send);
    for _ in 0..50 {
        client::read_bytes(&client::connect(at.port(0)).unwrap(), 28).unwrap();
    }
    let records = daemon.wait_for_records(50);
    let ids: std::collections::BTreeSet<_> =
        records.iter().map(|record| record.unique_id.clone().unwrap()).collect();
    assert_eq!(ids.len(), 50);
    assert!(ids.iter().all(|id| id.len() == 32), "{ids:?}");
}

#[test]
fn a_reload_changes_what_new_connections_send() {
    let at = Loopback::new();
    let (backend, daemon) = echoing(at, at.port(0), "send_proxy = \"v1\"");
    let old = client::connect(at.port(0)).unwrap();
    let (source, destination) = ends(&old);
    assert_next(&old, &line(source, destination));
    for (send, has_header) in [("send_proxy = \"off\"", false), ("send_proxy = \"v2\"", true)] {
        daemon.reload(Config::new().listener("web", at.port(0), "").pool("web", [&backend], send));
        let stream = client::connect(at.port(0)).unwrap();
        if has_header {
            let (source, destination) = ends(&stream);
            assert_next(&stream, &ProxyHeader::tcp(source, destination).bytes());
        }
        assert_relays(&stream, b"more");
    }
    assert_relays(&old, b"as before");
}
