//! What clients that are in use send, and what they make of alerts.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use socket2::SockRef;
use tokio_rustls::rustls::crypto::{CryptoProvider, aws_lc_rs};
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore};

use super::*;

/// Until a client has done what it is to do.
const DEADLINE: Duration = Duration::from_secs(30);

/// A program, if it is on the PATH. With `SLUICE_REQUIRE_LAB=1` it has to be, so that a gate cannot pass by
/// skipping.
fn program(name: &str) -> Option<Command> {
    let search = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&search).any(|directory| directory.join(name).exists()) {
        let mut command = Command::new(name);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        return Some(command);
    }
    let why = format!("there is no {name}: install it, or run `cargo xtask setup`");
    assert!(
        std::env::var_os("SLUICE_REQUIRE_LAB").is_none_or(|v| v != "1"),
        "SLUICE_REQUIRE_LAB=1, but {why}"
    );
    eprintln!("SKIPPED: {why}");
    None
}

/// A port that waits for one client, which is to be turned away.
struct Server(TcpListener);

/// What became of a client.
struct Met {
    hello: Vec<u8>,
    said: String,
}

impl Server {
    fn new() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        // For accept, too: a client may end without connecting.
        SockRef::from(&listener).set_read_timeout(Some(DEADLINE)).unwrap();
        Self(listener)
    }

    fn address(&self) -> String {
        self.0.local_addr().unwrap().to_string()
    }

    /// Reads the hello of `client` and answers with `alert`.
    fn meet(&self, client: Child, alert: Alert) -> Met {
        let stopped = Stopped(Some(client));
        let (mut stream, _) = self.0.accept().unwrap();
        let hello = read_hello(&mut stream);
        stream.write_all(&alert.encode()).unwrap();
        // The client closes when it has read the alert.
        let _ = stream.read_to_end(&mut Vec::new());
        drop(stream);
        Met { hello, said: stopped.said() }
    }
}

/// Reads until there is a hello.
fn read_hello(stream: &mut TcpStream) -> Vec<u8> {
    stream.set_read_timeout(Some(DEADLINE)).unwrap();
    let mut bytes = Vec::new();
    loop {
        let mut segment = [0; 4096];
        let length = stream.read(&mut segment).unwrap();
        assert!(length > 0, "the client closed after {bytes:02x?}");
        bytes.extend(&segment[..length]);
        match parse(&bytes, LIMIT) {
            Ok(Progress::NeedMore { .. }) => {}
            Ok(Progress::Done { length, .. }) => {
                assert_eq!(length, bytes.len());
                return bytes;
            }
            Err(error) => panic!("{error}: {bytes:02x?}"),
        }
    }
}

/// A client that does not outlive a test that fails.
struct Stopped(Option<Child>);

impl Stopped {
    fn said(mut self) -> String {
        let Output { stdout, stderr, .. } = self.0.take().unwrap().wait_with_output().unwrap();
        String::from_utf8_lossy(&[stdout, stderr].concat()).to_lowercase()
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        if let Some(client) = &mut self.0 {
            let _ = client.kill();
            let _ = client.wait();
        }
    }
}

#[test]
fn openssl() {
    for version in [&["-tls1_3"][..], &["-tls1_2"], &["-tls1", "-cipher", "DEFAULT:@SECLEVEL=0"]] {
        let Some(mut openssl) = program("openssl") else { return };
        let server = Server::new();
        openssl.args(["s_client", "-connect", &server.address(), "-servername", "WWW.example.com"]);
        openssl.args(["-alpn", "h2,http/1.1"]).args(version);
        let met = server.meet(openssl.spawn().unwrap(), Alert::UnrecognizedName);
        let (hello, _) = done(&met.hello);
        assert_eq!(hello.server_name, Some("www.example.com".parse().unwrap()), "{version:?}");
        assert_eq!(hello.alpn.iter().collect::<Vec<_>>(), [&b"h2"[..], b"http/1.1"]);
        assert!(met.said.contains("unrecognized name"), "{version:?}: {}", met.said);
        assert_ends_with_its_last_byte(&met.hello);
    }
}

#[test]
fn openssl_in_many_records() {
    let Some(mut openssl) = program("openssl") else { return };
    let server = Server::new();
    let protocols: Vec<_> = (0..100).map(|n| format!("protocol-{n}")).collect();
    openssl.args(["s_client", "-connect", &server.address(), "-servername", "www.example.com"]);
    openssl.args(["-max_send_frag", "512", "-alpn", &protocols.join(",")]);
    let met = server.meet(openssl.spawn().unwrap(), Alert::NoApplicationProtocol);
    assert!(Records::new(&met.hello).count() > 1);
    let (hello, _) = done(&met.hello);
    assert_eq!(name_in(&met.hello).unwrap(), "www.example.com");
    assert_eq!(
        hello.alpn.iter().map(|name| String::from_utf8(name.to_vec()).unwrap()).collect::<Vec<_>>(),
        protocols
    );
    assert!(met.said.contains("no application protocol"), "{}", met.said);
    assert_ends_with_its_last_byte(&met.hello);
}

#[test]
fn curl() {
    let Some(mut curl) = program("curl") else { return };
    let server = Server::new();
    curl.args(["-sS", "--connect-to", &format!("::{}", server.address()), "https://api.example.com/"]);
    let met = server.meet(curl.spawn().unwrap(), Alert::UnrecognizedName);
    assert_eq!(name_in(&met.hello).unwrap(), "api.example.com");
    assert!(done(&met.hello).0.alpn.contains(b"http/1.1"));
    assert!(met.said.contains("unrecognized name"), "{}", met.said);
}

#[test]
fn curl_does_not_name_an_ip_address() {
    let Some(mut curl) = program("curl") else { return };
    let server = Server::new();
    curl.args(["-sS", &format!("https://{}/", server.address())]);
    let met = server.meet(curl.spawn().unwrap(), Alert::DecodeError);
    assert_eq!(name_in(&met.hello), None);
    assert!(met.said.contains("decode error"), "{}", met.said);
}

#[test]
fn python() {
    let Some(mut python) = program("python3") else { return };
    let server = Server::new();
    let script = "import socket, ssl, sys\n\
        host, port = sys.argv[1].split(':')\n\
        context = ssl.create_default_context()\n\
        context.wrap_socket(socket.create_connection((host, int(port))), server_hostname='py.example.com')\n";
    python.args(["-c", script, &server.address()]);
    let met = server.meet(python.spawn().unwrap(), Alert::ProtocolVersion);
    assert_eq!(name_in(&met.hello).unwrap(), "py.example.com");
    assert_eq!(done(&met.hello).0.alpn, AlpnProtocols::default());
    assert!(met.said.replace('_', " ").contains("alert protocol version"), "{}", met.said);
}

/// The hello of rustls with the shares of the key exchange groups in `provider`, and its connection.
fn rustls(provider: CryptoProvider) -> (Vec<u8>, ClientConnection) {
    let config = ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .unwrap();
    let mut config = config.with_root_certificates(RootCertStore::empty()).with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec()];
    let name = "rustls.example.com".try_into().unwrap();
    let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
    let mut hello = Vec::new();
    while connection.wants_write() {
        connection.write_tls(&mut hello).unwrap();
    }
    (hello, connection)
}

#[test]
fn rustls_with_post_quantum_keys() {
    let kx_groups = vec![aws_lc_rs::kx_group::X25519MLKEM768];
    for (provider, at_least) in [
        (aws_lc_rs::default_provider(), 200),
        (CryptoProvider { kx_groups, ..aws_lc_rs::default_provider() }, 1200),
    ] {
        let (hello, _) = rustls(provider);
        assert!(hello.len() > at_least, "{}", hello.len());
        assert_eq!(name_in(&hello).unwrap(), "rustls.example.com");
        assert!(done(&hello).0.alpn.contains(b"h2"));
        assert_ends_with_its_last_byte(&hello);
        let cut = records(&hello[5..], 100);
        assert_eq!(done(&cut).0, done(&hello).0);
        assert_ends_with_its_last_byte(&cut);
    }
}

#[test]
fn rustls_understands_every_alert() {
    use tokio_rustls::rustls::{AlertDescription, Error};

    for (alert, understood) in [
        (Alert::UnexpectedMessage, AlertDescription::UnexpectedMessage),
        (Alert::RecordOverflow, AlertDescription::RecordOverflow),
        (Alert::IllegalParameter, AlertDescription::IllegalParameter),
        (Alert::DecodeError, AlertDescription::DecodeError),
        (Alert::ProtocolVersion, AlertDescription::ProtocolVersion),
        (Alert::UnrecognizedName, AlertDescription::UnrecognisedName),
        (Alert::NoApplicationProtocol, AlertDescription::NoApplicationProtocol),
    ] {
        let (_, mut client) = rustls(aws_lc_rs::default_provider());
        client.read_tls(&mut &alert.encode()[..]).unwrap();
        assert_eq!(client.process_new_packets().unwrap_err(), Error::AlertReceived(understood));
    }
}
