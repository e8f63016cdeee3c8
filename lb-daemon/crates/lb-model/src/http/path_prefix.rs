//! Beginnings of paths.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// A path, and all below it: `/api` is `/api`, `/api/` and `/api/v1`, but not `/apiary`. `/` is everything. Bytes are
/// compared as they are, so case counts and nothing is decoded.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PathPrefix {
    /// Without the slash at its end, so that of `/` nothing is left.
    text: Arc<str>,
}

/// Why a text is no prefix of paths.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidPathPrefix {
    /// It does not begin as paths do.
    #[error("{0:?} is not a path: expected a `/` first, for example \"/api\"")]
    NoSlash(String),
    /// It has something that no request has in its path.
    #[error("{0:?} has {1:?}, which no path has; expected ASCII without spaces, with %20 for a space")]
    BadCharacter(String, char),
    /// It has more than a path.
    #[error("{0:?} has a query or a fragment; expected the path alone")]
    MoreThanAPath(String),
    /// A `%` that is not followed by two hexadecimal digits.
    #[error("{0:?} has a `%` without two hexadecimal digits behind it; write %25 for a `%`")]
    BadPercent(String),
    /// It has something between slashes that clients and backends take for another path.
    #[error("{0:?} has an empty, `.` or `..` segment, which clients do not send")]
    BadSegment(String),
    /// It has a wildcard.
    #[error("{0:?} has a `*`; a prefix has none: \"/api\" is /api and all that is below it")]
    Wildcard(String),
    /// It is too long.
    #[error("a path prefix has at most {max} bytes, this one has {0}", max = PathPrefix::MAX_LEN)]
    TooLong(usize),
}

impl PathPrefix {
    const MAX_LEN: usize = 1024;

    /// `/`: everything.
    pub fn root() -> Self {
        Self { text: "".into() }
    }

    /// Whether it is `/`.
    pub fn is_root(&self) -> bool {
        self.text.is_empty()
    }

    /// Whether a request for `path`, with or without its query, is meant.
    pub fn covers(&self, path: &[u8]) -> bool {
        match path.strip_prefix(self.as_bytes()) {
            Some(rest) => self.is_root() || matches!(rest.first(), None | Some(b'/' | b'?')),
            None => false,
        }
    }

    /// What the paths that it covers begin with.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.text.as_bytes()
    }
}

impl FromStr for PathPrefix {
    type Err = InvalidPathPrefix;

    fn from_str(text: &str) -> Result<Self, InvalidPathPrefix> {
        let invalid = |why: fn(String) -> InvalidPathPrefix| Err(why(text.to_owned()));
        let Some(segments) = text.strip_prefix('/') else { return invalid(InvalidPathPrefix::NoSlash) };
        if text.len() > Self::MAX_LEN {
            return Err(InvalidPathPrefix::TooLong(text.len()));
        }
        if let Some(bad) = text.chars().find(|c| !c.is_ascii_graphic()) {
            return Err(InvalidPathPrefix::BadCharacter(text.to_owned(), bad));
        }
        if text.contains(['?', '#']) {
            return invalid(InvalidPathPrefix::MoreThanAPath);
        }
        if text.contains('*') {
            return invalid(InvalidPathPrefix::Wildcard);
        }
        if !text.split('%').skip(1).all(begins_with_hex) {
            return invalid(InvalidPathPrefix::BadPercent);
        }
        let segments = segments.strip_suffix('/').unwrap_or(segments);
        if text != "/" && segments.split('/').any(|segment| matches!(segment, "" | "." | "..")) {
            return invalid(InvalidPathPrefix::BadSegment);
        }
        Ok(Self { text: text.strip_suffix('/').unwrap_or(text).into() })
    }
}

fn begins_with_hex(text: &str) -> bool {
    text.len() >= 2 && text.bytes().take(2).all(|b| b.is_ascii_hexdigit())
}

impl fmt::Display for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_root() { "/" } else { &self.text })
    }
}

impl fmt::Debug for PathPrefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn prefix(text: &str) -> PathPrefix {
        text.parse().unwrap()
    }

    #[test]
    fn whole_segments_are_covered() {
        for path in ["/api", "/api/", "/api/v1", "/api//", "/api?q", "/api/?q"] {
            assert!(prefix("/api").covers(path.as_bytes()), "{path}");
            assert!(prefix("/api/").covers(path.as_bytes()), "{path}");
        }
        for path in ["/", "/ap", "/apiary", "/API", "/api.json", "/%61pi", "api", "*", "", "//api", "/x?/api"]
        {
            assert!(!prefix("/api").covers(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn the_root_covers_everything() {
        for path in ["/", "/api", "*", "", "/?q"] {
            assert!(prefix("/").covers(path.as_bytes()), "{path}");
        }
        assert_eq!(prefix("/"), PathPrefix::root());
    }

    #[test]
    fn a_prefix_is_shown_without_the_last_slash() {
        for (text, shown) in [("/", "/"), ("/a", "/a"), ("/a/b/", "/a/b"), ("/a%20b/~c", "/a%20b/~c")] {
            assert_eq!(prefix(text).to_string(), shown);
            assert_eq!(prefix(shown), prefix(text));
        }
    }

    #[test]
    fn what_no_path_begins_with_is_refused() {
        use InvalidPathPrefix as Invalid;
        for (text, why) in [
            ("", Invalid::NoSlash as fn(String) -> Invalid),
            ("api", Invalid::NoSlash),
            ("http://a/b", Invalid::NoSlash),
            ("/a?b", Invalid::MoreThanAPath),
            ("/a#b", Invalid::MoreThanAPath),
            ("/a*", Invalid::Wildcard),
            ("/a/*", Invalid::Wildcard),
            ("/a%2", Invalid::BadPercent),
            ("/a%zz", Invalid::BadPercent),
            ("/%", Invalid::BadPercent),
            ("//", Invalid::BadSegment),
            ("/a//b", Invalid::BadSegment),
            ("/a/../b", Invalid::BadSegment),
            ("/.", Invalid::BadSegment),
            ("/a//", Invalid::BadSegment),
        ] {
            assert_eq!(text.parse::<PathPrefix>(), Err(why(text.into())));
        }
        for (text, bad) in [("/a b", ' '), ("/é", 'é'), ("/a\n", '\n'), ("/a\0", '\0')] {
            assert_eq!(text.parse::<PathPrefix>(), Err(Invalid::BadCharacter(text.into(), bad)));
        }
        let long = format!("/{}", "x".repeat(1024));
        assert_eq!(long.parse::<PathPrefix>(), Err(Invalid::TooLong(1025)));
    }
}
