//! Other proxies and servers before and behind, as they are installed: HAProxy and nginx understand what Sluice sends, and
//! Sluice what they send.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;

use lb_tests::{
    AccessRecord, Authority, Backend, Behaviour, Config, Daemon, Loopback, Page, Peer, WebServer, client,
};

use super::address;

/// Where the first client and the proxies after it connect from.
const CLIENT: &str = "127.0.0.9:0";
const PROXY: &str = "127.0.0.2";

/// HAProxy at `listen`, which passes on to `to` with these options of its server line.
fn haproxy_before(listen: SocketAddr, bind: &str, to: SocketAddr, options: &str) -> Peer {
    let sections = format!(
        "listen test\n  bind {listen} {bind}\n  unique-id-format test-%ci-%cp\n  server sluice {to} source {PROXY} {options}"
    );
    Peer::haproxy(&sections, &[listen])
}

/// Asserts that `record` is of a client at `client` that came through [`PROXY`].
#[track_caller]
fn assert_through(record: &AccessRecord, client: SocketAddr) {
    assert_eq!(record.client, client);
    let proxy = record.proxied_by.unwrap();
    assert_eq!(proxy.ip(), address(&format!("{PROXY}:0")).ip());
}

#[track_caller]
fn only_record(daemon: &Daemon) -> AccessRecord {
    let records = daemon.wait_for_records(1);
    let [record] = records.as_slice() else { panic!("one connection, not {records:#?}") };
    record.clone()
}

/// Connects to `listen` as the client and says something; returns its address once it is greeted.
#[track_caller]
fn greeted(listen: SocketAddr) -> SocketAddr {
    let stream = client::connect_from(address(CLIENT), listen).unwrap();
    (&stream).write_all(b"text").unwrap();
    assert_eq!(client::read_line(&stream).unwrap(), "b");
    assert_eq!(client::read_bytes(&stream, 4).unwrap(), b"text", "the header is for the proxy only");
    stream.local_addr().unwrap()
}

/// A daemon behind proxies, with a backend that greets and sends back what it gets.
fn behind(at: Loopback, send_proxy: &str) -> (Backend, Daemon) {
    let backend = Backend::start("b", at.backend(0), Behaviour::Tag);
    let listener = format!("accept_proxy = [\"{PROXY}\"]");
    let config = Config::new().listener("web", at.port(0), &listener).pool("web", [&backend], send_proxy);
    (backend, Daemon::start(config))
}

#[test]
fn haproxy_tells_who_the_client_is() {
    for options in [
        "send-proxy",
        "send-proxy-v2",
        "send-proxy-v2 proxy-v2-options crc32c",
        "send-proxy-v2 proxy-v2-options crc32c,unique-id,authority,ssl,cert-cn,cert-key,cert-sig,ssl-cipher",
        "send-proxy-v2-ssl",
        "send-proxy-v2-ssl-cn",
    ] {
        let at = Loopback::new();
        let (_backend, daemon) = behind(at, "");
        let _haproxy = haproxy_before(at.port(1), "", at.port(0), options);
        let client = greeted(at.port(1));
        assert_through(&only_record(&daemon), client);
    }
}

/// Its health checks are connections of its own, of which it says so.
#[test]
fn haproxys_health_checks_are_its_own() {
    let at = Loopback::new();
    let (backend, daemon) = behind(at, "");
    let options = "send-proxy-v2 check check-send-proxy inter 100ms";
    let _haproxy = haproxy_before(at.port(1), "", at.port(0), options);
    for record in daemon.wait_for_records(3) {
        assert_eq!(record.proxied_by, Some(record.client), "{record:?}");
    }
    let client = greeted(at.port(1));
    assert_through(&daemon.wait_for_record(client), client);
    assert!(backend.accepted() > 3);
}

/// What it knows of TLS that it has ended goes on to the backend: name, certificate, id.
#[test]
fn what_haproxy_tells_of_tls_goes_on() {
    let at = Loopback::new();
    let backend = Backend::start("b", at.backend(0), Behaviour::Echo);
    let listener = format!("accept_proxy = [\"{PROXY}\"]");
    let send = "send_proxy = { version = \"v2\", tlvs = [\"unique_id\", \"crc32c\"] }";
    let config = Config::new().listener("web", at.port(0), &listener).pool("web", [&backend], send);
    let daemon = Daemon::start(config);
    let authority = Authority::new("authority");
    let (server, ca) = (authority.identity("a.example"), authority.file());
    let bind = format!("ssl crt {} ca-file {} verify optional alpn h2", server.display(), ca.display());
    let options = "send-proxy-v2-ssl-cn proxy-v2-options crc32c,unique-id,authority,ssl-cipher";
    let _haproxy = haproxy_before(at.port(1), &bind, at.port(0), options);

    let mut openssl = Command::new("openssl");
    openssl.args([
        "s_client",
        "-quiet",
        "-tls1_3",
        "-servername",
        "a.example",
        "-alpn",
        "h2",
        "-bind",
        "127.0.0.9:0",
    ]);
    openssl
        .arg("-connect")
        .arg(at.port(1).to_string())
        .arg("-cert")
        .arg(authority.identity("client.example"));
    let received = conversation(&mut openssl, b"the end");

    let record = only_record(&daemon);
    let id = record.unique_id.clone().unwrap();
    assert_eq!(id, format!("test-{}-{}", record.client.ip(), record.client.port()));
    assert_through(&record, record.client);
    assert_eq!(record.client.ip(), address(CLIENT).ip());
    for told in ["a.example", "client.example", "TLSv1.3", "TLS_AES_", "h2", &id] {
        let found = received.windows(told.len()).any(|window| window == told.as_bytes());
        assert!(found, "no {told:?} in {}", received.escape_ascii());
    }
}

/// Says `text` to a program, and returns what it prints until it has printed that, too.
#[track_caller]
fn conversation(command: &mut Command, text: &[u8]) -> Vec<u8> {
    use std::process::Stdio;

    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = command.spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(text).unwrap();
    let mut printed = Vec::new();
    let mut stdout = child.stdout.take().unwrap();
    while !printed.ends_with(text) {
        let mut byte = [0];
        assert_eq!(stdout.read(&mut byte).unwrap(), 1, "only {}", printed.escape_ascii());
        printed.extend(byte);
    }
    drop(stdin);
    child.kill().unwrap();
    child.wait().unwrap();
    printed
}

#[test]
fn nginx_tells_who_the_client_is() {
    let at = Loopback::new();
    let (_backend, daemon) = behind(at, "");
    let server = format!(
        "server {{ listen {}; proxy_bind {PROXY}; proxy_protocol on; proxy_pass {}; }}",
        at.port(1),
        at.port(0)
    );
    let _nginx = Peer::nginx(&format!("stream {{ {server} }}"), &[at.port(1)]);
    let client = greeted(at.port(1));
    assert_through(&only_record(&daemon), client);
}

/// A daemon before `to`, which speaks to it as `send_proxy` says.
fn before(at: Loopback, to: SocketAddr, send_proxy: &str) -> Daemon {
    let pool = [format!("\"{to}\"")];
    let listener = format!("accept_proxy = [\"{PROXY}\"]");
    Daemon::start(Config::new().listener("web", at.port(0), &listener).pool_of("web", &pool, send_proxy))
}

const VERSIONS: [&str; 3] = [
    "send_proxy = \"v1\"",
    "send_proxy = \"v2\"",
    "send_proxy = { version = \"v2\", tlvs = [\"authority\", \"alpn\", \"unique_id\", \"crc32c\"] }",
];

/// What a web server behind `listen` answers, and the address from which it was asked.
#[track_caller]
fn asked(listen: SocketAddr) -> (String, SocketAddr) {
    let stream = client::connect_from(address(CLIENT), listen).unwrap();
    (&stream).write_all(b"GET / HTTP/1.0\r\nhost: a.example\r\n\r\n").unwrap();
    (answer(&stream), stream.local_addr().unwrap())
}

/// The body, or all of it if it has no head.
#[track_caller]
fn answer(stream: &TcpStream) -> String {
    let (bytes, end) = client::read_to_end(stream);
    let text = String::from_utf8(bytes).unwrap();
    let body = text.split_once("\r\n\r\n").map_or(text.as_str(), |(_head, body)| body);
    assert!(!body.is_empty(), "no answer: {end:?}");
    body.trim_end().to_owned()
}

#[test]
fn haproxy_hears_who_the_client_is() {
    let at = Loopback::new();
    let answer = "http-request return status 200 content-type text/plain lf-string \
                  \"%[src] %[src_port] %[dst] %[dst_port] %[fc_pp_unique_id]\"";
    let sections = format!("frontend test\n  mode http\n  bind {} accept-proxy\n  {answer}", at.backend(1));
    let _haproxy = Peer::haproxy(&sections, &[at.backend(1)]);
    for send_proxy in VERSIONS {
        let daemon = before(at, at.backend(1), send_proxy);
        let (heard, client) = asked(at.port(0));
        let record = daemon.wait_for_record(client);
        let id = record.unique_id.map(|id| format!(" {id}")).unwrap_or_default();
        assert_eq!(heard, heard_of(client, at.port(0)) + &id, "{send_proxy}");
    }
}

fn heard_of(client: SocketAddr, server: SocketAddr) -> String {
    format!("{} {} {} {}", client.ip(), client.port(), server.ip(), server.port())
}

/// nginx that says what it hears, as a web server and as a stream server.
fn telling_nginx(at: Loopback) -> Peer {
    let says = "return 200 \"$proxy_protocol_addr $proxy_protocol_port $proxy_protocol_server_addr \
                $proxy_protocol_server_port\";";
    let stream = says.replace("return 200", "return");
    let blocks = format!(
        "http {{ access_log off; server {{ listen {} proxy_protocol; {says} }} }}\n\
         stream {{ server {{ listen {} proxy_protocol; {stream} }} }}",
        at.backend(1),
        at.backend(2)
    );
    Peer::nginx(&blocks, &[at.backend(1), at.backend(2)])
}

#[test]
fn nginx_hears_who_the_client_is() {
    let at = Loopback::new();
    let _nginx = telling_nginx(at);
    for send_proxy in VERSIONS {
        for server in [at.backend(1), at.backend(2)] {
            let _daemon = before(at, server, send_proxy);
            let (heard, client) = asked(at.port(0));
            assert_eq!(heard, heard_of(client, at.port(0)), "{send_proxy}");
        }
    }
}

#[test]
fn the_client_is_known_at_the_end_of_a_chain() {
    let at = Loopback::new();
    let _nginx = telling_nginx(at);
    for (first, then) in [
        ("send-proxy", "send_proxy = \"v1\""),
        ("send-proxy", "send_proxy = \"v2\""),
        ("send-proxy-v2 proxy-v2-options crc32c,unique-id", "send_proxy = \"v1\""),
        ("send-proxy-v2 proxy-v2-options crc32c,unique-id", VERSIONS[2]),
    ] {
        let daemon = before(at, at.backend(1), then);
        let _haproxy = haproxy_before(at.port(1), "", at.port(0), first);
        let (heard, client) = asked(at.port(1));
        // What it has connected to is HAProxy.
        assert_eq!(heard, heard_of(client, at.port(1)), "{first}, {then}");
        assert_through(&only_record(&daemon), client);
    }
}

/// Through HAProxy, which only passes it on, and Sluice, which looks at the hello behind the header.
#[test]
fn tls_goes_through_a_chain_to_whom_it_is_for() {
    let at = Loopback::new();
    let authority = Authority::new("authority");
    let servers = [("a.example", 0), ("b.example", 1)].map(|(name, index)| {
        let server = WebServer::start_tls(at.backend(index), &authority, &[name]);
        server.always(Page::Body(name.into()));
        server
    });
    let [a, b] = servers.each_ref().map(|server| [format!("\"{}\"", server.address())]);
    let listener = format!(
        "[listeners.web]\nbind = [\"{}\"]\nprotocol = \"tls\"\naccept_proxy = [\"{PROXY}\"]\npool = \"b\"\n\
         [[listeners.web.sni]]\nnames = [\"a.example\"]\npool = \"a\"",
        at.port(0)
    );
    let config = Config::new().pool_of("a", &a, "").pool_of("b", &b, "").table(&listener);
    let daemon = Daemon::start(config);
    let _haproxy = haproxy_before(at.port(1), "", at.port(0), "send-proxy-v2");
    for (count, name) in [(1, "a.example"), (2, "b.example")] {
        let mut curl = Command::new("curl");
        curl.args([
            "-sS",
            "--interface",
            "127.0.0.9",
            "--connect-to",
            &format!("::{}", at.port(1)),
            "--cacert",
        ]);
        let output = curl.arg(authority.file()).arg(format!("https://{name}/")).output().unwrap();
        assert_eq!(output.stdout, name.as_bytes(), "{}", String::from_utf8_lossy(&output.stderr));
        let record = daemon.wait_for_records(count).pop().unwrap();
        assert_through(&record, record.client);
        assert_eq!((record.client.ip(), record.server_name.as_deref()), (address(CLIENT).ip(), Some(name)));
    }
}
