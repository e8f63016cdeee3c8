//! Durations as text: `"250ms"`, `"1m 30s"`.
//!
//! Not humantime: that takes `"1 0 s"` for ten seconds and `"M"` for months, and panics where the sum overflows.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use lb_model::DurationText;

/// Longest duration that is accepted: what is meant to be forever has a word of its own, and adding this to any clock is safe.
pub(crate) const MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// A duration in its text form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Period(pub(crate) Duration);

/// Why a text is no duration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum InvalidDuration {
    Empty,
    NoNumber(String),
    NoUnit(String),
    UnknownUnit(String),
    TooLong,
}

impl fmt::Display for InvalidDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("the duration is empty; expected for example \"30s\""),
            Self::NoNumber(rest) => {
                write!(f, "expected a whole number and a unit at {rest:?}, as in \"1m 30s\" or \"250ms\"")
            }
            Self::NoUnit(number) => write!(f, "{number:?} has no unit; write \"{number}s\" for seconds"),
            Self::UnknownUnit(unit) => {
                write!(f, "{unit:?} is not a unit of time; the units are d, h, m, s, ms, us and ns")
            }
            Self::TooLong => write!(f, "a duration is at most {}", Period(MAX)),
        }
    }
}

impl FromStr for Period {
    type Err = InvalidDuration;

    fn from_str(text: &str) -> Result<Self, InvalidDuration> {
        let mut rest = text.trim();
        if rest.is_empty() {
            return Err(InvalidDuration::Empty);
        }
        let mut total: u64 = 0;
        while !rest.is_empty() {
            let (number, after) = split_while(rest, |c| c.is_ascii_digit());
            if number.is_empty() {
                return Err(InvalidDuration::NoNumber(rest.into()));
            }
            let (unit, after) = split_while(after, |c| !c.is_ascii_digit() && !c.is_whitespace());
            if unit.is_empty() {
                return Err(InvalidDuration::NoUnit(number.into()));
            }
            let (_, length) = DurationText::UNITS
                .into_iter()
                .find(|&(name, _)| name == unit)
                .ok_or_else(|| InvalidDuration::UnknownUnit(unit.into()))?;
            let part = number.parse().ok().and_then(|number: u64| number.checked_mul(length));
            total = part.and_then(|part| total.checked_add(part)).ok_or(InvalidDuration::TooLong)?;
            rest = after.trim_start();
        }
        let total = Duration::from_nanos(total);
        if total > MAX { Err(InvalidDuration::TooLong) } else { Ok(Self(total)) }
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        DurationText(self.0).fmt(f)
    }
}

fn split_while(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    text.split_at(text.find(|c| !belongs(c)).unwrap_or(text.len()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> Result<Duration, String> {
        text.parse().map(|Period(duration)| duration).map_err(|error: InvalidDuration| error.to_string())
    }

    #[test]
    fn reads_numbers_with_units() {
        assert_eq!(parse("250ms"), Ok(Duration::from_millis(250)));
        assert_eq!(parse(" 1m 30s "), Ok(Duration::from_secs(90)));
        assert_eq!(parse("1h2m3s"), Ok(Duration::from_secs(3723)));
        assert_eq!(parse("365d"), Ok(MAX));
        assert_eq!(parse("0s"), Ok(Duration::ZERO));
    }

    #[test]
    fn errors_say_what_to_write() {
        let message = |text| parse(text).unwrap_err();
        assert_eq!(message("30"), "\"30\" has no unit; write \"30s\" for seconds");
        assert_eq!(message("1m 30"), "\"30\" has no unit; write \"30s\" for seconds");
        assert_eq!(message("5 s"), "\"5\" has no unit; write \"5s\" for seconds");
        assert_eq!(message("5sec"), "\"sec\" is not a unit of time; the units are d, h, m, s, ms, us and ns");
        assert!(message("-5s").starts_with("expected a whole number and a unit at \"-5s\""));
        assert!(message("1.5s").contains("\".\" is not a unit"));
        assert_eq!(message("366d"), "a duration is at most 365d");
        assert_eq!(message("99999999999999999999999s"), "a duration is at most 365d");
        assert_eq!(message("18446744073709551615ns 1ns"), "a duration is at most 365d");
    }

    proptest! {
        #[test]
        fn round_trips(nanos in 0..=u64::try_from(MAX.as_nanos()).unwrap()) {
            let duration = Duration::from_nanos(nanos);
            prop_assert_eq!(parse(&Period(duration).to_string()), Ok(duration));
        }

        #[test]
        fn never_panics(text in "[0-9a-zµ. -]{0,40}") {
            let _ = parse(&text);
        }
    }
}
