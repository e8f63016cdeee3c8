//! The TCP endpoint: who may use it shows a token, a client certificate, or both.

use std::fmt;
use std::io;
use std::net::{self, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use lb_model::{AdminTcp, AdminTls};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use tokio_rustls::rustls::{RootCertStore, ServerConfig};

use super::token::Token;
use super::{BindError, Connection, Ended, Endpoint, Routes, certificate, connection};
use crate::audit::{self, Peer};

/// How long a client may take for its TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// A listening TCP socket and what its clients have to show.
#[derive(Debug)]
pub(super) struct TcpEndpoint {
    listener: TcpListener,
    address: SocketAddr,
    gate: Gate,
}

/// What clients have to show.
#[derive(Clone)]
struct Gate {
    token: Option<Arc<Token>>,
    tls: Option<TlsAcceptor>,
}

impl TcpEndpoint {
    pub(super) fn bind(settings: &AdminTcp) -> Result<Self, BindError> {
        let gate = Gate {
            token: settings.token_file.as_deref().map(Token::read).transpose()?.map(Arc::new),
            tls: settings.tls.as_ref().map(acceptor).transpose()?,
        };
        let (listener, address) =
            listen(settings.bind).map_err(|error| BindError::Listen { address: settings.bind, error })?;
        Ok(Self { listener, address, gate })
    }

    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

fn listen(address: SocketAddr) -> io::Result<(TcpListener, SocketAddr)> {
    let listener = net::TcpListener::bind(address)?;
    listener.set_nonblocking(true)?;
    let address = listener.local_addr()?;
    Ok((TcpListener::from_std(listener)?, address))
}

fn acceptor(settings: &AdminTls) -> Result<TlsAcceptor, BindError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let wrong = |error: &dyn fmt::Display| BindError::Tls(error.to_string());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| wrong(&error))?;
    let builder = match &settings.client_ca_file {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let verifier =
                WebPkiClientVerifier::builder_with_provider(Arc::new(authorities(path)?), provider);
            builder.with_client_cert_verifier(verifier.build().map_err(|error| wrong(&error))?)
        }
    };
    let key = PrivateKeyDer::from_pem_file(&settings.key_file)
        .map_err(|error| unusable(&settings.key_file, &error))?;
    let mut config = builder
        .with_single_cert(certificates(&settings.cert_file)?, key)
        .map_err(|error| unusable(&settings.cert_file, &error))?;
    // A resumed session does not show its certificate again: it would hide that it has expired since.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn authorities(path: &Path) -> Result<RootCertStore, BindError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(path)? {
        roots.add(certificate).map_err(|error| unusable(path, &error))?;
    }
    Ok(roots)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, BindError> {
    let certificates = CertificateDer::pem_file_iter(path).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let certificates = certificates.map_err(|error| unusable(path, &error))?;
    if certificates.is_empty() {
        return Err(unusable(path, &"there is no certificate in it; PEM is expected"));
    }
    Ok(certificates)
}

fn unusable(path: &Path, problem: &dyn fmt::Display) -> BindError {
    BindError::File { path: path.to_owned(), problem: problem.to_string() }
}

impl fmt::Debug for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Gate").field("token", &self.token).field("tls", &self.tls.is_some()).finish()
    }
}

impl Endpoint for TcpEndpoint {
    type Connection = TcpConnection;

    async fn accept(&self) -> io::Result<TcpConnection> {
        let (stream, client) = self.listener.accept().await?;
        Ok(TcpConnection { stream, client, gate: self.gate.clone() })
    }
}

/// A client that has shown nothing yet.
pub(super) struct TcpConnection {
    stream: TcpStream,
    client: SocketAddr,
    gate: Gate,
}

impl Connection for TcpConnection {
    async fn serve(self, routes: Routes, mut ended: Ended) {
        let Self { stream, client: address, gate: Gate { token, tls } } = self;
        let stranger = Peer::Remote { address, certificate: None };
        let Some(tls) = tls else { return connection::serve(stream, stranger, token, routes, ended).await };
        let handshake = tokio::select! {
            handshake = tokio::time::timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)) => handshake,
            _ = ended.changed() => return,
        };
        match handshake {
            Ok(Ok(stream)) => {
                let shown = stream.get_ref().1.peer_certificates().and_then(<[_]>::first);
                let certificate = shown.map(|certificate| certificate::holder(certificate));
                let peer = Peer::Remote { address, certificate };
                connection::serve(stream, peer, token, routes, ended).await;
            }
            Ok(Err(error)) => audit::denied(&stranger, &format!("TLS: {error}")),
            Err(_elapsed) => audit::denied(&stranger, "TLS: no handshake in time"),
        }
    }
}
