//! Headers that come in.

use std::io::Write as _;
use std::net::SocketAddr;
use std::process::Command;

use lb_model::Termination;
use lb_tests::{
    Backend, Behaviour, Config, Content, Daemon, Digest, End, Hello, Loopback, ProxyHeader, client,
};

use super::{
    TRUSTED, UNTRUSTED, address, behind_proxies, client_number, ended, header_of, line, sent, served,
};

/// Headers that name a client, in every form.
fn naming() -> Vec<(Vec<u8>, SocketAddr)> {
    let v6 = |number: u8| address(&format!("[2001:db8::{number}]:1000"));
    let (one, to) = client_number(1);
    let all_ones = address("[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
    vec![
        (line(one, to), one),
        (line(v6(2), v6(99)), v6(2)),
        (line(all_ones, all_ones), all_ones),
        (b"PROXY TCP6 ::ffff:192.0.2.4 ::ffff:192.0.2.99 1000 443\r\n".to_vec(), client_number(4).0),
        (header_of(5).bytes(), client_number(5).0),
        (ProxyHeader::tcp(v6(6), v6(99)).bytes(), v6(6)),
        (ProxyHeader::tcp(address("[::ffff:192.0.2.7]:1000"), v6(99)).bytes(), client_number(7).0),
        (header_of(8).tlv(0x02, b"a.example").tlv(0xE0, &[0; 300]).bytes(), client_number(8).0),
        (header_of(9).checksum(0).bytes(), client_number(9).0),
        (header_of(10).tlv(0x05, b"id").padded(200).checksum(0).bytes(), client_number(10).0),
    ]
}

/// Headers that name none.
fn unnaming() -> Vec<Vec<u8>> {
    vec![
        b"PROXY UNKNOWN\r\n".to_vec(),
        b"PROXY UNKNOWN 192.0.2.1 192.0.2.2 1 2\r\n".to_vec(),
        b"PROXY UNKNOWN whatever it likes to say\r\n".to_vec(),
        ProxyHeader::local().bytes(),
        ProxyHeader::of([0x20, 0x11], &[192, 0, 2, 1, 192, 0, 2, 2, 0, 1, 0, 2]).bytes(),
        ProxyHeader::of([0x21, 0], &[]).bytes(),
        ProxyHeader::of([0x21, 0], b"whatever").bytes(),
        ProxyHeader::of([0x21, 0x31], &[b'/'; 216]).bytes(),
    ]
}

/// What becomes of a connection that says `header` and `text` in these segments. The backend gets only the text.
#[track_caller]
fn relayed(daemon: &Daemon, listener: SocketAddr, segments: &[&[u8]], client: Option<SocketAddr>) {
    let stream = sent(TRUSTED, listener, &[]);
    let proxy = stream.local_addr().unwrap();
    for segment in segments {
        (&stream).write_all(segment).unwrap();
    }
    assert_eq!(client::read_line(&stream).unwrap(), "b");
    assert_eq!(client::read_bytes(&stream, TEXT.len()).unwrap(), TEXT, "{segments:?}");
    drop(stream);
    let record = daemon.wait_for_record_through(proxy);
    assert_eq!(record.client, client.unwrap_or(proxy));
    assert_eq!(record.bytes_in, TEXT.len() as u64, "the header is not counted");
}

const TEXT: &[u8] = b"PROXY TCP4 is what the client says";

/// The header alone; with the first bytes behind it; byte by byte.
#[test]
fn a_trusted_header_says_who_the_client_is_however_it_comes() {
    let at = Loopback::new();
    let backend = Backend::start("b", at.backend(0), Behaviour::Tag);
    let daemon = Daemon::start(served(at, &backend, ""));
    let unnaming = unnaming().into_iter().map(|header| (header, None));
    let naming = naming().into_iter().map(|(header, client)| (header, Some(client)));
    for (header, client) in naming.chain(unnaming) {
        relayed(&daemon, at.port(0), &[&header, TEXT], client);
        let coalesced = [&header, TEXT].concat();
        relayed(&daemon, at.port(0), &[&coalesced], client);
        let bytes: Vec<&[u8]> = coalesced.chunks(1).collect();
        relayed(&daemon, at.port(0), &bytes, client);
    }
}

/// Catches: anybody who can pretend to be somebody.
#[test]
fn an_untrusted_header_is_what_the_client_says() {
    let at = Loopback::new();
    let backend = Backend::start("b", at.backend(0), Behaviour::Tag);
    let daemon = Daemon::start(served(at, &backend, "deny = [\"192.0.2.1\"]"));
    for header in [line(client_number(1).0, client_number(1).1), header_of(1).bytes()] {
        let stream = sent(UNTRUSTED, at.port(0), &header);
        assert_eq!(client::read_line(&stream).unwrap(), "b");
        assert_eq!(client::read_bytes(&stream, header.len()).unwrap(), header);
        let peer = stream.local_addr().unwrap();
        drop(stream);
        let record = daemon.wait_for_record(peer);
        assert_eq!((record.proxied_by, record.bytes_in), (None, header.len() as u64));
    }
    // Nor is one waited for.
    assert_eq!(client::read_line(&sent(UNTRUSTED, at.port(0), &[])).unwrap(), "b");
}

#[test]
fn a_header_may_be_as_long_as_the_limit() {
    let at = Loopback::new();
    let backend = Backend::start("b", at.backend(0), Behaviour::Tag);
    let daemon = Daemon::start(served(at, &backend, ""));
    let filled = format!("PROXY UNKNOWN {:>91}\r\n", "x");
    assert_eq!(filled.len(), 107);
    relayed(&daemon, at.port(0), &[filled.as_bytes(), TEXT], None);
    let longest = header_of(1).padded(4096).bytes();
    relayed(&daemon, at.port(0), &[&longest, TEXT], Some(client_number(1).0));
    let (first, rest) = longest.split_at(2000);
    relayed(&daemon, at.port(0), &[first, &[rest, TEXT].concat()], Some(client_number(1).0));
}

#[test]
fn content_behind_a_header_is_intact() {
    let at = Loopback::new();
    let backend = Backend::start("b", at.backend(0), Behaviour::Linger);
    let daemon = Daemon::start(served(at, &backend, ""));
    let content = Content::new(5).take(5 << 20);
    let stream = sent(TRUSTED, at.port(0), &[header_of(1).bytes(), content.clone()].concat());
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    assert_eq!(client::read_line(&stream).unwrap(), "b");
    client::reset(stream);
    assert_eq!(backend.wait_ended(1).0, Digest::of(&content));
    assert_eq!(daemon.wait_for_record(client_number(1).0).bytes_in, content.len() as u64);
}

#[test]
fn lists_are_for_the_client_that_the_header_names() {
    let at = Loopback::new();
    let backend = Backend::start("b", at.backend(0), Behaviour::Tag);
    let lists = "allow = [\"192.0.2.0/24\", \"127.0.0.3\"]\ndeny = [\"192.0.2.66\"]";
    let daemon = Daemon::start(served(at, &backend, lists));
    let greets = |source, bytes: &[u8]| {
        assert_eq!(client::read_line(&sent(source, at.port(0), bytes)).unwrap(), "b");
    };
    // The proxy itself is on no list.
    greets(TRUSTED, &header_of(1).bytes());
    // Who is not behind it is there by itself.
    greets(UNTRUSTED, b"");
    for (header, client) in [
        (header_of(66).bytes(), Some(client_number(66).0)),
        (line(address("203.0.113.1:1000"), address("192.0.2.1:1")), Some(address("203.0.113.1:1000"))),
        (ProxyHeader::local().bytes(), None),
    ] {
        let ended = ended(at.port(0), &header);
        assert_eq!((ended.bytes, ended.end), (vec![], End::Reset));
        let record = daemon.wait_for_record(client.unwrap_or(ended.client));
        assert_eq!((record.reason, record.tries), (Termination::Denied, 0));
    }
    let stranger = client::connect_and_read_to_end("127.0.0.4".parse().unwrap(), at.port(0)).unwrap();
    assert_eq!(daemon.record_of_refused(&stranger).reason, Termination::Denied);
    assert_eq!(backend.accepted(), 2);
}

#[test]
fn a_client_stays_with_its_backend_through_whichever_proxy() {
    let at = Loopback::new();
    let backends = [0, 1, 2, 3].map(|i| Backend::start(&format!("b{i}"), at.backend(i), Behaviour::Tag));
    let listener = "accept_proxy = [\"127.0.0.0/24\"]";
    let config = Config::new().listener("web", at.port(0), listener);
    let _daemon = Daemon::start(config.pool("web", &backends, "balance = \"ip_hash\""));
    let through = |proxy: &str, number: u8, port: u16| {
        let (mut source, destination) = client_number(number);
        source.set_port(port);
        client::read_line(&sent(proxy, at.port(0), &line(source, destination))).unwrap()
    };
    let homes: Vec<_> = (0..40).map(|number| through("127.0.0.2:0", number, 1000)).collect();
    for (number, home) in (0..).zip(&homes) {
        assert_eq!(through("127.0.0.3:0", number, 2000), *home, "client {number}");
    }
    for backend in &backends {
        assert!(homes.iter().any(|home| home == backend.name()), "{} is nobody's home", backend.name());
    }
}

#[test]
fn a_header_comes_before_the_hello() {
    let at = Loopback::new();
    let [a, b] = ["a", "b"]
        .map(|name| Backend::start(name, at.backend(if name == "a" { 0 } else { 1 }), Behaviour::Tag));
    let config = Config::new().pool("a", [&a], "").pool("b", [&b], "").table(&format!(
        "[listeners.web]\nbind = [\"{}\"]\nprotocol = \"tls\"\naccept_proxy = [\"127.0.0.2\"]\n\
         deny = [\"192.0.2.66\"]\npool = \"b\"\n\
         [[listeners.web.sni]]\nnames = [\"a.example\"]\npool = \"a\"\n",
        at.port(0)
    ));
    let daemon = Daemon::start(config);
    let header = header_of(1).tlv(0x02, b"the.header.does.not.count").bytes();
    for (name, pool) in [("a.example", "a"), ("b.example", "b")] {
        let hello = Hello::to(name).bytes();
        let all = [&header[..], &hello].concat();
        for length in [1, header.len(), header.len() + 1, all.len()] {
            let stream = sent(TRUSTED, at.port(0), &[]);
            for segment in all.chunks(length) {
                (&stream).write_all(segment).unwrap();
            }
            assert_eq!(client::read_line(&stream).unwrap(), pool);
            assert_eq!(client::read_bytes(&stream, hello.len()).unwrap(), hello);
            let proxy = stream.local_addr().unwrap();
            drop(stream);
            let record = daemon.wait_for_record_through(proxy);
            assert_eq!((record.client, record.server_name.as_deref()), (client_number(1).0, Some(name)));
            assert_eq!((record.pool.as_str(), record.bytes_in), (pool, hello.len() as u64));
        }
    }
    // Where the header is missing, the hello is no header.
    let hello = Hello::to("a.example").bytes();
    let missing = ended(at.port(0), &hello);
    assert_eq!(daemon.record_of_refused(&missing).reason, Termination::BadHeader);
    // Who comes without a proxy says hello at once.
    let stream = sent(UNTRUSTED, at.port(0), &hello);
    assert_eq!(client::read_line(&stream).unwrap(), "a");
}

/// Catches: places that are counted by the proxy's address, or not given back.
#[test]
fn places_are_counted_by_the_client_that_the_header_names() {
    let at = Loopback::new();
    let backend = Backend::start("b", at.backend(0), Behaviour::Tag);
    let daemon = Daemon::start(served(at, &backend, "max_connections_per_client = 1"));
    let connect = |number| sent(TRUSTED, at.port(0), &header_of(number).bytes());
    for _ in 0..3 {
        let [one, two] = [1, 2].map(connect);
        assert_eq!([&one, &two].map(|stream| client::read_line(stream).unwrap()), ["b", "b"]);
        let third = ended(at.port(0), &header_of(1).bytes());
        assert_eq!((third.bytes, third.end), (vec![], End::Reset));
        let record = daemon.wait_for_record_through(third.client);
        assert_eq!((record.client, record.reason), (client_number(1).0, Termination::ClientLimit));
        let proxies = [&one, &two].map(|stream| stream.local_addr().unwrap());
        drop((one, two));
        for proxy in proxies {
            assert_eq!(daemon.wait_for_record_through(proxy).reason, Termination::Finished);
        }
    }
}

/// Catches: a list that is looked at once the hello is there, so that who is denied takes a place until then.
#[test]
fn who_is_denied_by_its_header_is_reset_before_its_hello() {
    let at = Loopback::new();
    let backend = Backend::start("b", at.backend(0), Behaviour::Tag);
    let daemon = Daemon::start(Config::new().pool("b", [&backend], "").table(&format!(
        "[listeners.web]\nbind = [\"{}\"]\nprotocol = \"tls\"\naccept_proxy = [\"127.0.0.2\"]\n\
         deny = [\"192.0.2.66\"]\nheader_timeout = \"60s\"\npool = \"b\"",
        at.port(0)
    )));
    let hello = Hello::to("a.example").bytes();
    let broken = [22, 3, 1, 0, 0];
    for rest in [&[][..], hello.split_at(50).0, &hello, &broken] {
        let ended = ended(at.port(0), &[&header_of(66).bytes(), rest].concat());
        assert_eq!((ended.bytes, ended.end), (vec![], End::Reset), "who is denied hears nothing");
        let record = daemon.wait_for_record_through(ended.client);
        assert_eq!((record.client, record.reason), (client_number(66).0, Termination::Denied));
    }
}

#[test]
fn header_and_hello_have_one_time_limit() {
    let at = Loopback::new();
    let backend = Backend::start("b", at.backend(0), Behaviour::Tag);
    let daemon = Daemon::start(Config::new().pool("b", [&backend], "").table(&format!(
        "[listeners.web]\nbind = [\"{}\"]\nprotocol = \"tls\"\naccept_proxy = [\"127.0.0.2\"]\n\
         header_timeout = \"1s\"\npool = \"b\"",
        at.port(0)
    )));
    let hello = Hello::to("a.example").bytes();
    for rest in [&[][..], hello.split_at(50).0] {
        let ended = ended(at.port(0), &[&header_of(1).bytes(), rest].concat());
        assert_eq!((ended.bytes, ended.end), (vec![], End::Reset));
        let record = daemon.wait_for_record_through(ended.client);
        assert_eq!((record.client, record.reason), (client_number(1).0, Termination::HeaderTimeout));
        assert!(record.duration_us >= 1_000_000, "{record:?}");
    }
}

#[test]
fn who_is_trusted_may_change_while_others_are_served() {
    let at = Loopback::new();
    let backend = Backend::start("b", at.backend(0), Behaviour::Tag);
    let daemon = Daemon::start(served(at, &backend, ""));
    let open = sent(TRUSTED, at.port(0), &header_of(1).bytes());
    assert_eq!(client::read_line(&open).unwrap(), "b");
    daemon.reload(Config::new().listener("web", at.port(0), "").pool("web", [&backend], ""));
    let header = header_of(2).bytes();
    let stream = sent(TRUSTED, at.port(0), &header);
    assert_eq!(client::read_line(&stream).unwrap(), "b");
    assert_eq!(client::read_bytes(&stream, header.len()).unwrap(), header, "it is nothing special any more");
    (&open).write_all(b"goes on").unwrap();
    assert_eq!(client::read_bytes(&open, 7).unwrap(), b"goes on");
}

#[test]
fn curl_sends_a_header_as_a_proxy_does() {
    let at = Loopback::new();
    let backend = Backend::start("b", at.backend(0), Behaviour::Http);
    let daemon = Daemon::start(behind_proxies(at, "").pool("web", [&backend], ""));
    let mut curl = Command::new("curl");
    curl.args(["-sS", "--fail", "--interface", "127.0.0.2", "--haproxy-protocol"]);
    let output = curl.arg(format!("http://{}/", at.port(0))).output().unwrap();
    assert_eq!(output.stdout, b"b\n", "{}", String::from_utf8_lossy(&output.stderr));
    let records = daemon.wait_for_records(1);
    let record = records.first().unwrap();
    // It is its own proxy.
    assert_eq!((record.proxied_by, record.client.ip()), (Some(record.client), address(TRUSTED).ip()));
}
