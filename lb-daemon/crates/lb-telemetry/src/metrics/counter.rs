//! Numbers that one thread writes and any thread reads.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows. One thread writes it, so that an addition is a load and a store, without a locked
/// instruction; should two threads write, counts are lost and nothing else happens.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.0.store(self.get().wrapping_add(n), Ordering::Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A number that rises and falls, with one writer as a [`Counter`] has.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Replaces the number.
    pub fn set(&self, n: u64) {
        self.0.store(n, Ordering::Relaxed);
    }

    /// Adds `n`.
    pub fn add(&self, n: u64) {
        self.set(self.get().saturating_add(n));
    }

    /// Takes `n` away; the number does not fall below zero.
    pub fn sub(&self, n: u64) {
        self.set(self.get().saturating_sub(n));
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_thread_reads_all_that_one_thread_wrote() {
        let (counter, gauge) = (Counter::default(), Gauge::default());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for _ in 0..1000 {
                    counter.add(3);
                    gauge.add(2);
                    gauge.sub(1);
                }
            });
        });
        assert_eq!((counter.get(), gauge.get()), (3000, 1000));
        gauge.sub(2000);
        assert_eq!(gauge.get(), 0);
        gauge.set(7);
        assert_eq!(gauge.get(), 7);
    }
}
