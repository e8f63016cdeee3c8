//! Where the process takes commands.

use std::net::SocketAddr;
use std::path::PathBuf;

/// The admin API's endpoints.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Admin {
    /// The unix socket.
    pub socket: AdminSocket,
    /// A TCP endpoint beside it.
    pub tcp: Option<AdminTcp>,
}

/// The admin API's unix socket, for root and the user that Sluice runs as.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum AdminSocket {
    /// `$RUNTIME_DIRECTORY/admin.sock` where the service manager gives one, else [`Self::DEFAULT_PATH`]. Where it cannot be
    /// made (no privileges, another instance has it), Sluice says so and runs without.
    #[default]
    Default,
    /// Here; it is an error if it cannot be made.
    Path(PathBuf),
    /// None.
    Off,
}

impl AdminSocket {
    /// Where commands look for the socket, too.
    pub const DEFAULT_PATH: &'static str = "/run/sluice/admin.sock";
}

/// The admin API over TCP. Who may use it is known by a token or a client certificate: there is at least one of
/// [`token_file`](Self::token_file) and [`AdminTls::client_ca_file`]; where there are both, both are needed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminTcp {
    /// Where to listen; without [`tls`](Self::tls) a loopback address.
    pub bind: SocketAddr,
    /// A file with the bearer token, surrounding white space aside.
    pub token_file: Option<PathBuf>,
    /// How to do TLS.
    pub tls: Option<AdminTls>,
}

/// TLS of the admin API.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AdminTls {
    /// The certificate chain, in PEM.
    pub cert_file: PathBuf,
    /// Its key, in PEM.
    pub key_file: PathBuf,
    /// Only clients with a certificate that one of these CAs (PEM) signed may connect.
    pub client_ca_file: Option<PathBuf>,
}
