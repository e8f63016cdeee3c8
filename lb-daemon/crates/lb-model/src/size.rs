//! Sizes as configurations write them.

use std::fmt;

/// A number of bytes as configurations write it: `512B`, `4KiB`, `1MiB`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SizeText(pub u64);

impl SizeText {
    /// The units and their lengths in bytes, largest first.
    pub const UNITS: [(&'static str, u64); 4] =
        [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("B", 1)];
}

impl fmt::Display for SizeText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |&(_, length): &(&str, u64)| self.0 >= length && self.0.is_multiple_of(length);
        let (unit, length) = Self::UNITS.into_iter().find(whole).unwrap_or(("B", 1));
        write!(f, "{}{unit}", self.0 / length)
    }
}
