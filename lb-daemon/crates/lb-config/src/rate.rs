//! Rates as text: `"1KiB/s"`.

use std::fmt;
use std::num::NonZeroU32;
use std::str::FromStr;

use lb_model::ByteRate;

use crate::size::{InvalidSize, Size};

/// Bytes per second in their text form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rate(pub(crate) ByteRate);

/// Why a text is no rate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum InvalidRate {
    NotPerSecond(String),
    Size(InvalidSize),
    Zero,
    TooHigh,
}

impl fmt::Display for InvalidRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotPerSecond(text) => {
                write!(f, "{text:?} is not a rate; expected a size per second, for example \"1KiB/s\"")
            }
            Self::Size(invalid) => invalid.fmt(f),
            Self::Zero => f.write_str("a rate is more than nothing"),
            Self::TooHigh => write!(f, "a rate is less than {}/s", Size(1 << 32)),
        }
    }
}

impl FromStr for Rate {
    type Err = InvalidRate;

    fn from_str(text: &str) -> Result<Self, InvalidRate> {
        let size = text.trim().strip_suffix("/s").ok_or_else(|| InvalidRate::NotPerSecond(text.into()))?;
        let Size(bytes) = size.parse().map_err(InvalidRate::Size)?;
        let bytes = u32::try_from(bytes).map_err(|_out_of_range| InvalidRate::TooHigh)?;
        NonZeroU32::new(bytes).map(|bytes| Self(ByteRate(bytes))).ok_or(InvalidRate::Zero)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn errors_say_what_to_write() {
        for (text, message) in [
            ("240", "\"240\" is not a rate; expected a size per second, for example \"1KiB/s\""),
            ("240B", "\"240B\" is not a rate; expected a size per second, for example \"1KiB/s\""),
            ("1KiB/m", "\"1KiB/m\" is not a rate; expected a size per second, for example \"1KiB/s\""),
            ("240/s", "\"240\" has no unit; write \"240B\" for bytes"),
            ("/s", "\"\" is not a size; expected for example \"4KiB\""),
            ("0B/s", "a rate is more than nothing"),
            ("4GiB/s", "a rate is less than 4GiB/s"),
        ] {
            assert_eq!(text.parse::<Rate>().unwrap_err().to_string(), message);
        }
    }

    proptest! {
        #[test]
        fn round_trips(bytes in 1u32..) {
            let rate = ByteRate(NonZeroU32::new(bytes).unwrap());
            prop_assert_eq!(rate.to_string().parse(), Ok(Rate(rate)));
        }
    }
}
