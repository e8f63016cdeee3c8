//! HTTPS probes against certificates of a private authority: good, expired, of another name, of another authority.

use std::path::PathBuf;
use std::sync::Arc;

use lb_model::{HttpProbe, TlsProbe, TlsVerification};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;
use tokio_rustls::rustls::{HandshakeKind, ServerConfig};

use super::*;

/// A private authority, and a file with its certificate.
struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    fn new() -> Self {
        Self::named("a private authority")
    }

    fn named(name: &str) -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = TempDir::new().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A server for `names`, whose certificate `change` may change.
    fn server(&self, names: &[&str], change: impl FnOnce(&mut CertificateParams)) -> TlsAcceptor {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names).unwrap();
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![certificate.into()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
            .unwrap();
        Arc::new(config).into()
    }
}

fn https(server_name: Option<&str>, verify: TlsVerification) -> Probe {
    let tls = TlsProbe { server_name: server_name.map(|name| name.parse().unwrap()), verify };
    Probe::Http(HttpProbe { tls: Some(tls), ..HttpProbe::get("/".parse().unwrap()) })
}

async fn serve(listener: &TcpListener, server: &TlsAcceptor) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        // Fails where the probe refuses the certificate.
        let Ok(mut stream) = server.accept(stream).await else { continue };
        let mut buffer = vec![0; 4096];
        let _ = stream.read(&mut buffer).await;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        let _ = stream.shutdown().await;
    }
}

async fn against(server: TlsAcceptor, https: Probe) -> ProbeResult {
    let (listener, address) = listener().await;
    beside(Box::pin(serve(&listener, &server)), probe(address, https, PATIENT)).await
}

#[tokio::test]
async fn trusts_a_private_authority_for_the_right_name() {
    let authority = Authority::new();
    let trust = || TlsVerification::CaFile(authority.file());
    let server = || authority.server(&["web.example", "127.0.0.1"], |_| {});
    assert_eq!(against(server(), https(Some("web.example"), trust())).await.map(|_| ()), Ok(()));
    assert_eq!(against(server(), https(None, trust())).await.map(|_| ()), Ok(()), "by address");
    let other = against(server(), https(Some("other.example"), trust())).await;
    assert_eq!(message(other), "certificate is not for other.example");
    let Probe::Http(by_host) = https(None, trust()) else { unreachable!() };
    let by_host = HttpProbe { host: Some("other.example:443".parse().unwrap()), ..by_host };
    let other = against(server(), Probe::Http(by_host)).await;
    assert_eq!(message(other), "certificate is not for other.example");
}

#[tokio::test]
async fn says_what_is_wrong_with_a_certificate() {
    let authority = Authority::new();
    let trust = || TlsVerification::CaFile(authority.file());
    let name = Some("web.example");
    let expired = authority.server(&["web.example"], |params| params.not_after = date_time_ymd(2020, 1, 1));
    assert_eq!(message(against(expired, https(name, trust())).await), "certificate expired");
    let early = authority.server(&["web.example"], |params| params.not_before = date_time_ymd(3000, 1, 1));
    assert_eq!(message(against(early, https(name, trust())).await), "certificate is not valid yet");
    for strange in [Authority::new(), Authority::named("another")] {
        let result = against(strange.server(&["web.example"], |_| {}), https(name, trust())).await;
        assert_eq!(message(result), "certificate is not signed by a trusted authority");
    }
}

#[tokio::test]
async fn the_system_does_not_trust_a_private_authority() {
    let server = Authority::new().server(&["web.example"], |_| {});
    let error = against(server, https(Some("web.example"), TlsVerification::System)).await.unwrap_err();
    // A minimal container trusts nobody and says so.
    assert!(matches!(error, ProbeError::Certificate(_) | ProbeError::Local(_)), "{error}");
}

#[tokio::test]
async fn trusts_anyone_if_told_to() {
    let expired =
        Authority::new().server(&["x.example"], |params| params.not_after = date_time_ymd(2020, 1, 1));
    assert!(against(expired, https(Some("web.example"), TlsVerification::None)).await.is_ok());
}

/// A resumed session shows no certificate, so an expired one would go unnoticed.
#[tokio::test]
async fn every_probe_sees_the_certificate() {
    let authority = Authority::new();
    let server = authority.server(&["127.0.0.1"], |_| {});
    let (listener, address) = listener().await;
    let handshakes = std::cell::RefCell::new(vec![]);
    let serve = async {
        loop {
            let mut stream = server.accept(listener.accept().await.unwrap().0).await.unwrap();
            handshakes.borrow_mut().push(stream.get_ref().1.handshake_kind().unwrap());
            let _ = stream.read(&mut vec![0; 4096]).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await.unwrap();
        }
    };
    let key = key(address, https(None, TlsVerification::CaFile(authority.file())), PATIENT);
    let trust = TrustStores::default();
    beside(Box::pin(serve), async {
        for _ in 0..3 {
            run(&key, &trust).await.unwrap();
        }
    })
    .await;
    assert_eq!(*handshakes.borrow(), [HandshakeKind::Full; 3]);
}

#[tokio::test]
async fn a_ca_file_that_cannot_be_read_is_no_verdict() {
    let server = || Authority::new().server(&["web.example"], |_| {});
    let missing = against(server(), https(None, TlsVerification::CaFile("/nowhere/ca.pem".into()))).await;
    let missing = missing.unwrap_err();
    assert!(missing.is_local() && missing.to_string().contains("/nowhere/ca.pem"), "{missing}");
    let folder = TempDir::new().unwrap();
    let empty = folder.path().join("empty.pem");
    std::fs::write(&empty, "").unwrap();
    let empty = against(server(), https(None, TlsVerification::CaFile(empty))).await.unwrap_err();
    assert!(empty.is_local() && empty.to_string().ends_with("no certificate in it"), "{empty}");
}

#[tokio::test]
async fn a_handshake_that_hangs_or_is_none_is_told() {
    let (listener, address) = listener().await;
    let hangs = async {
        let (_kept, _) = listener.accept().await.unwrap();
        std::future::pending::<()>().await;
    };
    let result = beside(hangs, probe(address, https(None, TlsVerification::None), SHORT)).await;
    assert_eq!(message(result), "no TLS handshake within 500ms");
    let plain = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        std::future::pending::<()>().await;
    };
    let result = beside(plain, probe(address, https(None, TlsVerification::None), PATIENT)).await;
    assert_eq!(message(result), "TLS: the backend does not speak it");
}
