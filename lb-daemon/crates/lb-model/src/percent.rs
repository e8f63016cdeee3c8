//! Shares of a whole.

use std::fmt;
use std::str::FromStr;

/// A whole number of percent, from 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Percent(u8);

/// Why a text is no percentage.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is not a percentage; expected a whole number from 0% to 100%, for example \"50%\"")]
pub struct InvalidPercent(String);

impl Percent {
    /// Nothing.
    pub const ZERO: Self = Self(0);
    /// All of it.
    pub const ALL: Self = Self(100);

    /// The number, 0 to 100.
    pub fn get(self) -> u8 {
        self.0
    }
}

impl FromStr for Percent {
    type Err = InvalidPercent;

    fn from_str(text: &str) -> Result<Self, InvalidPercent> {
        let number = text.strip_suffix('%').filter(|digits| {
            // `parse` alone would take "+5".
            (1..=3).contains(&digits.len()) && digits.bytes().all(|b| b.is_ascii_digit())
        });
        let number = number.and_then(|digits| digits.parse().ok()).filter(|&number: &u8| number <= 100);
        number.map(Self).ok_or_else(|| InvalidPercent(text.into()))
    }
}

impl fmt::Display for Percent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}%", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_writes_and_nothing_else() {
        for text in ["0%", "7%", "100%"] {
            assert_eq!(text.parse::<Percent>().unwrap().to_string(), text);
        }
        for text in ["", "%", "5", "+5%", "101%", "5.5%", "0005%", " 5%", "256%"] {
            assert!(text.parse::<Percent>().is_err(), "{text}");
        }
    }
}
