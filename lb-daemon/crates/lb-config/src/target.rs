//! Where a backend is, as text: an IP address or a DNS name, perhaps with a port.

use std::fmt;
use std::str::FromStr;

use lb_model::{BackendAddress, DnsName, InvalidAddress, InvalidPortRange, InvalidProbeText, PortRange};

/// An address to connect to, or a name to look up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    Address(BackendAddress),
    Name { name: DnsName, port: Option<u16> },
}

/// Why a text is neither an address nor a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum InvalidTarget {
    /// It was meant as an address.
    Address(InvalidAddress),
    Neither(String),
    Port(InvalidPortRange),
}

impl fmt::Display for InvalidTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(invalid) => invalid.fmt(f),
            Self::Port(invalid) => invalid.fmt(f),
            Self::Neither(text) => write!(
                f,
                "{text:?} is neither an IP address nor a DNS name; \
                 expected for example 192.0.2.1, [2001:db8::1] or app.example.com"
            ),
        }
    }
}

impl FromStr for Target {
    type Err = InvalidTarget;

    fn from_str(text: &str) -> Result<Self, InvalidTarget> {
        let invalid = match text.parse() {
            Ok(address) => return Ok(Self::Address(address)),
            Err(invalid) => invalid,
        };
        let (host, port) = match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        };
        let is_ipv6 = text.starts_with('[') || matches!(invalid, InvalidAddress::MissingBrackets(_));
        if is_ipv6 || ends_in_number(host) {
            return Err(InvalidTarget::Address(invalid));
        }
        let name = host.parse().map_err(|_invalid: InvalidProbeText| InvalidTarget::Neither(host.into()))?;
        let port = port.map(parse_port).transpose().map_err(InvalidTarget::Port)?;
        Ok(Self::Name { name, port })
    }
}

/// Whether the last label is a number, as in `10.0.0.300`: no top-level domain is, so this is an address with a mistake.
fn ends_in_number(host: &str) -> bool {
    let last = host.strip_suffix('.').unwrap_or(host).rsplit('.').next();
    last.is_some_and(|label| label.bytes().all(|b| b.is_ascii_digit()))
}

fn parse_port(text: &str) -> Result<u16, InvalidPortRange> {
    if text.contains('-') {
        return Err(InvalidPortRange::NotAPort(text.into()));
    }
    text.parse().map(PortRange::first)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_addresses_and_names() {
        let name = |name: &str, port| Target::Name { name: name.parse().unwrap(), port };
        for (text, expected) in [
            ("10.0.0.1:80", Target::Address("10.0.0.1:80".parse().unwrap())),
            ("[2001:db8::1]", Target::Address("[2001:db8::1]".parse().unwrap())),
            ("app.example.com:80", name("app.example.com", Some(80))),
            ("app.example.com.", name("app.example.com.", None)),
            ("my_app:8080", name("my_app", Some(8080))),
            ("10.0.0.1.nip.io", name("10.0.0.1.nip.io", None)),
        ] {
            assert_eq!(text.parse(), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_was_meant_as_an_address_is_told_so() {
        let message = |text: &str| text.parse::<Target>().unwrap_err().to_string();
        for text in ["10.0.0.300", "10.0.0.300:80", "10.0.0", "1", "10.0.0.1.", "", "."] {
            assert!(message(text).contains("is not an IP address"), "{text:?}: {}", message(text));
        }
        assert!(message("[::g]:80").contains("is not an IP address"));
        assert_eq!(message("2001:db8::1"), "an IPv6 address needs brackets: [2001:db8::1]");
        assert_eq!(message("10.0.0.1:x"), "\"x\" is not a port; expected a number from 1 to 65535");
        assert!(message("[::]:80").contains("no address to connect to"));
    }

    #[test]
    fn what_is_neither_is_told_so() {
        let message = |text: &str| text.parse::<Target>().unwrap_err().to_string();
        for text in ["a b", "10.0.0.1/24", "app..example.com", "-app:80", "*:80"] {
            assert!(
                message(text).contains("neither an IP address nor a DNS name"),
                "{text:?}: {}",
                message(text)
            );
        }
        for port in ["0", "+80", "80-81", "80-80", "65536", "", "x"] {
            assert!(message(&format!("app:{port}")).contains("is not a port"), "{port:?}");
        }
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "\\PC{0,40}") {
            let _ = text.parse::<Target>();
        }
    }
}
