//! When to look at which flow.
//!
//! A hashed wheel (Varghese and Lauck, SOSP 1987, scheme 6) whose slots are looked at lazily: a datagram does not
//! touch it. When a slot's time has come, who looks decides whether it is really due, and else arms it again.
//! Unlike lb-net's wheel of wakers the buckets are linked lists through an array: a one-shot flow lives for
//! milliseconds with a timeout of a minute, and what it leaves behind must not grow with the rate of queries.

use std::time::{Duration, Instant};

use super::arena::Slot;

/// A point in time, in units of [`Deadlines::GRAIN`] since `start`.
type Tick = u64;

/// Buckets of the wheel; a slot that is due further away than this is looked at once per turn.
const BUCKETS: Tick = 512;

#[derive(Debug)]
pub(super) struct Deadlines {
    start: Instant,
    /// The bucket being looked at; nothing is armed for this time or before.
    seen: Tick,
    /// No bucket before this one has a slot: where to begin looking for one.
    earliest: Tick,
    /// The first slot of each bucket, by `tick % BUCKETS`.
    heads: Box<[Option<Slot>]>,
    /// By slot.
    nodes: Vec<Node>,
    armed: usize,
}

#[derive(Debug, Clone, Copy, Default)]
struct Node {
    /// Which bucket it is in.
    bucket: Option<usize>,
    previous: Option<Slot>,
    next: Option<Slot>,
}

impl Deadlines {
    /// How much later than its deadline a slot may be looked at, if the caller is on time.
    pub(super) const GRAIN: Duration = Duration::from_millis(100);

    pub(super) fn new(start: Instant) -> Self {
        let heads = (0..BUCKETS).map(|_| None).collect();
        Self { start, seen: 0, earliest: 0, heads, nodes: Vec::new(), armed: 0 }
    }

    /// `slot` is to be looked at not later than `deadline`, rounded up; earlier if that is far away, or beyond the
    /// end of time. Replaces what it was armed for.
    pub(super) fn arm(&mut self, slot: Slot, now: Instant, deadline: Option<Instant>) {
        self.disarm(slot);
        if self.armed == 0 {
            self.seen = self.seen.max(self.last_tick(now));
        }
        let tick = deadline.map_or(Tick::MAX, |deadline| self.next_tick(deadline));
        let tick = tick.clamp(self.seen + 1, self.seen + BUCKETS - 1);
        self.earliest = if self.armed == 0 { tick } else { self.earliest.min(tick) };
        self.link(slot, bucket(tick));
    }

    pub(super) fn disarm(&mut self, slot: Slot) {
        let Some(node) = self.nodes.get_mut(slot.index()).map(std::mem::take) else { return };
        let Some(bucket) = node.bucket else { return };
        self.armed -= 1;
        match node.previous.and_then(|previous| self.nodes.get_mut(previous.index())) {
            Some(previous) => previous.next = node.next,
            None => self.set_head(bucket, node.next),
        }
        if let Some(next) = node.next.and_then(|next| self.nodes.get_mut(next.index())) {
            next.previous = node.previous;
        }
    }

    /// Disarms the next slot that is to be looked at.
    pub(super) fn pop(&mut self, now: Instant) -> Option<Slot> {
        let now = self.last_tick(now);
        // Every bucket at most once, however long nobody asked.
        self.seen = self.seen.max(now.saturating_sub(BUCKETS - 1));
        loop {
            if let Some(slot) = self.head(self.seen) {
                self.disarm(slot);
                return Some(slot);
            }
            if self.seen >= now {
                return None;
            }
            self.seen += 1;
        }
    }

    /// When the next slot is to be looked at. Asked after every batch of datagrams, and seldom has to look further than before.
    pub(super) fn next(&mut self) -> Option<Instant> {
        if self.armed == 0 {
            return None;
        }
        let from = self.earliest.max(self.seen);
        self.earliest = (from..self.seen + BUCKETS).find(|&tick| self.head(tick).is_some())?;
        let since = Self::GRAIN.saturating_mul(u32::try_from(self.earliest).unwrap_or(u32::MAX));
        self.start.checked_add(since)
    }

    fn link(&mut self, slot: Slot, bucket: usize) {
        if self.nodes.len() <= slot.index() {
            self.nodes.resize(slot.index() + 1, Node::default());
        }
        let next = self.heads.get(bucket).copied().flatten();
        if let Some(next) = next.and_then(|next| self.nodes.get_mut(next.index())) {
            next.previous = Some(slot);
        }
        if let Some(node) = self.nodes.get_mut(slot.index()) {
            *node = Node { bucket: Some(bucket), previous: None, next };
        }
        self.set_head(bucket, Some(slot));
        self.armed += 1;
    }

    fn head(&self, tick: Tick) -> Option<Slot> {
        self.heads.get(bucket(tick)).copied().flatten()
    }

    fn set_head(&mut self, bucket: usize, slot: Option<Slot>) {
        if let Some(head) = self.heads.get_mut(bucket) {
            *head = slot;
        }
    }

    /// The last tick that has come by `at`.
    fn last_tick(&self, at: Instant) -> Tick {
        tick(self.since_start(at) / Self::GRAIN.as_nanos())
    }

    /// The first tick that is not before `at`.
    fn next_tick(&self, at: Instant) -> Tick {
        tick(self.since_start(at).div_ceil(Self::GRAIN.as_nanos()))
    }

    /// In nanoseconds.
    fn since_start(&self, at: Instant) -> u128 {
        at.saturating_duration_since(self.start).as_nanos()
    }
}

fn tick(ticks: u128) -> Tick {
    Tick::try_from(ticks).unwrap_or(Tick::MAX)
}

fn bucket(tick: Tick) -> usize {
    usize::try_from(tick % BUCKETS).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Debug, Clone)]
    enum Step {
        Arm { slot: u32, after_ms: u64 },
        ArmForEver { slot: u32 },
        Disarm { slot: u32 },
        Wait { ms: u64 },
        WaitForNext,
    }

    fn step() -> impl Strategy<Value = Step> {
        let slot = 0u32..6;
        prop_oneof![
            4 => (slot.clone(), 0u64..200_000).prop_map(|(slot, after_ms)| Step::Arm { slot, after_ms }),
            1 => slot.clone().prop_map(|slot| Step::ArmForEver { slot }),
            1 => slot.prop_map(|slot| Step::Disarm { slot }),
            2 => (0u64..2_000).prop_map(|ms| Step::Wait { ms }),
            1 => (0u64..2_000_000).prop_map(|ms| Step::Wait { ms }),
            4 => Just(Step::WaitForNext),
        ]
    }

    proptest! {
        /// Whoever looks when told, and arms again what is not due yet, is late by less than a grain; and is told
        /// to look as long as anything is armed.
        #[test]
        fn looks_in_time(steps in prop::collection::vec(step(), 0..80)) {
            let start = lb_net::clock::now();
            let mut wheel = Deadlines::new(start);
            let mut armed = BTreeMap::new();
            let mut now = start;
            for step in steps {
                match step {
                    Step::Arm { slot, after_ms } => {
                        let deadline = now + Duration::from_millis(after_ms);
                        armed.insert(slot, Some(deadline));
                        wheel.arm(Slot(slot), now, Some(deadline));
                    }
                    Step::ArmForEver { slot } => {
                        armed.insert(slot, None);
                        wheel.arm(Slot(slot), now, None);
                    }
                    Step::Disarm { slot } => {
                        armed.remove(&slot);
                        wheel.disarm(Slot(slot));
                    }
                    Step::Wait { ms } => now += Duration::from_millis(ms),
                    Step::WaitForNext => now = wheel.next().map_or(now, |next| next.max(now)),
                }
                let mut looks = 0;
                while let Some(Slot(slot)) = wheel.pop(now) {
                    looks += 1;
                    prop_assert!(looks <= 6 * 3, "looks for ever");
                    match armed[&slot] {
                        Some(deadline) if deadline <= now => drop(armed.remove(&slot)),
                        later => wheel.arm(Slot(slot), now, later),
                    }
                }
                for deadline in armed.values().flatten() {
                    prop_assert!(now < *deadline + Deadlines::GRAIN, "overslept");
                }
                prop_assert_eq!(wheel.next().is_some(), !armed.is_empty());
                prop_assert_eq!(wheel.armed, armed.len());
                if let Some(next) = wheel.next() {
                    prop_assert!(next > now, "told to look at once again");
                    for deadline in armed.values().flatten() {
                        prop_assert!(next < *deadline + Deadlines::GRAIN, "told to look too late");
                    }
                }
            }
        }
    }

    #[test]
    fn looks_once_and_not_before_the_deadline() {
        let start = lb_net::clock::now();
        let mut wheel = Deadlines::new(start);
        for after_ms in [1, 99, 100, 101, 30_000, 30_001] {
            let deadline = start + Duration::from_millis(after_ms);
            wheel.arm(Slot(0), start, Some(deadline));
            let next = wheel.next().unwrap();
            assert!(next >= deadline && next < deadline + Deadlines::GRAIN, "{after_ms} ms");
        }
    }

    #[test]
    fn sleeps_until_the_deadline_even_after_a_long_rest() {
        let start = lb_net::clock::now();
        let mut wheel = Deadlines::new(start);
        let now = start + Duration::from_secs(3600);
        let deadline = now + Duration::from_secs(30);
        wheel.arm(Slot(0), now, Some(deadline));
        assert_eq!(wheel.next(), Some(deadline));
    }
}
