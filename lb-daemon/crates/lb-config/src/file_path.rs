//! Paths of files as text.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A path as written: if it is relative, then to the directory of the file that says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FilePath(pub(crate) PathBuf);

/// Why a text is no path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum InvalidPath {
    Empty,
    Nul,
}

impl fmt::Display for InvalidPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "the path is empty; leave the key out where there is no file",
            Self::Nul => "a path has no NUL character",
        })
    }
}

impl FromStr for FilePath {
    type Err = InvalidPath;

    fn from_str(text: &str) -> Result<Self, InvalidPath> {
        if text.is_empty() {
            return Err(InvalidPath::Empty);
        }
        if text.contains('\0') {
            return Err(InvalidPath::Nul);
        }
        Ok(Self(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_what_the_system_would() {
        assert_eq!("a b/é".parse(), Ok(FilePath("a b/é".into())));
        assert_eq!("".parse::<FilePath>(), Err(InvalidPath::Empty));
        assert_eq!("a\0b".parse::<FilePath>(), Err(InvalidPath::Nul));
    }
}
