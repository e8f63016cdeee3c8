//! Hosts that clients ask for.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
use std::sync::Arc;

use crate::{InvalidServerName, ServerName};

/// A host that clients ask for, in the one form in which hosts are compared: a name in lower case without the dot of the root
/// at its end, or an address, that of IPv6 in brackets and as RFC 5952 writes it. No port.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RouteHost(Arc<str>);

/// Why a text is no host that clients ask for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidRouteHost {
    /// It stands for several.
    #[error("{0:?} has a `*`; list each host, or leave `hosts` out for all")]
    Wildcard(String),
    /// It has a port.
    #[error("{0:?} has a port; write \"{1}\" alone, it is meant with every port")]
    Port(String, String),
    /// It is an IPv6 address as such.
    #[error("an IPv6 address needs brackets here: \"[{0}]\"")]
    MissingBrackets(Ipv6Addr),
    /// What is in brackets is no IPv6 address.
    #[error("{0:?} is not an IPv6 address; expected for example \"[2001:db8::1]\"")]
    NotAnAddress(String),
    /// It is no name.
    #[error(transparent)]
    Name(#[from] InvalidServerName),
}

impl RouteHost {
    /// The host as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The host in an authority as clients send it (`Example.com:8080`), which is one of these but for its case.
    pub(super) fn in_authority(authority: &[u8]) -> &[u8] {
        if authority.starts_with(b"[") {
            let end = authority.iter().position(|&byte| byte == b']');
            return end.and_then(|end| authority.get(..=end)).unwrap_or(authority);
        }
        let host = authority.split(|&byte| byte == b':').next().unwrap_or_default();
        host.strip_suffix(b".").unwrap_or(host)
    }
}

impl FromStr for RouteHost {
    type Err = InvalidRouteHost;

    fn from_str(text: &str) -> Result<Self, InvalidRouteHost> {
        if text.contains('*') {
            return Err(InvalidRouteHost::Wildcard(text.to_owned()));
        }
        if let Ok(address) = text.parse() {
            return Err(InvalidRouteHost::MissingBrackets(address));
        }
        if let Some((host, _port)) = split_port(text) {
            return Err(InvalidRouteHost::Port(text.to_owned(), host.to_owned()));
        }
        if let Some(rest) = text.strip_prefix('[') {
            let address = rest.strip_suffix(']').and_then(|address| address.parse::<Ipv6Addr>().ok());
            let address = address.ok_or_else(|| InvalidRouteHost::NotAnAddress(text.to_owned()))?;
            return Ok(Self(format!("[{address}]").into()));
        }
        if let Ok(address) = text.parse::<Ipv4Addr>() {
            return Ok(Self(address.to_string().into()));
        }
        let name: ServerName = text.parse()?;
        Ok(Self(name.as_str().into()))
    }
}

/// What is before the last colon, if something like a port is behind it.
fn split_port(text: &str) -> Option<(&str, &str)> {
    let (host, port) = text.rsplit_once(':')?;
    let is_port = !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    (is_port && (host.ends_with(']') || !host.contains(':'))).then_some((host, port))
}

impl fmt::Display for RouteHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RouteHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn host(text: &str) -> Result<RouteHost, InvalidRouteHost> {
        text.parse()
    }

    #[test]
    fn hosts_have_one_form() {
        for (text, form) in [
            ("Example.COM.", "example.com"),
            ("localhost", "localhost"),
            ("192.0.2.1", "192.0.2.1"),
            ("[2001:DB8:0::1]", "[2001:db8::1]"),
            ("xn--bcher-kva.example", "xn--bcher-kva.example"),
        ] {
            assert_eq!(host(text).unwrap().as_str(), form, "{text}");
        }
    }

    #[test]
    fn what_is_no_host_is_told_what_to_write() {
        for (text, message) in [
            ("*.example.com", "\"*.example.com\" has a `*`; list each host, or leave `hosts` out for all"),
            (
                "a.example:80",
                "\"a.example:80\" has a port; write \"a.example\" alone, it is meant with every port",
            ),
            ("[::1]:80", "\"[::1]:80\" has a port; write \"[::1]\" alone, it is meant with every port"),
            ("2001:db8::1", "an IPv6 address needs brackets here: \"[2001:db8::1]\""),
            ("[::1", "\"[::1\" is not an IPv6 address; expected for example \"[2001:db8::1]\""),
            ("[a]", "\"[a]\" is not an IPv6 address; expected for example \"[2001:db8::1]\""),
            ("10.0.0.300", "a host name does not end with a number, but this one with \"300\""),
        ] {
            assert_eq!(host(text).unwrap_err().to_string(), message);
        }
        for bad in ["", "a b", "http://a", "a/b", "user@a", "bücher.de", "a..b", "a:", "a:b:1"] {
            assert!(matches!(host(bad), Err(InvalidRouteHost::Name(_))), "{bad:?}: {:?}", host(bad));
        }
    }

    #[test]
    fn the_host_is_found_in_what_clients_send() {
        for (authority, host) in [
            ("example.com", "example.com"),
            ("example.com:8080", "example.com"),
            ("example.com.:8080", "example.com"),
            ("example.com:", "example.com"),
            ("[2001:db8::1]:80", "[2001:db8::1]"),
            ("[2001:db8::1]", "[2001:db8::1]"),
            ("[2001", "[2001"),
            ("", ""),
            (":80", ""),
        ] {
            assert_eq!(RouteHost::in_authority(authority.as_bytes()), host.as_bytes(), "{authority}");
        }
    }

    proptest! {
        #[test]
        fn a_host_is_found_in_itself_with_any_port(text in "\\PC{0,40}|[a-zA-Z0-9.\\-]{1,20}|\\[[0-9a-f:]{2,9}\\]", port: u16) {
            if let Ok(host) = host(&text) {
                prop_assert_eq!(host.as_str().parse(), Ok(host.clone()));
                for authority in [host.to_string(), format!("{host}:{port}")] {
                    prop_assert_eq!(RouteHost::in_authority(authority.as_bytes()), host.as_str().as_bytes());
                }
            }
        }
    }
}
