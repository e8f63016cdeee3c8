//! Pools: which backend a flow gets that is not known yet.
//!
//! A pool has two Maglev rings of 65,537 slots, packed 32 to a line. One is in use, the other is written;
//! switching is a write of one word. The ring that was left must not be written before every program that read
//! the word has ended.

use crate::bits::{u8_at, u16_at, u32_at};
use crate::{Address, BackendIndex, Half, Tables, Tuple, Word};

/// Slots of a ring: `lb_balance::Maglev::SLOTS`, a prime.
pub const SLOTS: u32 = 65_537;

/// A pool's number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolId(pub u16);

/// What decides on a slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Choice {
    /// No slot: nobody takes new flows.
    None = 0,
    /// The whole tuple.
    Tuple = 1,
    /// The client's address.
    Client = 2,
}

/// How a pool chooses, in a word: seed 32, choice 8, half 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pool {
    /// Of the flow hash: the same on all instances.
    pub seed: u32,
    /// What is hashed.
    pub choice: Choice,
    /// The ring in use.
    pub half: Half,
}

impl Pool {
    fn to_bits(self) -> u64 {
        u64::from(self.seed) << 32 | (self.choice as u64) << 8 | self.half as u64
    }

    #[inline(always)]
    fn from_bits(bits: u64) -> Self {
        let choice = match u8_at(bits, 8) {
            1 => Choice::Tuple,
            2 => Choice::Client,
            _ => Choice::None,
        };
        let half = if bits & 1 == 0 { Half::Lower } else { Half::Upper };
        Self { seed: u32_at(bits, 32), choice, half }
    }
}

/// A pool's memory.
#[derive(Debug, Default)]
#[repr(transparent)]
pub struct PoolEntry(Word);

impl PoolEntry {
    /// The pool as it is now.
    #[inline(always)]
    pub fn load(&self) -> Pool {
        Pool::from_bits(self.0.load())
    }

    /// Changes the pool at once. The ring in use must have been written before.
    pub fn store(&self, pool: Pool) {
        self.0.swap(pool.to_bits());
    }
}

/// A part of a ring: 32 slots.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct RingLine {
    words: [Word; 8],
}

impl RingLine {
    /// Slots of a line.
    pub const SLOTS: u32 = 32;
    /// Lines of a ring; the last has a single slot.
    pub const LINES: u32 = SLOTS.div_ceil(Self::SLOTS);

    /// The first line of a ring.
    #[inline(always)]
    pub fn first(pool: PoolId, half: Half) -> u32 {
        (u32::from(pool.0) * 2 + half as u32) * Self::LINES
    }

    #[inline(always)]
    fn slot(&self, slot: u32) -> BackendIndex {
        let index = (slot % Self::SLOTS / 4) as usize;
        let word = self.words.get(index).map_or(0, Word::load);
        BackendIndex(u16_at(word, slot % 4 * 16))
    }

    /// Writes the line, in a ring that is not in use.
    pub fn store(&self, slots: [BackendIndex; Self::SLOTS as usize]) {
        let (fours, _) = slots.as_chunks::<4>();
        for (word, &[a, b, c, d]) in self.words.iter().zip(fours) {
            let [a, b, c, d] = [a, b, c, d].map(|slot| u64::from(slot.0));
            word.store(d << 48 | c << 32 | b << 16 | a);
        }
    }
}

const _: () = assert!(size_of::<RingLine>() == 64);

/// The backend that a flow gets when it is new; the same on every instance. `None` if the pool has none.
#[inline(always)]
pub(crate) fn select<A: Address, T: Tables>(
    tables: &T,
    id: PoolId,
    tuple: &Tuple<A>,
) -> Option<BackendIndex> {
    let pool = tables.pool(id)?.load();
    let hash = match pool.choice {
        Choice::None => return None,
        Choice::Tuple => A::tuple_hash(pool.seed, tuple),
        Choice::Client => A::client_hash(pool.seed, tuple.client),
    };
    let slot = hash.place(0, SLOTS);
    let line = tables.ring(RingLine::first(id, pool.half) + slot / RingLine::SLOTS)?;
    Some(line.slot(slot))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_keeps_its_slots() {
        let line = RingLine::default();
        let slots = core::array::from_fn(|i| BackendIndex(u16::try_from(i * 2000).unwrap()));
        line.store(slots);
        for (i, slot) in (0..).zip(slots) {
            assert_eq!(line.slot(i), slot);
            assert_eq!(line.slot(RingLine::SLOTS * 7 + i), slot);
        }
    }

    #[test]
    fn rings_lie_side_by_side() {
        let first = |pool, half| RingLine::first(PoolId(pool), half);
        assert_eq!(first(0, Half::Lower), 0);
        assert_eq!(first(0, Half::Upper), 2049);
        assert_eq!(first(1, Half::Lower), 4098);
        assert_eq!(first(u16::MAX, Half::Upper), 131_071 * 2049);
    }

    #[test]
    fn a_word_keeps_a_pool() {
        for choice in [Choice::None, Choice::Tuple, Choice::Client] {
            for half in [Half::Lower, Half::Upper] {
                let entry = PoolEntry::default();
                let pool = Pool { seed: 0xdead_beef, choice, half };
                entry.store(pool);
                assert_eq!(entry.load(), pool);
            }
        }
        assert_eq!(PoolEntry::default().load().choice, Choice::None);
    }
}
