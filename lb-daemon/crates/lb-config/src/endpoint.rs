//! Single socket addresses as text: where the admin API listens, and where DNS servers are.

use std::fmt;
use std::net::SocketAddr;
use std::str::FromStr;

use lb_model::{BackendAddress, Bind, BindHost, InvalidAddress};

/// An address and a port to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Endpoint(pub(crate) SocketAddr);

/// Why a text is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum InvalidEndpoint {
    Address(InvalidAddress),
    Several(Bind),
}

impl Endpoint {
    /// The same as a listener would have it.
    pub(crate) fn bind(self) -> Bind {
        self.0.to_string().parse().expect("an address with a port is a bind: it was read as one")
    }
}

impl fmt::Display for InvalidEndpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(invalid) => invalid.fmt(f),
            Self::Several(bind) => {
                write!(f, "{bind} is more than one address and port; expected for example 127.0.0.1:9901")
            }
        }
    }
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        let bind: Bind = text.parse().map_err(InvalidEndpoint::Address)?;
        match bind.host {
            BindHost::Ip(ip) if bind.ports.first() == bind.ports.last() => {
                Ok(Self(SocketAddr::new(ip, bind.ports.first())))
            }
            BindHost::Ip(_) | BindHost::Any => Err(InvalidEndpoint::Several(bind)),
        }
    }
}

/// A DNS server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NameServer(pub(crate) SocketAddr);

impl NameServer {
    /// The port of one that is written without.
    const DEFAULT_PORT: u16 = 53;
}

impl FromStr for NameServer {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        text.parse().map(|address: BackendAddress| Self(address.for_listener_port(Self::DEFAULT_PORT)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_one_address_and_one_port() {
        for text in ["127.0.0.1:9901", "[::1]:1", "0.0.0.0:9901"] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(endpoint.0.to_string(), text);
            assert_eq!(endpoint.bind().to_string(), text);
        }
        let message = |text: &str| text.parse::<Endpoint>().unwrap_err().to_string();
        assert!(message("127.0.0.1:1-2").starts_with("127.0.0.1:1-2 is more than one address and port"));
        assert!(message("*:9901").starts_with("*:9901 is more than one"));
        assert!(message("127.0.0.1").contains("has no port"));
        assert!(message("127.0.0.1:0").contains("is not a port"));
        assert!(message("localhost:9901").contains("is not an IP address"));
        assert!(message("[::ffff:127.0.0.1]:9901").contains("write"));
    }

    #[test]
    fn dns_servers_have_the_port_of_dns() {
        let server = |text: &str| text.parse::<NameServer>().unwrap().0.to_string();
        assert_eq!(server("10.0.0.53"), "10.0.0.53:53");
        assert_eq!(server("[2001:db8::53]"), "[2001:db8::53]:53");
        assert_eq!(server("127.0.0.53:5353"), "127.0.0.53:5353");
        assert!("0.0.0.0".parse::<NameServer>().is_err());
    }
}
