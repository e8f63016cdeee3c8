//! Names of configured things: one validated shape, one type per role.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Longest name that is accepted, in bytes: it has to fit a metric label and a table column.
const MAX_LEN: usize = 128;

/// Why a text is no name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidName {
    /// The text is empty.
    #[error("a name must not be empty")]
    Empty,
    /// The text is too long.
    #[error("a name has at most {MAX_LEN} bytes, this one has {0}")]
    TooLong(usize),
    /// The text has a character that names may not have.
    #[error("a name consists of letters, digits and `_ - . : [ ]`, not {0:?}")]
    BadCharacter(char),
}

fn validate(text: &str) -> Result<(), InvalidName> {
    if text.is_empty() {
        return Err(InvalidName::Empty);
    }
    if text.len() > MAX_LEN {
        return Err(InvalidName::TooLong(text.len()));
    }
    // Brackets and colons, because an unnamed backend is called by its address, and IPv6 addresses have them.
    let allowed = |c: char| c.is_ascii_alphanumeric() || "_-.:[]".contains(c);
    text.chars().find(|&c| !allowed(c)).map_or(Ok(()), |c| Err(InvalidName::BadCharacter(c)))
}

macro_rules! name {
    ($(#[$doc:meta])* $type:ident) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $type(Arc<str>);

        impl $type {
            /// The name as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $type {
            type Err = InvalidName;

            fn from_str(text: &str) -> Result<Self, InvalidName> {
                validate(text)?;
                Ok(Self(text.into()))
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

name! {
    /// The name of a listener, unique in a configuration.
    ListenerName
}
name! {
    /// The name of a pool, unique in a configuration.
    PoolName
}
name! {
    /// The name of a zone: a failure domain, such as a rack or a data centre.
    ZoneName
}
name! {
    /// The name of a backend, unique in its pool. Defaults to the backend's address as written.
    BackendName
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accepts_words_and_addresses() {
        for text in ["web", "api-v2_eu.1", "10.0.0.1:80", "[2001:db8::1]:443"] {
            assert_eq!(text.parse::<BackendName>().unwrap().as_str(), text);
        }
    }

    #[test]
    fn refuses_what_a_label_or_a_shell_would_choke_on() {
        assert_eq!("".parse::<PoolName>(), Err(InvalidName::Empty));
        assert_eq!("a b".parse::<PoolName>(), Err(InvalidName::BadCharacter(' ')));
        assert_eq!("a\"b".parse::<PoolName>(), Err(InvalidName::BadCharacter('"')));
        assert_eq!("x".repeat(129).parse::<PoolName>(), Err(InvalidName::TooLong(129)));
    }
}
