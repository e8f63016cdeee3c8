//! Names of TLS servers, as clients ask for them (SNI), and patterns of such names.

use std::borrow::Borrow;
use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::sync::Arc;

/// A host name in the one form in which names are compared: lower case, without the dot of the root at its end.
/// Never an IP address (RFC 6066 §3 does not permit them as server names); names with other than ASCII letters are
/// written as their A-labels (`xn--…`).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServerName(Arc<str>);

/// Why a text is no server name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidServerName {
    /// It is an address.
    #[error("{0} is an IP address; expected a host name, because TLS clients ask for names only")]
    IpAddress(IpAddr),
    /// It is too long for DNS.
    #[error("a host name has at most {max} bytes, this one has {0}", max = ServerName::MAX_LEN)]
    TooLong(usize),
    /// Something between its dots is no label.
    #[error(
        "{label:?} is no part of a host name; expected 1 to {max} letters, digits, `-` and `_`, without `-` at either \
         end",
        max = ServerName::MAX_LABEL
    )]
    BadLabel {
        /// What is there.
        label: String,
    },
    /// Its last label is a number, as in an address.
    #[error("a host name does not end with a number, but this one with {0:?}")]
    EndsWithNumber(String),
}

impl ServerName {
    /// Longest name in bytes: 255 on the DNS wire (RFC 1035 §2.3.4).
    const MAX_LEN: usize = 253;
    /// Longest label in bytes (RFC 1035 §2.3.4).
    const MAX_LABEL: usize = 63;

    /// The name as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What is behind the first dot.
    fn parent(&self) -> Option<&str> {
        self.0.split_once('.').map(|(_first, parent)| parent)
    }
}

impl FromStr for ServerName {
    type Err = InvalidServerName;

    fn from_str(text: &str) -> Result<Self, InvalidServerName> {
        if let Ok(ip) = text.parse() {
            return Err(InvalidServerName::IpAddress(ip));
        }
        let name = text.strip_suffix('.').unwrap_or(text);
        if name.len() > Self::MAX_LEN {
            return Err(InvalidServerName::TooLong(name.len()));
        }
        if let Some(label) = name.split('.').find(|label| !is_label(label)) {
            return Err(InvalidServerName::BadLabel { label: label.to_owned() });
        }
        let last = name.rsplit('.').next().unwrap_or_default();
        if last.bytes().all(|b| b.is_ascii_digit()) {
            return Err(InvalidServerName::EndsWithNumber(last.to_owned()));
        }
        Ok(Self(name.to_ascii_lowercase().into()))
    }
}

/// Underscores are in use, whatever RFC 952 says.
fn is_label(label: &str) -> bool {
    (1..=ServerName::MAX_LABEL).contains(&label.len())
        && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        && !label.starts_with('-')
        && !label.ends_with('-')
}

impl Borrow<str> for ServerName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Which server names are meant.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ServerNamePattern {
    /// This one.
    Exact(ServerName),
    /// Those with exactly one label more than this one, as in certificates (RFC 9525 §6.3): `*.example.com` is
    /// `www.example.com`, but neither `example.com` nor `a.b.example.com`.
    Wildcard(ServerName),
}

/// Why a text is no pattern of server names.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidServerNamePattern {
    /// A `*` that does not stand for the whole first label.
    #[error(
        "{0:?} has a `*` in the wrong place; expected it as the whole first label, for example \"*.example.com\""
    )]
    MisplacedWildcard(String),
    /// The name, or what follows `*.`, is not valid.
    #[error(transparent)]
    Name(#[from] InvalidServerName),
}

impl FromStr for ServerNamePattern {
    type Err = InvalidServerNamePattern;

    fn from_str(text: &str) -> Result<Self, InvalidServerNamePattern> {
        let (pattern, name): (fn(ServerName) -> Self, _) = match text.strip_prefix("*.") {
            Some(parent) => (Self::Wildcard, parent),
            None => (Self::Exact, text),
        };
        if name.contains('*') {
            return Err(InvalidServerNamePattern::MisplacedWildcard(text.to_owned()));
        }
        Ok(pattern(name.parse()?))
    }
}

impl fmt::Display for ServerNamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(name) => write!(f, "{name}"),
            Self::Wildcard(parent) => write!(f, "*.{parent}"),
        }
    }
}

/// Something for each pattern of server names. A name that is listed itself goes before a wildcard; no two
/// wildcards mean the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServerNameMap<T> {
    exact: BTreeMap<ServerName, T>,
    /// By what follows the `*.`.
    wildcard: BTreeMap<ServerName, T>,
}

impl<T> ServerNameMap<T> {
    /// The value of a pattern; a default one if it has none yet.
    pub fn entry(&mut self, pattern: &ServerNamePattern) -> &mut T
    where
        T: Default,
    {
        match pattern {
            ServerNamePattern::Exact(name) => self.exact.entry(name.clone()).or_default(),
            ServerNamePattern::Wildcard(parent) => self.wildcard.entry(parent.clone()).or_default(),
        }
    }

    /// The values of the patterns that `name` matches, the most specific first.
    pub fn matches(&self, name: &ServerName) -> impl Iterator<Item = &T> {
        let wildcard = || self.wildcard.get(name.parent()?);
        self.exact.get(name).into_iter().chain(wildcard())
    }
}

impl<T> Default for ServerNameMap<T> {
    fn default() -> Self {
        Self { exact: BTreeMap::new(), wildcard: BTreeMap::new() }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> ServerName {
        text.parse().unwrap()
    }

    fn map(patterns: &[&'static str]) -> ServerNameMap<&'static str> {
        let mut map = ServerNameMap::default();
        for &pattern in patterns {
            *map.entry(&pattern.parse().unwrap()) = pattern;
        }
        map
    }

    fn first<'a>(map: &ServerNameMap<&'a str>, asked: &str) -> Option<&'a str> {
        map.matches(&name(asked)).next().copied()
    }

    #[test]
    fn names_have_one_form() {
        for text in ["www.example.com", "WWW.Example.COM", "www.example.com."] {
            assert_eq!(name(text).as_str(), "www.example.com");
        }
        for odd in ["localhost", "a", "_srv.example.com", "xn--bcher-kva.example", "1.example", "3com"] {
            assert_eq!(name(odd).as_str(), odd);
        }
        assert_eq!(name(&format!("{0}.{0}.{0}.{1}", "x".repeat(63), "y".repeat(61))).as_str().len(), 253);
    }

    #[test]
    fn refuses_what_is_no_host_name() {
        let reason = |text: &str| text.parse::<ServerName>().unwrap_err();
        for ip in ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"] {
            assert_eq!(reason(ip), InvalidServerName::IpAddress(ip.parse().unwrap()));
        }
        for bad in ["", ".", "a..b", ".a", "a b", "-a.b", "a-.b", "bücher.de", "a.b..", "[::1]", "a:1", "*.a"]
        {
            assert!(matches!(reason(bad), InvalidServerName::BadLabel { .. }), "{bad:?}");
        }
        assert!(matches!(reason(&"x".repeat(64)), InvalidServerName::BadLabel { .. }));
        assert_eq!(reason("127.1"), InvalidServerName::EndsWithNumber("1".into()));
        assert_eq!(reason("1.2.3.4."), InvalidServerName::EndsWithNumber("4".into()));
        assert_eq!(reason(&["x"; 128].join(".")), InvalidServerName::TooLong(255));
    }

    #[test]
    fn a_wildcard_is_the_whole_first_label() {
        assert_eq!("*.Example.com.".parse(), Ok(ServerNamePattern::Wildcard(name("example.com"))));
        assert_eq!("example.com".parse(), Ok(ServerNamePattern::Exact(name("example.com"))));
        for bad in ["*", "w*.example.com", "a.*.example.com", "*.*.example.com", "*example.com"] {
            let misplaced = InvalidServerNamePattern::MisplacedWildcard(bad.into());
            assert_eq!(bad.parse::<ServerNamePattern>(), Err(misplaced));
        }
        for bad in ["*.", "*.10.0.0.1"] {
            let parsed = bad.parse::<ServerNamePattern>();
            assert!(matches!(parsed, Err(InvalidServerNamePattern::Name(_))), "{bad:?}: {parsed:?}");
        }
    }

    #[test]
    fn a_wildcard_is_one_label() {
        let map = map(&["*.example.com"]);
        assert_eq!(first(&map, "www.example.com"), Some("*.example.com"));
        for other in ["example.com", "a.b.example.com", "www.example.org", "com"] {
            assert_eq!(first(&map, other), None, "{other}");
        }
    }

    #[test]
    fn the_most_specific_pattern_wins() {
        let map = map(&["*.example.com", "www.example.com", "*.b.example.com", "example.com"]);
        for (asked, found) in [
            ("WWW.example.com", "www.example.com"),
            ("api.example.com", "*.example.com"),
            ("b.example.com", "*.example.com"),
            ("a.b.example.com", "*.b.example.com"),
            ("example.com", "example.com"),
        ] {
            assert_eq!(first(&map, asked), Some(found), "{asked}");
        }
    }

    #[test]
    fn equal_patterns_have_one_value() {
        let mut map = map(&["*.example.com"]);
        assert_eq!(*map.entry(&"*.EXAMPLE.com".parse().unwrap()), "*.example.com");
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_the_same(text in "(\\*\\.)?[a-zA-Z0-9_.-]{0,20}") {
            if let Ok(pattern) = text.parse::<ServerNamePattern>() {
                prop_assert_eq!(pattern.to_string().parse(), Ok(pattern));
            }
        }

        #[test]
        fn any_text_is_a_name_or_has_a_reason(text in "\\PC{0,300}") {
            if let Err(error) = text.parse::<ServerName>() {
                prop_assert!(!error.to_string().is_empty());
            }
        }
    }
}
