//! The bearer token.

use std::fmt;
use std::path::Path;

use subtle::ConstantTimeEq;

use super::BindError;

/// What clients have to know. Never shown.
#[derive(Clone)]
pub(super) struct Token(Vec<u8>);

/// Another token.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WrongToken;

impl Token {
    /// Reads the token of a file, without the white space around it.
    pub(super) fn read(path: &Path) -> Result<Self, BindError> {
        let problem = |problem: String| BindError::File { path: path.to_owned(), problem };
        let text = std::fs::read(path).map_err(|error| problem(error.to_string()))?;
        let token = text.trim_ascii();
        if token.is_empty() {
            return Err(problem("there is no token in it; `openssl rand -hex 32` makes one".into()));
        }
        if !token.iter().all(u8::is_ascii_graphic) {
            return Err(problem("a token is one word of printable ASCII characters".into()));
        }
        Ok(Self(token.to_owned()))
    }

    /// Compares in a time that depends on the lengths only.
    pub(super) fn verify(&self, given: &[u8]) -> Result<(), WrongToken> {
        if bool::from(self.0.ct_eq(given)) { Ok(()) } else { Err(WrongToken) }
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(content: &str) -> Result<Token, String> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), content).unwrap();
        Token::read(file.path()).map_err(|error| error.to_string())
    }

    #[test]
    fn white_space_around_it_does_not_count() {
        let token = token("  s3cret\n").unwrap();
        assert_eq!(token.verify(b"s3cret"), Ok(()));
        for wrong in [&b"s3cre"[..], b"s3crets", b"s3creT", b"", b"  s3cret\n"] {
            assert_eq!(token.verify(wrong), Err(WrongToken));
        }
        assert!(!format!("{token:?}").contains("s3cret"));
    }

    #[test]
    fn files_without_a_token_are_refused() {
        for empty in ["", " \n\t"] {
            assert!(token(empty).unwrap_err().contains("openssl rand"));
        }
        assert!(token("two words").unwrap_err().contains("one word"));
        let error = Token::read(Path::new("/nowhere/token")).unwrap_err().to_string();
        assert!(error.starts_with("/nowhere/token: "), "{error}");
    }
}
