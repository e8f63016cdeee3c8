//! The host and port that a request is for (RFC 9110 §7.2).

use std::net::Ipv6Addr;
use std::str;

use crate::decimal::parse_decimal;
use crate::grammar::split;

/// Whom a request is for, as the client says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Authority<'a> {
    /// A name or an IPv4 address in any case, or an IPv6 address in brackets. Never empty.
    pub host: &'a [u8],
    /// The port, if it is said.
    pub port: Option<u16>,
}

impl<'a> Authority<'a> {
    /// Parses `host [":" port]`. A name has letters, digits and `-._~` only. RFC 3986 §3.2.2 allows percent-encoding
    /// and `!$&'()*+,;=`, too, which no DNS name has and which some decode or split, others not. No user
    /// information (RFC 9110 §4.2.4).
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let (host, behind) = match text {
            [b'[', ..] => split_address(text)?,
            _ => split(text, name_prefix(text)),
        };
        let port = match behind {
            [] | [b':'] => None,
            [b':', digits @ ..] if digits.len() <= LONGEST_PORT => {
                Some(parse_decimal(digits)?.try_into().ok()?)
            }
            _ => return None,
        };
        (!host.is_empty()).then_some(Self { host, port })
    }
}

const LONGEST_PORT: usize = 5;

/// How many bytes from the start can be in a name.
fn name_prefix(text: &[u8]) -> usize {
    let is_in_name = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~');
    text.iter().position(|byte| !is_in_name(byte)).unwrap_or(text.len())
}

/// The IPv6 address with its brackets, and what is behind it.
fn split_address(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let (address, behind) = split(text, memchr::memchr(b']', text)? + 1);
    let digits = address.strip_prefix(b"[")?.strip_suffix(b"]")?;
    str::from_utf8(digits).ok()?.parse::<Ipv6Addr>().ok()?;
    Some((address, behind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_and_ports() {
        let cases = [
            ("example.com", "example.com", None),
            ("Example.COM.:8080", "Example.COM.", Some(8080)),
            ("a_b~c", "a_b~c", None),
            ("192.0.2.1:80", "192.0.2.1", Some(80)),
            ("[2001:db8::1]", "[2001:db8::1]", None),
            ("[::ffff:192.0.2.1]:443", "[::ffff:192.0.2.1]", Some(443)),
            ("example.com:", "example.com", None),
            ("example.com:0080", "example.com", Some(80)),
        ];
        for (text, host, port) in cases {
            assert_eq!(
                Authority::parse(text.as_bytes()),
                Some(Authority { host: host.as_bytes(), port }),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_host() {
        let cases = [
            "",
            ":80",
            "user@example.com",
            "example.com:80:80",
            "example.com:65536",
            "example.com:000080",
            "example.com:+80",
            "example.com:8o",
            "example.com/",
            "a,b",
            "a b",
            "a%2eb",
            "b\u{fc}cher.example",
            "2001:db8::1",
            "[2001:db8::1",
            "2001:db8::1]",
            "[]",
            "[example.com]",
            "[fe80::1%25eth0]",
            "[v1.x]",
            "[::1]x",
            "[::1]x:80",
        ];
        for text in cases {
            assert_eq!(Authority::parse(text.as_bytes()), None, "{text}");
        }
    }
}
