//! Where listeners bind and where backends are.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::str::FromStr;

/// Why a text is no address.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidAddress {
    /// No `:port` at the end, where one is needed.
    #[error("{0:?} has no port; write it as \"{1}:PORT\"")]
    MissingPort(String, String),
    /// The part before the port is no IP address.
    #[error("{0:?} is not an IP address; expected for example 192.0.2.1 or [2001:db8::1]")]
    NotAnIp(String),
    /// An IPv4-mapped IPv6 address: the same socket address under another name.
    #[error("write [{0}] as the IPv4 address that it is: {1}")]
    Mapped(IpAddr, IpAddr),
    /// An IPv6 address without brackets cannot be told from its port.
    #[error("an IPv6 address needs brackets: [{0}]")]
    MissingBrackets(String),
    /// A backend cannot be everywhere.
    #[error("{0} is no address to connect to")]
    Unspecified(IpAddr),
    /// The port or port range is wrong.
    #[error(transparent)]
    Port(#[from] InvalidPortRange),
}

/// Why a text is no port or port range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPortRange {
    /// Not a number from 1 to 65535.
    #[error("{0:?} is not a port; expected a number from 1 to 65535")]
    NotAPort(String),
    /// The range ends before it begins.
    #[error("the port range {first}-{last} ends before it begins")]
    Backwards {
        /// First port as written.
        first: u16,
        /// Last port as written.
        last: u16,
    },
}

/// One or more consecutive ports, both ends included, never port 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PortRange {
    first: u16,
    last: u16,
}

impl PortRange {
    /// First port of the range.
    pub fn first(self) -> u16 {
        self.first
    }

    /// Last port of the range, included.
    pub fn last(self) -> u16 {
        self.last
    }

    /// The ports, in order.
    pub fn iter(self) -> impl Iterator<Item = u16> {
        self.first..=self.last
    }

    /// Whether some port is in both ranges.
    pub fn overlaps(self, other: Self) -> bool {
        self.first <= other.last && other.first <= self.last
    }
}

impl FromStr for PortRange {
    type Err = InvalidPortRange;

    fn from_str(text: &str) -> Result<Self, InvalidPortRange> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (parse_port(first)?, parse_port(last)?);
        if last < first {
            return Err(InvalidPortRange::Backwards { first, last });
        }
        Ok(Self { first, last })
    }
}

impl fmt::Display for PortRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first)?;
        if self.last != self.first {
            write!(f, "-{}", self.last)?;
        }
        Ok(())
    }
}

/// The address part of a bind.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BindHost {
    /// `*`: every IPv4 and every IPv6 address of the host (dual stack, as two sockets).
    Any,
    /// One address. `0.0.0.0` is every IPv4 address, `[::]` every IPv6 address and only those.
    Ip(IpAddr),
}

/// One entry of a listener's `bind`: an address and its ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Bind {
    /// The address part.
    pub host: BindHost,
    /// The ports.
    pub ports: PortRange,
}

impl Bind {
    /// The IP addresses that this bind stands for: two for `*`, else one.
    pub fn ips(self) -> impl Iterator<Item = IpAddr> {
        let both = [IpAddr::V4(Ipv4Addr::UNSPECIFIED), IpAddr::V6(Ipv6Addr::UNSPECIFIED)];
        let (one, any) = match self.host {
            BindHost::Any => (None, Some(both)),
            BindHost::Ip(ip) => (Some(ip), None),
        };
        one.into_iter().chain(any.into_iter().flatten())
    }

    /// Every socket address that this bind stands for.
    pub fn socket_addrs(self) -> impl Iterator<Item = SocketAddr> {
        self.ips().flat_map(move |ip| self.ports.iter().map(move |port| SocketAddr::new(ip, port)))
    }

    /// Whether some socket address is in both binds. A wildcard and a specific address do not overlap: the kernel
    /// gives a connection to the more specific socket.
    pub fn overlaps(self, other: Self) -> bool {
        self.ports.overlaps(other.ports) && self.ips().any(|ip| other.ips().any(|o| o == ip))
    }
}

impl FromStr for Bind {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let (host, ports) = split_port(text)?;
        let ports = ports.ok_or_else(|| InvalidAddress::MissingPort(text.into(), text.into()))?.parse()?;
        let host = if host == "*" { BindHost::Any } else { BindHost::Ip(parse_ip(host)?) };
        Ok(Self { host, ports })
    }
}

impl fmt::Display for Bind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host {
            BindHost::Any => f.write_str("*")?,
            BindHost::Ip(IpAddr::V4(ip)) => write!(f, "{ip}")?,
            BindHost::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]")?,
        }
        write!(f, ":{}", self.ports)
    }
}

/// Where a backend is: an IP address and a port, or an IP address alone, which then gets the port that the client
/// connected to (what a listener with a port range usually wants).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct BackendAddress {
    /// The address.
    pub ip: IpAddr,
    /// The port; `None` is the port that the client connected to.
    pub port: Option<u16>,
}

impl BackendAddress {
    /// The address to connect to for a client that came in on `listener_port`.
    pub fn for_listener_port(self, listener_port: u16) -> SocketAddr {
        SocketAddr::new(self.ip, self.port.unwrap_or(listener_port))
    }
}

impl FromStr for BackendAddress {
    type Err = InvalidAddress;

    fn from_str(text: &str) -> Result<Self, InvalidAddress> {
        let (host, port) = split_port(text)?;
        let ip = parse_ip(host)?;
        if ip.is_unspecified() {
            return Err(InvalidAddress::Unspecified(ip));
        }
        let port = port.map(parse_port).transpose()?;
        Ok(Self { ip, port })
    }
}

impl fmt::Display for BackendAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.ip, self.port) {
            (IpAddr::V4(ip), None) => write!(f, "{ip}"),
            (IpAddr::V6(ip), None) => write!(f, "[{ip}]"),
            (ip, Some(port)) => SocketAddr::new(ip, port).fmt(f),
        }
    }
}

/// Splits `host:port`, `[v6]:port`, `host` or `[v6]`; the host comes back without brackets.
fn split_port(text: &str) -> Result<(&str, Option<&str>), InvalidAddress> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, tail) = rest.split_once(']').ok_or_else(|| InvalidAddress::NotAnIp(text.into()))?;
        return match tail.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if tail.is_empty() => Ok((host, None)),
            None => Err(InvalidAddress::NotAnIp(text.into())),
        };
    }
    if text.parse::<Ipv6Addr>().is_ok() {
        return Err(InvalidAddress::MissingBrackets(text.into()));
    }
    Ok(match text.split_once(':') {
        Some((host, port)) => (host, Some(port)),
        None => (text, None),
    })
}

fn parse_ip(text: &str) -> Result<IpAddr, InvalidAddress> {
    let ip: IpAddr =
        text.parse().map_err(|_invalid: std::net::AddrParseError| InvalidAddress::NotAnIp(text.into()))?;
    if ip.to_canonical() == ip { Ok(ip) } else { Err(InvalidAddress::Mapped(ip, ip.to_canonical())) }
}

fn parse_port(text: &str) -> Result<u16, InvalidPortRange> {
    match text.parse() {
        // `parse` alone would take "+80".
        Ok(port) if port != 0 && text.bytes().all(|b| b.is_ascii_digit()) => Ok(port),
        Ok(_) | Err(_) => Err(InvalidPortRange::NotAPort(text.into())),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn binds_round_trip() {
        for text in ["0.0.0.0:80", "[::]:443", "*:8000-8100", "192.0.2.1:53", "[2001:db8::1]:1-65535"] {
            assert_eq!(text.parse::<Bind>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn backends_round_trip() {
        for text in ["192.0.2.1:53", "192.0.2.1", "[2001:db8::1]:80", "[2001:db8::1]"] {
            assert_eq!(text.parse::<BackendAddress>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn errors_say_what_to_write() {
        let message = |text: &str| text.parse::<Bind>().unwrap_err().to_string();
        assert_eq!(message("10.0.0.1"), "\"10.0.0.1\" has no port; write it as \"10.0.0.1:PORT\"");
        assert_eq!(message("10.0.0.1:0"), "\"0\" is not a port; expected a number from 1 to 65535");
        assert_eq!(message("10.0.0.1:+1"), "\"+1\" is not a port; expected a number from 1 to 65535");
        assert_eq!(message("10.0.0.1:9-8"), "the port range 9-8 ends before it begins");
        assert_eq!(message("2001:db8::1"), "an IPv6 address needs brackets: [2001:db8::1]");
        assert!(message("example.com:80").contains("is not an IP address"));
        assert_eq!(
            message("[::ffff:10.0.0.1]:80"),
            "write [::ffff:10.0.0.1] as the IPv4 address that it is: 10.0.0.1"
        );
        assert!("0.0.0.0:80".parse::<BackendAddress>().unwrap_err().to_string().contains("to connect to"));
    }

    #[test]
    fn wildcard_is_both_families_and_overlaps_only_itself() {
        let bind = |text: &str| text.parse::<Bind>().unwrap();
        assert_eq!(bind("*:80").socket_addrs().count(), 2);
        assert!(bind("*:80").overlaps(bind("[::]:1-100")));
        assert!(!bind("*:80").overlaps(bind("127.0.0.1:80")));
        assert!(!bind("0.0.0.0:80").overlaps(bind("[::]:80")));
        assert!(bind("10.0.0.1:80-90").overlaps(bind("10.0.0.1:90-95")));
    }

    #[test]
    fn a_backend_without_a_port_takes_the_listeners() {
        let address: BackendAddress = "192.0.2.1".parse().unwrap();
        assert_eq!(address.for_listener_port(8080), "192.0.2.1:8080".parse().unwrap());
    }

    proptest! {
        #[test]
        fn parsing_never_panics(text in "\\PC{0,40}") {
            let _ = text.parse::<Bind>();
            let _ = text.parse::<BackendAddress>();
        }
    }
}
