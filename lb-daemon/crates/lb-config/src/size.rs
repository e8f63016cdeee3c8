//! Sizes as text: `"4KiB"`.

use std::fmt;
use std::str::FromStr;

use lb_model::SizeText;

/// A number of bytes in its text form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size(pub(crate) u64);

impl Size {
    /// The size of something in memory.
    pub(crate) fn of(bytes: usize) -> Self {
        Self(u64::try_from(bytes).unwrap_or(u64::MAX))
    }
}

/// Why a text is no size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum InvalidSize {
    NoNumber(String),
    NoUnit(String),
    UnknownUnit(String),
    TooLarge,
}

impl fmt::Display for InvalidSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoNumber(text) => write!(f, "{text:?} is not a size; expected for example \"4KiB\""),
            Self::NoUnit(number) => write!(f, "{number:?} has no unit; write \"{number}B\" for bytes"),
            Self::UnknownUnit(unit) => {
                write!(f, "{unit:?} is not a unit of size; the units are B, KiB, MiB and GiB")
            }
            Self::TooLarge => f.write_str("the size is too large"),
        }
    }
}

impl FromStr for Size {
    type Err = InvalidSize;

    fn from_str(text: &str) -> Result<Self, InvalidSize> {
        let text = text.trim();
        let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        if number.is_empty() {
            return Err(InvalidSize::NoNumber(text.into()));
        }
        let unit = unit.trim_start();
        if unit.is_empty() {
            return Err(InvalidSize::NoUnit(number.into()));
        }
        let (_, length) = SizeText::UNITS
            .into_iter()
            .find(|&(name, _)| name == unit)
            .ok_or_else(|| InvalidSize::UnknownUnit(unit.into()))?;
        let bytes = number.parse().ok().and_then(|number: u64| number.checked_mul(length));
        bytes.map(Self).ok_or(InvalidSize::TooLarge)
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        SizeText(self.0).fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_a_number_and_its_unit() {
        for (text, bytes) in [
            ("0B", 0),
            ("512B", 512),
            ("4KiB", 4096),
            (" 64 KiB ", 65_536),
            ("1MiB", 1 << 20),
            ("8GiB", 8 << 30),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
    }

    #[test]
    fn errors_say_what_to_write() {
        let message = |text: &str| text.parse::<Size>().unwrap_err().to_string();
        assert_eq!(message("4096"), "\"4096\" has no unit; write \"4096B\" for bytes");
        assert_eq!(message("4KB"), "\"KB\" is not a unit of size; the units are B, KiB, MiB and GiB");
        assert_eq!(message("much"), "\"much\" is not a size; expected for example \"4KiB\"");
        assert_eq!(message("18446744073709551615KiB"), "the size is too large");
    }

    proptest! {
        #[test]
        fn round_trips(bytes: u64) {
            prop_assert_eq!(Size(bytes).to_string().parse(), Ok(Size(bytes)));
        }
    }
}
