//! The word that says where listeners are, one for each family: changing it changes the whole table at once.

use crate::{Family, Word};

/// One of two tables of listeners or rings: one is in use, the other is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Half {
    /// The first.
    Lower = 0,
    /// The second.
    Upper = 1,
}

impl Half {
    /// The one that is written while this one is in use.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Lower => Self::Upper,
            Self::Upper => Self::Lower,
        }
    }
}

/// How to find a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenerControl(u64);

impl ListenerControl {
    const UPPER: u64 = 1;
    const RANGES: u64 = 2;

    /// The table in `half`, written with `multiplier`, of which two bits are lost; `ranges` is how many
    /// listeners have more than one port.
    pub fn new(multiplier: u64, half: Half, ranges: usize) -> Self {
        let ranges = if ranges > 0 { Self::RANGES } else { 0 };
        Self(multiplier & !(Self::UPPER | Self::RANGES) | half as u64 | ranges)
    }

    /// The table in use.
    pub fn half(self) -> Half {
        if self.0 & Self::UPPER == 0 { Half::Lower } else { Half::Upper }
    }

    /// Whether there are listeners with more than one port.
    #[inline(always)]
    pub(crate) fn has_ranges(self) -> bool {
        self.0 & Self::RANGES != 0
    }

    /// The line of a key among the `2^(64 - shift)` of both tables, which take turns: multiply-shift hashing with an
    /// odd multiplier (Dietzfelbinger et al., 1997), whose last bit gives way to the table's.
    #[inline(always)]
    pub(crate) fn line(self, key: u64, shift: u32) -> u32 {
        let line = key.wrapping_mul(self.0 | 1) >> (shift & 63);
        crate::bits::u32_at(line & !Self::UPPER | self.0 & Self::UPPER, 0)
    }
}

/// The map's only value.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Control {
    listeners: [Word; 2],
    spare: [Word; 6],
}

impl Control {
    /// How to find listeners at addresses of this family.
    #[inline(always)]
    pub fn listeners(&self, family: Family) -> ListenerControl {
        ListenerControl(self.word(family).load())
    }

    /// Makes another table the one in use. The lines that it has must have been written before.
    pub fn set_listeners(&self, family: Family, control: ListenerControl) {
        self.word(family).swap(control.0);
    }

    #[inline(always)]
    fn word(&self, family: Family) -> &Word {
        let [v4, v6] = &self.listeners;
        match family {
            Family::V4 => v4,
            Family::V6 => v6,
        }
    }
}

const _: () = assert!(size_of::<Control>() == 64);
