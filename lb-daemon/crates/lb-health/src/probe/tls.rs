//! TLS of probes: whom to trust, and what a failed handshake means.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use lb_model::{HttpProbe, TlsProbe, TlsVerification};
use tokio::net::TcpStream;
use tokio::sync::Mutex;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tokio_rustls::rustls::client::Resumption;
use tokio_rustls::rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use tokio_rustls::rustls::crypto::{
    CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature,
};
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use tokio_rustls::rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
};

use super::{Deadline, tcp};
use crate::error::{ProbeError, Step};

/// TLS configurations by whom they trust. Loaded when first used and shared by all probes, because the system's store
/// is large; a new set of targets begins with a new one, so that a reload reads the files again.
#[derive(Debug, Default)]
pub(crate) struct TrustStores {
    /// Held while loading: many probes may want the same at once.
    configs: Mutex<HashMap<TlsVerification, Arc<ClientConfig>>>,
}

impl TrustStores {
    async fn config(&self, verify: &TlsVerification) -> Result<Arc<ClientConfig>, ProbeError> {
        let mut configs = self.configs.lock().await;
        if let Some(config) = configs.get(verify) {
            return Ok(Arc::clone(config));
        }
        let wanted = verify.clone();
        let loaded = tokio::task::spawn_blocking(move || load(&wanted)).await;
        let config = Arc::new(loaded.map_err(|error| ProbeError::Local(error.to_string()))??);
        configs.insert(verify.clone(), Arc::clone(&config));
        Ok(config)
    }
}

/// Connects to `address` and finishes the handshake.
pub(super) async fn connect(
    address: SocketAddr,
    first: &[u8],
    http: &HttpProbe,
    tls: &TlsProbe,
    trust: &TrustStores,
    deadline: Deadline,
) -> Result<TlsStream<TcpStream>, ProbeError> {
    let config = deadline.within(Step::Handshake, trust.config(&tls.verify)).await;
    let config =
        config.map_err(|_slow| ProbeError::Local("reading certificates takes too long".into()))??;
    let name = server_name(address, http, tls)?;
    let stream = tcp::connect(address, first, deadline).await?;
    let handshake = TlsConnector::from(config).connect(name.clone(), stream);
    let handshake = deadline.within(Step::Handshake, handshake).await?;
    handshake.map_err(|error| handshake_error(&error, &name))
}

fn server_name(
    address: SocketAddr,
    http: &HttpProbe,
    tls: &TlsProbe,
) -> Result<ServerName<'static>, ProbeError> {
    let name = match (&tls.server_name, &http.host) {
        (Some(name), _) => name.as_str(),
        (None, Some(host)) => host.name(),
        (None, None) => return Ok(address.ip().into()),
    };
    ServerName::try_from(name.to_owned()).map_err(|error| ProbeError::Local(format!("{name}: {error}")))
}

fn load(verify: &TlsVerification) -> Result<ClientConfig, ProbeError> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let builder =
        ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions();
    let builder = builder.map_err(|error| ProbeError::Local(error.to_string()))?;
    let mut config = match verify {
        TlsVerification::System => builder.with_root_certificates(system_roots()?),
        TlsVerification::CaFile(path) => builder.with_root_certificates(file_roots(path)?),
        TlsVerification::None => {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(TrustAnyone(provider)))
        }
    }
    .with_no_client_auth();
    // A resumed session does not show the certificate again: it would hide that it has expired since.
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn system_roots() -> Result<RootCertStore, ProbeError> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // Systems ship certificates that rustls refuses; the others do.
    let (added, _refused) = roots.add_parsable_certificates(found.certs);
    if added == 0 {
        let why = found.errors.first().map_or("none found".to_owned(), ToString::to_string);
        return Err(ProbeError::Local(format!("this host's trusted certificates: {why}")));
    }
    Ok(roots)
}

fn file_roots(path: &Path) -> Result<RootCertStore, ProbeError> {
    let local = |error: String| ProbeError::Local(format!("CA file {}: {error}", path.display()));
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_file_iter(path).map_err(|error| local(error.to_string()))? {
        let certificate = certificate.map_err(|error| local(error.to_string()))?;
        roots.add(certificate).map_err(|error| local(error.to_string()))?;
    }
    if roots.is_empty() { Err(local("no certificate in it".into())) } else { Ok(roots) }
}

/// For a TLS stream that failed, in its handshake or later.
pub(super) fn tls_error(error: &io::Error) -> Option<&Error> {
    error.get_ref()?.downcast_ref()
}

fn handshake_error(error: &io::Error, name: &ServerName<'_>) -> ProbeError {
    match tls_error(error) {
        Some(Error::InvalidCertificate(fault)) => ProbeError::Certificate(certificate_fault(fault, name)),
        Some(Error::InvalidMessage(_)) => ProbeError::Tls("the backend does not speak it".into()),
        Some(error) => ProbeError::Tls(error.to_string()),
        None => ProbeError::from_io(error),
    }
}

fn certificate_fault(fault: &CertificateError, name: &ServerName<'_>) -> String {
    use CertificateError as Fault;
    if matches!(fault, Fault::Expired | Fault::ExpiredContext { .. }) {
        "expired".into()
    } else if matches!(fault, Fault::NotValidYet | Fault::NotValidYetContext { .. }) {
        "is not valid yet".into()
    } else if matches!(fault, Fault::NotValidForName | Fault::NotValidForNameContext { .. }) {
        format!("is not for {}", name.to_str())
    } else if matches!(fault, Fault::UnknownIssuer | Fault::BadSignature) {
        // The second is what an authority looks like that was made anew under its old name.
        "is not signed by a trusted authority".into()
    } else {
        format!("is not valid: {fault}")
    }
}

/// For [`TlsVerification::None`]: the peer still has to own its certificate's key, whosever that is.
#[derive(Debug)]
struct TrustAnyone(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustAnyone {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
