//! The flow table: which backend a flow was given to. One table for each family, shared by all CPUs and by the
//! sweeper in userspace, without locks.
//!
//! A *line* is one cache line of four *ways*; a way is two words, the key of a flow and its [`Entry`]. A flow
//! belongs in the line that its hash says. Only if no way of that line was free when it came does it live in the
//! line's neighbour, at the index with the last bit flipped.
//!
//! # The protocol
//!
//! The entry alone says whether a way is in use, and every change of it but one is a compare-exchange of exactly
//! the value that the change was decided on.
//!
//! 1. **Find**: read the key, the entry, the key again and the entry again, in this order. It is a hit if both
//!    keys are the flow's, the first entry is the flow's listener's, and the second names the same backend: it may
//!    have been advanced since. What is done then is decided on the first entry alone.
//! 2. **Insert**: judge a way by its entry, exchange that for [`Entry::CLAIMED`], store the key, write the
//!    flow's entry. Only this last write is unconditional: a claimed way is nobody else's. If the claim fails,
//!    the flow stays untracked.
//! 3. **Advance** (state, deadline) and **vacate** (the sweeper): one compare-exchange; if it fails, somebody
//!    else has changed the way and knows better. If it succeeds on the entry of another flow that has the very
//!    same bits, that flow's deadline or state moves, but never its backend.
//!
//! Why a find does not take another flow's entry: an entry names a flow only together with the key, and the key
//! changes only while the entry is `CLAIMED`. Let the loads be *K*, *E*, *K*, *E*, with *E* another flow's. Then
//! the way was given away between the first two loads, back to *K*'s flow between the next two, and away again, to
//! a flow with the same listener, backend and generation, between the last two: three claims between four
//! adjacent loads of one cache line. Measured in the kernel, two CPUs that fight for one line with 16 flows (the
//! race in lb-ebpf's `testing`): with the first half alone 161,525 of 200 million finds were wrong, without the
//! last load 7 of 600 million, with all four 0 of 600 million.
//!
//! A way never becomes free again, since that would hide flows that found the line full and live in its
//! neighbour: a way whose flow is forgotten is *vacant*.

use crate::bits::{u8_at, u16_at};
use crate::{BackendIndex, ListenerId, LoadOrder, Tick, Word};

/// What a way is used for. A larger one is not more than a smaller one, but all from [`NEW`](Self::NEW) on have
/// a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct State(u8);

impl State {
    /// Nothing, and never was.
    pub const FREE: Self = Self(0);
    /// Nothing any more.
    pub const VACANT: Self = Self(1);
    /// Its key is being written.
    pub const CLAIMED: Self = Self(2);
    /// A flow that has sent one packet, which anybody can forge.
    pub const NEW: Self = Self(3);
    /// A flow that has sent more.
    pub const CONFIRMED: Self = Self(4);
    /// A TCP flow whose client has sent FIN or RST.
    pub const CLOSING: Self = Self(5);
}

/// A way's second word: listener 16, backend 20 (of which 16 are used), generation 8, state 4, deadline 16. The
/// listener is 0 unless there is a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entry(u64);

impl Entry {
    /// A way that never had a flow.
    pub const FREE: Self = Self(0);
    /// A way whose key is being written.
    pub const CLAIMED: Self = Self((State::CLAIMED.0 as u64) << 16);
    /// A way whose flow is forgotten.
    pub const VACANT: Self = Self((State::VACANT.0 as u64) << 16);

    /// A flow of `listener` that was given to `backend` in its life `generation`.
    #[inline(always)]
    pub fn new(
        listener: ListenerId,
        backend: BackendIndex,
        generation: u8,
        state: State,
        deadline: Tick,
    ) -> Self {
        let (listener, backend) = (u64::from(listener.0) << 48, u64::from(backend.0) << 28);
        let (generation, state) = (u64::from(generation) << 20, u64::from(state.0) << 16);
        Self(listener | backend | generation | state | u64::from(deadline.0))
    }

    /// The entry that a word of memory is.
    #[inline(always)]
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Whose flow it is; 0 if there is none.
    #[inline(always)]
    pub fn listener(self) -> ListenerId {
        ListenerId(u16_at(self.0, 48))
    }

    /// Where its packets go.
    #[inline(always)]
    pub fn backend(self) -> BackendIndex {
        BackendIndex(u16_at(self.0, 28))
    }

    /// Which life of the backend it was given to.
    #[inline(always)]
    pub fn generation(self) -> u8 {
        u8_at(self.0, 20)
    }

    /// How far the flow has got.
    #[inline(always)]
    pub fn state(self) -> State {
        State(u8_at(self.0, 16) & 0xf)
    }

    /// When it is forgotten.
    #[inline(always)]
    pub fn deadline(self) -> Tick {
        Tick(u16_at(self.0, 0))
    }

    /// Whether both name the same listener, backend and generation.
    #[inline(always)]
    fn names_the_same_as(self, other: Self) -> bool {
        (self.0 ^ other.0) >> 20 == 0
    }

    /// Whether there is a flow, expired or not.
    #[inline(always)]
    pub fn has_flow(self) -> bool {
        self.state() >= State::NEW
    }

    /// The same flow in another state, to be forgotten at another moment.
    #[inline(always)]
    #[must_use]
    pub fn moved_to(self, state: State, deadline: Tick) -> Self {
        Self(self.0 & !0xf_ffff | u64::from(state.0) << 16 | u64::from(deadline.0))
    }

    /// How readily the way is given to a new flow.
    #[inline(always)]
    fn readiness(self, now: Tick) -> Readiness {
        let left = self.deadline().left(now);
        let expired = left >> 15;
        let rank = Readiness::RANKS >> ((u16::from(self.state().0) | expired << 3) * 2) & 3;
        Readiness(rank << 16 | u32::from(Tick::MOST.wrapping_sub(left)))
    }
}

/// How readily a way is given up: rank 2, then 16 bits of age. The larger, the readier; of the same rank the
/// oldest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Readiness(u32);

/// What a way is to a flow that needs one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Rank(u32);

impl Rank {
    /// Its flow is alive.
    pub const NEVER: Self = Self(0);
    /// Its flow has had one packet, which may be forged.
    pub const NEW: Self = Self(1);
    /// Its flow's client has said good-bye.
    pub const CLOSING: Self = Self(2);
    /// It has no flow, or one that has expired.
    pub const EMPTY: Self = Self(3);
}

impl Readiness {
    /// Two bits of rank for each state, alive and then expired. A table instead of branches: the verifier
    /// follows all paths, and branches on eight ways in a row are too many.
    const RANKS: u32 = {
        const fn of(state: State, alive: Rank, expired: Rank) -> u32 {
            alive.0 << (state.0 * 2) | expired.0 << (state.0 * 2 + 16)
        }
        of(State::FREE, Rank::EMPTY, Rank::EMPTY)
            | of(State::VACANT, Rank::EMPTY, Rank::EMPTY)
            | of(State::CLAIMED, Rank::NEVER, Rank::NEVER)
            | of(State::NEW, Rank::NEW, Rank::EMPTY)
            | of(State::CONFIRMED, Rank::NEVER, Rank::EMPTY)
            | of(State::CLOSING, Rank::CLOSING, Rank::EMPTY)
    };

    /// What the way is.
    #[inline(always)]
    pub fn rank(self) -> Rank {
        Rank(self.0 >> 16)
    }
}

/// A place for a flow.
#[derive(Debug, Default)]
#[repr(C)]
pub struct Way {
    key: Word,
    entry: Word,
}

/// A way with what was seen in it.
#[derive(Debug, Clone, Copy)]
pub struct Seen<'a> {
    line: &'a Line,
    /// Which of the line's ways. Not its address: four of those take all the registers of BPF.
    place: usize,
    /// What: every change is decided on this.
    pub entry: Entry,
}

/// Another CPU or the sweeper has changed the way since it was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Lost;

impl Way {
    /// The entry of this flow, if the way has it.
    #[inline(always)]
    fn find(&self, key: u64, listener: ListenerId, order: LoadOrder) -> Option<Entry> {
        let before = self.key.load();
        if before != key {
            return None;
        }
        let entry = Entry(self.entry.load_after(before, order));
        let after = self.key.load_after(entry.0, order);
        let again = Entry(self.entry.load_after(after, order));
        (entry.listener() == listener && after == key && entry.names_the_same_as(again)).then_some(entry)
    }
}

impl<'a> Seen<'a> {
    #[inline(always)]
    fn way(self) -> &'a Way {
        let [first, ..] = &self.line.ways;
        self.line.ways.get(self.place % self.line.ways.len()).unwrap_or(first)
    }

    /// Puts a flow into the way.
    #[inline(always)]
    pub fn insert(self, key: u64, entry: Entry) -> Result<(), Lost> {
        // A claim of a claimed way would succeed, and two would write one key.
        if self.entry == Entry::CLAIMED {
            return Err(Lost);
        }
        let way = self.way();
        way.entry.compare_exchange(self.entry.0, Entry::CLAIMED.0).map_err(|_instead| Lost)?;
        way.key.store(key);
        way.entry.swap(entry.0);
        Ok(())
    }

    /// Moves the flow on.
    #[inline(always)]
    pub fn advance(self, entry: Entry) -> Result<(), Lost> {
        self.way().entry.compare_exchange(self.entry.0, entry.0).map_err(|_instead| Lost)
    }

    /// Forgets the flow.
    pub fn vacate(self) -> Result<(), Lost> {
        self.advance(Entry::VACANT)
    }
}

/// The ways that are looked through together: a cache line.
#[derive(Debug, Default)]
#[repr(C, align(64))]
pub struct Line {
    ways: [Way; 4],
}

const _: () = assert!(size_of::<Line>() == 64);

impl Line {
    /// Flows that a line holds.
    pub const WAYS: u32 = 4;

    /// The flow of this key and listener, expired or not; a way without a flow if there is none. (Not an
    /// `Option`: what that leaves undefined the verifier does not let pass.)
    #[inline(always)]
    pub fn find(&self, key: u64, listener: ListenerId, order: LoadOrder) -> Seen<'_> {
        for (place, way) in self.ways.iter().enumerate() {
            if let Some(entry) = way.find(key, listener, order) {
                return Seen { line: self, place, entry };
            }
        }
        Seen { line: self, place: 0, entry: Entry::FREE }
    }

    /// Whether flows of this line may live in its neighbour: no way is free.
    #[inline(always)]
    pub fn overflows(&self) -> bool {
        self.ways().all(|seen| seen.entry.state() != State::FREE)
    }

    /// The way that is given up most readily, and how readily: one of rank [`NEVER`](Rank::NEVER) must be left
    /// alone.
    #[inline(always)]
    pub fn readiest(&self, now: Tick) -> (Seen<'_>, Readiness) {
        let mut readiest = Seen { line: self, place: 0, entry: Entry::CLAIMED };
        let mut most = Readiness(0);
        for seen in self.ways() {
            let readiness = seen.entry.readiness(now);
            if readiness > most {
                (readiest, most) = (seen, readiness);
            }
        }
        (readiest, most)
    }

    /// All ways, each as it is when the iterator comes to it.
    #[inline(always)]
    pub fn ways(&self) -> impl Iterator<Item = Seen<'_>> {
        let seen = |(place, way): (usize, &Way)| Seen { line: self, place, entry: Entry(way.entry.load()) };
        self.ways.iter().enumerate().map(seen)
    }
}

/// The index of the line that takes what a full line cannot.
#[inline(always)]
pub fn neighbour(line: u32) -> u32 {
    line ^ 1
}

#[cfg(test)]
mod tests;
