//! Networks as text: `"10.0.0.0/8"`, or one address.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;

/// A network in its text form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network(pub(crate) IpNet);

/// Why a text is no network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum InvalidNetwork {
    NotANetwork(String),
    HostBits(IpNet),
}

impl fmt::Display for InvalidNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotANetwork(text) => write!(
                f,
                "{text:?} is not a network; expected for example 10.0.0.0/8, 2001:db8::/32 or the address 192.0.2.7"
            ),
            Self::HostBits(net) => write!(
                f,
                "{net} has bits set after the prefix; the network is {}, the address alone is {}",
                net.trunc(),
                net.addr()
            ),
        }
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Self, InvalidNetwork> {
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self(address.into()));
        }
        let net: IpNet = text
            .parse()
            .map_err(|_invalid: ipnet::AddrParseError| InvalidNetwork::NotANetwork(text.into()))?;
        if net.addr() == net.network() { Ok(Self(net)) } else { Err(InvalidNetwork::HostBits(net)) }
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<String, String> {
        text.parse().map(|net: Network| net.to_string()).map_err(|error: InvalidNetwork| error.to_string())
    }

    #[test]
    fn reads_networks_and_addresses() {
        assert_eq!(parse("10.0.0.0/8"), Ok("10.0.0.0/8".into()));
        assert_eq!(parse("192.0.2.7"), Ok("192.0.2.7/32".into()));
        assert_eq!(parse("2001:db8::"), Ok("2001:db8::/128".into()));
        assert_eq!(parse("0.0.0.0/0"), Ok("0.0.0.0/0".into()));
    }

    #[test]
    fn host_bits_name_the_network_that_was_meant() {
        assert_eq!(
            parse("10.1.2.3/8").unwrap_err(),
            "10.1.2.3/8 has bits set after the prefix; the network is 10.0.0.0/8, the address alone is 10.1.2.3"
        );
        assert!(parse("10.0.0.0/33").unwrap_err().contains("is not a network"));
        assert!(parse("example.com").unwrap_err().contains("is not a network"));
    }
}
