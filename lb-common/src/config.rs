//! What is fixed when the program is loaded: the verifier knows these values and the compiler of the kernel
//! inlines them.

use crate::flow::State;
use crate::{Family, LoadOrder, Protocol, Secret};

/// The version of everything in this crate that maps hold. Whoever adopts maps of another version misreads them.
pub const ABI: u32 = 1;

/// A moment, in units of 2^[`tick_shift`](Config::tick_shift) jiffies: about a second. It wraps after 18 hours,
/// so two moments compare only if they are less than nine hours apart, and what is older has to be swept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(transparent)]
pub struct Tick(pub u16);

impl Tick {
    /// The longest time between two moments that compare.
    pub const MOST: u16 = i16::MAX as u16;

    /// The moment of this count of jiffies.
    #[inline(always)]
    pub fn of_jiffies(jiffies: u64, tick_shift: u32) -> Self {
        Self(crate::bits::u16_at(jiffies >> (tick_shift & 63), 0))
    }

    /// So many ticks later.
    #[inline(always)]
    #[must_use]
    pub fn after(self, ticks: u16) -> Self {
        Self(self.0.wrapping_add(ticks))
    }

    /// How many ticks it is until this moment; above [`MOST`](Self::MOST) if it is over.
    #[inline(always)]
    pub fn left(self, now: Self) -> u16 {
        self.0.wrapping_sub(now.0)
    }

    /// Whether this moment is over.
    #[inline(always)]
    pub fn is_over(self, now: Self) -> bool {
        self.left(now) > Self::MOST
    }
}

/// How long flows of one protocol are remembered, in ticks, each below [`Tick::MOST`] less the time between two
/// sweeps. How long a flow may be idle once it has proved itself is its listener's setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C)]
pub struct Timeouts {
    /// After the first packet, if no second follows.
    pub new: u16,
    /// After the second packet, if no third follows: two are quickly forged.
    pub confirmed: u16,
    /// After the client's FIN or RST.
    pub closing: u16,
    /// Zero.
    pub _pad: u16,
}

impl Timeouts {
    /// Time until a flow that went from `from` to `to` is forgotten, where flows may be `idle` for that long.
    #[inline(always)]
    pub fn after(&self, from: State, to: State, idle: u16) -> u16 {
        match to {
            State::NEW => self.new,
            State::CLOSING => self.closing,
            _ if from == State::NEW => self.confirmed,
            _ => idle,
        }
    }
}

/// See the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(C, align(8))]
pub struct Config {
    /// Places flows in lines.
    pub line_secret: Secret,
    /// Makes keys of flows that are too long to be their own.
    pub key_secret: Secret,
    /// 64 less the logarithm of the lines in each family's flow table.
    pub flow_shift: [u32; 2],
    /// 64 less the logarithm of the lines of each family's listeners, those of both tables.
    pub listener_shift: u32,
    /// Logarithm of jiffies in a tick.
    pub tick_shift: u32,
    /// Of this machine.
    pub load_order: LoadOrder,
    /// For TCP, for UDP.
    pub timeouts: [Timeouts; 2],
}

impl Config {
    /// The line of the flow table in which a flow of this hash belongs.
    #[inline(always)]
    pub fn flow_line(&self, family: Family, hash: u64) -> u32 {
        let [v4, v6] = self.flow_shift;
        let shift = if family as u8 == Family::V4 as u8 { v4 } else { v6 };
        crate::bits::u32_at(hash >> (shift & 63), 0)
    }

    /// The timeouts of TCP (6) or UDP (17): the protocol's number.
    #[inline(always)]
    pub fn timeouts(&self, protocol: u8) -> &Timeouts {
        let [tcp, udp] = &self.timeouts;
        if protocol == Protocol::Udp as u8 { udp } else { tcp }
    }
}

const _: () = assert!(size_of::<Config>() == 2 * 72 + 16 + 8 + 16);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_compare_across_the_wrap() {
        let now = Tick(0xfff0);
        let deadline = now.after(0x20);
        assert_eq!(deadline, Tick(0x10));
        assert!(!deadline.is_over(now));
        assert!(!deadline.is_over(deadline));
        assert!(deadline.is_over(Tick(0x11)));
        assert_eq!(Tick::of_jiffies(0x1_2345_67ff, 8), Tick(0x4567));
    }
}
