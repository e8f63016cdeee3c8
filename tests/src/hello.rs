//! What TLS clients begin with.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use tokio_rustls::rustls::crypto::aws_lc_rs;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{ClientConfig, ClientConnection, RootCertStore};

/// A ClientHello, made by rustls as its users send it: with a post-quantum key, in one record.
#[derive(Debug, Clone)]
pub struct Hello {
    name: ServerName<'static>,
    protocols: Vec<Vec<u8>>,
    longest_record: Option<usize>,
}

impl Hello {
    /// Of a client that asks for `name`.
    pub fn to(name: &str) -> Self {
        Self::of(ServerName::try_from(name.to_owned()).expect("a name that a client may ask for"))
    }

    /// Of a client that asks for no name.
    pub fn anonymous() -> Self {
        Self::of(IpAddr::from(Ipv4Addr::LOCALHOST).into())
    }

    fn of(name: ServerName<'static>) -> Self {
        Self { name, protocols: vec![], longest_record: None }
    }

    /// The client offers these protocols (ALPN).
    pub fn offering(mut self, protocols: &[&str]) -> Self {
        self.protocols.extend(protocols.iter().map(|protocol| protocol.as_bytes().to_vec()));
        self
    }

    /// The client offers so many protocols of 250 bytes each that the hello has some `length` bytes.
    pub fn about(mut self, length: usize) -> Self {
        let missing = length.saturating_sub(self.bytes().len()) / 251;
        self.protocols.extend((0..missing).map(|number| format!("{number:0250}").into_bytes()));
        self
    }

    /// In records of at most `length` bytes each, heads included; at least 32.
    pub fn in_records_of(self, length: usize) -> Self {
        Self { longest_record: Some(length), ..self }
    }

    /// As it goes over the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut config = client_config(RootCertStore::empty());
        config.alpn_protocols.clone_from(&self.protocols);
        config.max_fragment_size = self.longest_record;
        let client = ClientConnection::new(Arc::new(config), self.name.clone());
        let mut client = client.expect("a client that may be");
        let mut bytes = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut bytes).expect("a vector takes everything");
        }
        bytes
    }
}

/// A client that trusts whom `roots` trust, and offers a post-quantum key first, as browsers do.
pub(crate) fn client_config(roots: RootCertStore) -> ClientConfig {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups.insert(0, aws_lc_rs::kx_group::X25519MLKEM768);
    ClientConfig::builder_with_provider(Arc::new(provider))
        .with_safe_default_protocol_versions()
        .expect("the provider has them")
        .with_root_certificates(roots)
        .with_no_client_auth()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hello_is_as_it_was_ordered() {
        let has = |bytes: &[u8], text: &str| bytes.windows(text.len()).any(|at| at == text.as_bytes());
        let hello = Hello::to("a.example").offering(&["h2"]);
        assert!(has(&hello.bytes(), "a.example") && has(&hello.bytes(), "\u{2}h2"));
        assert!(!has(&Hello::anonymous().bytes(), "127.0.0.1"));
        assert!((1200..2500).contains(&hello.bytes().len()), "a post-quantum key takes more than a KiB");
        assert!((7740..8010).contains(&hello.clone().about(8000).bytes().len()));
        let (one, many) = (hello.bytes().len(), hello.in_records_of(32).bytes().len());
        assert!(many > one + 5 * (one / 32 - 1), "{one} bytes in one record, {many} in those of 32");
    }
}
