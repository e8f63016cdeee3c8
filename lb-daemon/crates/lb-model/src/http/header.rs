//! Changes of header fields.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A change of a message's header fields. Names are compared without regard to case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeaderEdit {
    /// Takes all fields of this name out.
    Remove(HeaderName),
    /// Has this field, and no other of its name.
    Set(HeaderName, HeaderValue),
    /// Adds this field to those that there are.
    Add(HeaderName, HeaderValue),
}

impl HeaderEdit {
    /// The field that it is about.
    pub fn name(&self) -> &HeaderName {
        match self {
            Self::Remove(name) | Self::Set(name, _) | Self::Add(name, _) => name,
        }
    }
}

/// The name of a header field that may be edited: a token (RFC 9110 §5.6.2), and none of those that Sluice writes itself.
/// Its letters are sent as they are written here.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HeaderName(Arc<str>);

/// Why a text is no name of a header field that may be edited.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHeaderName {
    /// It is empty, or has other characters than names have.
    #[error(
        "{0:?} is not the name of a header; expected letters, digits and `-`, for example \"X-Environment\""
    )]
    NotAToken(String),
    /// It is too long.
    #[error("the name of a header has at most {max} bytes here, this one has {0}", max = HeaderName::MAX_LEN)]
    TooLong(usize),
    /// It says how a message ends or what becomes of a connection; an edit would have the two sides disagree.
    #[error("the header `{0}` is about the connection or the end of the message: Sluice writes it itself")]
    Framing(&'static str),
    /// It is a part of what is asked for.
    #[error("the header `host` is what routes go by, and backends get it as the client sent it")]
    Host,
}

impl HeaderName {
    const MAX_LEN: usize = 128;

    /// Hop-by-hop fields (RFC 9110 §7.6.1), those of framing (RFC 9112 §6), and `expect`, which is answered on the way.
    const FRAMING: [&'static str; 9] = [
        "connection",
        "content-length",
        "expect",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];

    /// As written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it is the same name as `other`.
    pub fn is(&self, other: &Self) -> bool {
        self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl FromStr for HeaderName {
    type Err = InvalidHeaderName;

    fn from_str(text: &str) -> Result<Self, InvalidHeaderName> {
        if text.is_empty() || !text.bytes().all(is_token_byte) {
            return Err(InvalidHeaderName::NotAToken(text.to_owned()));
        }
        if text.len() > Self::MAX_LEN {
            return Err(InvalidHeaderName::TooLong(text.len()));
        }
        if let Some(name) = Self::FRAMING.into_iter().find(|name| name.eq_ignore_ascii_case(text)) {
            return Err(InvalidHeaderName::Framing(name));
        }
        if text.eq_ignore_ascii_case("host") {
            return Err(InvalidHeaderName::Host);
        }
        Ok(Self(text.into()))
    }
}

/// `tchar` of RFC 9110 §5.6.2.
fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

impl fmt::Display for HeaderName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The value of a header field (RFC 9110 §5.5): no control characters but tabs, no white space at its ends, not empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct HeaderValue(Arc<str>);

/// Why a text is no value of a header field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidHeaderValue {
    /// It is empty.
    #[error("the value is empty; to have no such header, put its name into `remove`")]
    Empty,
    /// It is too long.
    #[error("the value of a header has at most {max} bytes here, this one has {0}", max = HeaderValue::MAX_LEN)]
    TooLong(usize),
    /// It has a character that would end the field, or is no text.
    #[error("{0:?} is not the value of a header: it has the control character {1:?}")]
    Control(String, char),
    /// It has white space at an end, which is not part of a value.
    #[error("{0:?} begins or ends with white space, which is not part of a header's value")]
    WhiteSpace(String),
}

impl HeaderValue {
    const MAX_LEN: usize = 4096;

    /// The value.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HeaderValue {
    type Err = InvalidHeaderValue;

    fn from_str(text: &str) -> Result<Self, InvalidHeaderValue> {
        if text.is_empty() {
            return Err(InvalidHeaderValue::Empty);
        }
        if text.len() > Self::MAX_LEN {
            return Err(InvalidHeaderValue::TooLong(text.len()));
        }
        if let Some(control) = text.chars().find(|&c| c.is_control() && c != '\t') {
            return Err(InvalidHeaderValue::Control(text.to_owned(), control));
        }
        if text.starts_with([' ', '\t']) || text.ends_with([' ', '\t']) {
            return Err(InvalidHeaderValue::WhiteSpace(text.to_owned()));
        }
        Ok(Self(text.into()))
    }
}

impl fmt::Display for HeaderValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Result<HeaderName, InvalidHeaderName> {
        text.parse()
    }

    fn value(text: &str) -> Result<HeaderValue, InvalidHeaderValue> {
        text.parse()
    }

    #[test]
    fn a_name_is_sent_as_written_and_compared_without_case() {
        let written = name("X-Real-IP").unwrap();
        assert_eq!(written.as_str(), "X-Real-IP");
        assert!(written.is(&name("x-real-ip").unwrap()));
        assert!(!written.is(&name("x-real-ip2").unwrap()));
        assert!(name("!#$%&'*+-.^_`|~09azAZ").is_ok());
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for bad in ["", "a b", "a:", "ä", "a\r\nb", "a\0", "(a)", "\"a\"", "a,b", "a/b", "{a}", " a", "a\t"]
        {
            assert_eq!(name(bad), Err(InvalidHeaderName::NotAToken(bad.into())));
        }
        assert!(name(&"x".repeat(128)).is_ok());
        assert_eq!(name(&"x".repeat(129)), Err(InvalidHeaderName::TooLong(129)));
    }

    #[test]
    fn what_sluice_writes_cannot_be_edited() {
        for owned in HeaderName::FRAMING {
            assert_eq!(name(&owned.to_uppercase()), Err(InvalidHeaderName::Framing(owned)));
        }
        assert_eq!(name("Host"), Err(InvalidHeaderName::Host));
    }

    #[test]
    fn a_value_cannot_break_out_of_its_field() {
        for good in ["a", "max-age=31536000; includeSubDomains", "a\tb", "é", "\"quoted\""] {
            assert_eq!(value(good).unwrap().as_str(), good);
        }
        for (bad, control) in [("a\r\nX-Admin: 1", '\r'), ("a\nb", '\n'), ("a\0", '\0'), ("\u{7f}", '\u{7f}')]
        {
            assert_eq!(value(bad), Err(InvalidHeaderValue::Control(bad.into(), control)));
        }
        for bad in [" a", "a ", "a\t", " "] {
            assert_eq!(value(bad), Err(InvalidHeaderValue::WhiteSpace(bad.into())));
        }
        assert_eq!(value(""), Err(InvalidHeaderValue::Empty));
        assert_eq!(value(&"x".repeat(4097)), Err(InvalidHeaderValue::TooLong(4097)));
    }

    proptest! {
        #[test]
        fn no_value_has_a_byte_that_ends_a_line(text in any::<String>()) {
            if let Ok(value) = value(&text) {
                prop_assert!(!value.as_str().bytes().any(|b| (b < b' ' && b != b'\t') || b == 0x7f));
            }
        }
    }
}
