//! Names of application protocols, as TLS clients offer them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The name of an application protocol (ALPN, RFC 7301), such as `h2`: 1 to 255 printable ASCII characters here.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AlpnProtocol(Arc<str>);

/// Why a text is no application protocol.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not an application protocol; expected for example \"h2\" or \"http/1.1\"")]
pub struct InvalidAlpnProtocol(String);

impl AlpnProtocol {
    /// The name as on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for AlpnProtocol {
    type Err = InvalidAlpnProtocol;

    fn from_str(text: &str) -> Result<Self, InvalidAlpnProtocol> {
        if (1..=255).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_graphic()) {
            Ok(Self(text.into()))
        } else {
            Err(InvalidAlpnProtocol(text.into()))
        }
    }
}

impl fmt::Display for AlpnProtocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
