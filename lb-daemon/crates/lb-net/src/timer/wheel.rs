//! The wheel itself: pure, time comes in as ticks.
//!
//! A hashed wheel (Varghese and Lauck, SOSP 1987, scheme 6) whose entries are looked at lazily: an entry names a slot, and
//! the slot knows its real deadline.

use std::task::{Context, Poll, Waker};

/// A point in time, in units of the wheel's resolution since its start.
pub(super) type Tick = u64;

/// Buckets of the wheel; a deadline further away than this is looked at once per turn.
const BUCKETS: u16 = 512;

fn bucket(tick: Tick) -> usize {
    usize::try_from(tick % Tick::from(BUCKETS)).unwrap_or(0)
}

/// A timer's place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Slot(u32);

#[derive(Debug)]
pub(super) struct Wheel {
    /// All deadlines up to here have fired.
    now: Tick,
    entries: Vec<Entry>,
    free: Vec<Slot>,
    /// Which slots to look at when, by `tick % BUCKETS`.
    buckets: Box<[Vec<(Slot, Tick)>]>,
    queued: usize,
}

#[derive(Debug, Default)]
struct Entry {
    deadline: Option<Tick>,
    /// The earliest time for which the slot is queued. Kept when the slot is closed: who opens it next reuses the queueing,
    /// so that short connections do not fill the buckets.
    queued: Option<Tick>,
    waker: Option<Waker>,
}

impl Default for Wheel {
    fn default() -> Self {
        let buckets = std::iter::repeat_with(Vec::new).take(BUCKETS.into()).collect();
        Self { now: 0, entries: vec![], free: vec![], buckets, queued: 0 }
    }
}

impl Wheel {
    /// Whether nothing is queued, so that time need not be told.
    pub(super) fn is_empty(&self) -> bool {
        self.queued == 0
    }

    pub(super) fn open(&mut self) -> Slot {
        self.free.pop().unwrap_or_else(|| {
            self.entries.push(Entry::default());
            // A slot belongs to a connection, which has a descriptor, which is an i32.
            Slot(u32::try_from(self.entries.len() - 1).unwrap_or(u32::MAX))
        })
    }

    pub(super) fn close(&mut self, slot: Slot) {
        if let Some(entry) = self.entry(slot) {
            entry.deadline = None;
            entry.waker = None;
            self.free.push(slot);
        }
    }

    pub(super) fn arm(&mut self, slot: Slot, deadline: Tick) {
        let Some(entry) = self.entry(slot) else { return };
        entry.deadline = Some(deadline);
        if entry.queued.is_none_or(|queued| deadline < queued) {
            entry.queued = Some(deadline);
            self.push(slot, deadline);
        }
    }

    pub(super) fn disarm(&mut self, slot: Slot) {
        if let Some(entry) = self.entry(slot) {
            entry.deadline = None;
        }
    }

    pub(super) fn poll(&mut self, slot: Slot, cx: &Context<'_>) -> Poll<()> {
        let now = self.now;
        let Some(entry) = self.entry(slot) else { return Poll::Pending };
        if entry.deadline.is_some_and(|deadline| deadline <= now) {
            return Poll::Ready(());
        }
        // A connection's task does not change: cloned once in its life.
        if entry.waker.as_ref().is_none_or(|waker| !waker.will_wake(cx.waker())) {
            entry.waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Wakes all that have been polled, whatever their deadline.
    pub(super) fn wake_all(&self) {
        self.entries.iter().filter_map(|entry| entry.waker.as_ref()).for_each(Waker::wake_by_ref);
    }

    /// Time is `now`: wakes whose deadline has passed.
    pub(super) fn advance(&mut self, now: Tick) {
        // Every bucket at most once, however long nobody told the time.
        let first = (self.now + 1).max((now + 1).saturating_sub(BUCKETS.into()));
        self.now = self.now.max(now);
        for tick in first..=now {
            let Some(bucket) = self.buckets.get_mut(bucket(tick)) else { continue };
            let due = std::mem::take(bucket);
            self.queued -= due.len();
            for (slot, at) in due {
                self.look(slot, at);
            }
        }
    }

    fn look(&mut self, slot: Slot, at: Tick) {
        let now = self.now;
        let Some(entry) = self.entry(slot) else { return };
        if entry.queued != Some(at) {
            return; // queued again for an earlier time since
        }
        entry.queued = entry.deadline.filter(|&deadline| deadline > now);
        match entry.queued {
            Some(deadline) => self.push(slot, deadline),
            None if entry.deadline.is_some() => entry.waker.iter().for_each(Waker::wake_by_ref),
            None => {}
        }
    }

    fn push(&mut self, slot: Slot, at: Tick) {
        // What is due already is found by the next look at the time.
        if let Some(bucket) = self.buckets.get_mut(bucket(at.max(self.now + 1))) {
            bucket.push((slot, at));
            self.queued += 1;
        }
    }

    fn entry(&mut self, slot: Slot) -> Option<&mut Entry> {
        self.entries.get_mut(slot.0 as usize)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};
    use std::task::Wake;

    use proptest::prelude::*;

    use super::*;

    #[derive(Default)]
    struct Woken(AtomicU32);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Arm(usize, Tick),
        Disarm(usize),
        Reopen(usize),
        Advance(Tick),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0usize..4, 0u64..2000).prop_map(|(i, after)| Step::Arm(i, after)),
            (0usize..4).prop_map(Step::Disarm),
            (0usize..4).prop_map(Step::Reopen),
            (1u64..1500).prop_map(Step::Advance),
            Just(Step::Advance(1)),
        ]
    }

    proptest! {
        /// Against a model that keeps plain deadlines: a timer is ready exactly when its deadline has passed, and its task
        /// was woken for it.
        #[test]
        fn fires_exactly_at_the_deadline(steps in prop::collection::vec(step(), 0..100)) {
            let mut wheel = Wheel::default();
            let mut slots: Vec<_> = (0..4).map(|_| wheel.open()).collect();
            let woken: Vec<_> = (0..4).map(|_| Arc::new(Woken::default())).collect();
            let mut deadlines = [None; 4];
            let mut now = 0;
            for step in steps {
                let asleep: Vec<_> = (0..4).map(|i| {
                    let waker = Arc::clone(&woken[i]).into();
                    wheel.poll(slots[i], &Context::from_waker(&waker)).is_pending()
                }).collect();
                woken.iter().for_each(|w| w.0.store(0, Ordering::Relaxed));
                match step {
                    Step::Arm(i, after) => {
                        deadlines[i] = Some(now + after + 1);
                        wheel.arm(slots[i], now + after + 1);
                    }
                    Step::Disarm(i) => {
                        deadlines[i] = None;
                        wheel.disarm(slots[i]);
                    }
                    Step::Reopen(i) => {
                        deadlines[i] = None;
                        wheel.close(slots[i]);
                        slots[i] = wheel.open();
                    }
                    Step::Advance(ticks) => {
                        now += ticks;
                        wheel.advance(now);
                    }
                }
                for i in 0..4 {
                    let due = deadlines[i].is_some_and(|deadline| deadline <= now);
                    if due && asleep[i] {
                        prop_assert!(woken[i].0.load(Ordering::Relaxed) > 0, "timer {} slept on", i);
                    }
                    let waker = Arc::clone(&woken[i]).into();
                    prop_assert_eq!(wheel.poll(slots[i], &Context::from_waker(&waker)).is_ready(), due);
                }
            }
        }
    }

    #[test]
    fn short_connections_do_not_fill_the_buckets() {
        let mut wheel = Wheel::default();
        for now in 1..1000 {
            let slot = wheel.open();
            wheel.arm(slot, now + 6000);
            wheel.close(slot);
        }
        assert!(wheel.queued <= 1, "{}", wheel.queued);
    }
}
