//! Request targets (RFC 9112 §3.2).

use crate::authority::Authority;
use crate::fault::Fault;
use crate::grammar::split;
use crate::method::Method;

/// The scheme of a target that is a whole URI. It is what the client says; how the request came is known better.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// `http`
    Http,
    /// `https`
    Https,
}

/// A target, taken apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Target<'t> {
    /// Scheme and authority, where the target has the absolute form (§3.2.2).
    pub(crate) absolute: Option<(Scheme, &'t [u8])>,
    /// The path: `*`, or something that begins with `/`. What is not in the request is added (RFC 9110 §4.2.3).
    pub(crate) path: &'t [u8],
    /// The query with its `?`, or nothing.
    pub(crate) query: &'t [u8],
}

impl<'t> Target<'t> {
    /// Takes apart the target of a request with `method`, which is not CONNECT.
    pub(crate) fn parse(text: &'t [u8], method: Method) -> Result<Self, Fault> {
        match text {
            [b'/', ..] => {
                let (path, query) = path_and_query(text);
                Ok(Self { absolute: None, path, query })
            }
            b"*" if method == Method::Options => Ok(Self { absolute: None, path: text, query: b"" }),
            _ => Self::absolute(text, method),
        }
    }

    fn absolute(text: &'t [u8], method: Method) -> Result<Self, Fault> {
        let after = |scheme: &[u8]| {
            let (start, rest) = text.split_at_checked(scheme.len())?;
            start.eq_ignore_ascii_case(scheme).then_some(rest)
        };
        let (scheme, rest) = after(b"http://")
            .map(|rest| (Scheme::Http, rest))
            .or_else(|| after(b"https://").map(|rest| (Scheme::Https, rest)))
            .ok_or(Fault::TargetForm)?;
        let end = rest.iter().position(|byte| matches!(byte, b'/' | b'?')).unwrap_or(rest.len());
        let (authority, rest) = split(rest, end);
        if Authority::parse(authority).is_none() {
            return Err(Fault::Host);
        }
        let (path, query) = match path_and_query(rest) {
            ([], []) if method == Method::Options => (&b"*"[..], &b""[..]), // §3.2.4
            ([], query) => (&b"/"[..], query),
            parts => parts,
        };
        Ok(Self { absolute: Some((scheme, authority)), path, query })
    }
}

fn path_and_query(text: &[u8]) -> (&[u8], &[u8]) {
    split(text, memchr::memchr(b'?', text).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_taken_apart() {
        let absolute = |scheme, authority: &'static str| Some((scheme, authority.as_bytes()));
        let cases = [
            ("/", Method::Get, None, "/", ""),
            ("//a/b?c?d=/", Method::Get, None, "//a/b", "?c?d=/"),
            ("/?", Method::Get, None, "/", "?"),
            ("*", Method::Options, None, "*", ""),
            ("http://a", Method::Get, absolute(Scheme::Http, "a"), "/", ""),
            ("HTTPS://a:1/b?c", Method::Get, absolute(Scheme::Https, "a:1"), "/b", "?c"),
            ("http://[::1]?c/d", Method::Get, absolute(Scheme::Http, "[::1]"), "/", "?c/d"),
            ("http://a", Method::Options, absolute(Scheme::Http, "a"), "*", ""),
            ("http://a/", Method::Options, absolute(Scheme::Http, "a"), "/", ""),
            ("http://a?b", Method::Options, absolute(Scheme::Http, "a"), "/", "?b"),
        ];
        for (text, method, absolute, path, query) in cases {
            let expected = Target { absolute, path: path.as_bytes(), query: query.as_bytes() };
            assert_eq!(Target::parse(text.as_bytes(), method), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_target() {
        let cases = [
            ("*", Method::Get, Fault::TargetForm),
            ("**", Method::Options, Fault::TargetForm),
            ("a", Method::Get, Fault::TargetForm),
            ("?a", Method::Get, Fault::TargetForm),
            ("a:80", Method::Get, Fault::TargetForm),
            ("http:/a", Method::Get, Fault::TargetForm),
            ("ftp://a/", Method::Get, Fault::TargetForm),
            ("http://", Method::Get, Fault::Host),
            ("http:///a", Method::Get, Fault::Host),
            ("http://user@a/", Method::Get, Fault::Host),
            ("http://a\\b/", Method::Get, Fault::Host),
        ];
        for (text, method, fault) in cases {
            assert_eq!(Target::parse(text.as_bytes(), method), Err(fault), "{text}");
        }
    }
}
