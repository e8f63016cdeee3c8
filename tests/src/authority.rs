//! Certificates for servers of a test, and clients that trust them.

use std::net::TcpStream;
use std::path::PathBuf;
use std::sync::Arc;

use rcgen::{BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use tempfile::TempDir;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, ServerName};
use tokio_rustls::rustls::{ClientConnection, RootCertStore, ServerConfig, StreamOwned};

use crate::hello::client_config;

/// A private certificate authority.
#[derive(Debug)]
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    /// An authority that nobody trusts yet.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(vec![]).expect("it has no names");
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().expect("making a key");
        let issuer = CertifiedIssuer::self_signed(params, key).expect("signing");
        let folder = crate::cli::open_directory();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).expect("writing a certificate");
        Self { issuer, folder }
    }

    /// A PEM file with its certificate.
    pub fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A PEM file with a certificate for `name` and its key, for a server or a client that is a program.
    pub fn identity(&self, name: &str) -> PathBuf {
        let (certificate, key) = self.certificate(&[name]);
        let path = self.folder.path().join(format!("{name}.pem"));
        std::fs::write(&path, certificate.pem() + &key.serialize_pem()).expect("writing a certificate");
        path
    }

    /// A TLS client on `stream` that wants to talk to `name` and trusts this authority.
    pub fn client(&self, stream: TcpStream, name: &str) -> SecureStream {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("it is a certificate");
        let name = ServerName::try_from(name.to_owned()).expect("a name that a client may ask for");
        let client = ClientConnection::new(Arc::new(client_config(roots)), name);
        StreamOwned::new(client.expect("a client that may be"), stream)
    }

    /// TLS for a server with these names (or addresses).
    pub(crate) fn acceptor(&self, names: &[&str]) -> TlsAcceptor {
        let (certificate, key) = self.certificate(names);
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("it is a key");
        let config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .expect("the provider has them")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.into()], key)
            .expect("the key is the certificate's");
        Arc::new(config).into()
    }
    fn certificate(&self, names: &[&str]) -> (Certificate, KeyPair) {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let mut params = CertificateParams::new(names.clone()).expect("they are names");
        params.distinguished_name.push(DnType::CommonName, names.join(" "));
        let key = KeyPair::generate().expect("making a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("signing");
        (certificate, key)
    }
}

/// A client's connection over TLS.
pub type SecureStream = StreamOwned<ClientConnection, TcpStream>;
