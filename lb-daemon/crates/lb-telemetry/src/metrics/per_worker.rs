//! One value per worker, apart from each other in memory.

use std::iter::once;

use crossbeam_utils::CachePadded;

use crate::metrics::Counter;

/// One `T` for each worker to write. They share no cache line: workers do not slow each other down.
#[derive(Debug)]
pub struct PerWorker<T> {
    others: Box<[CachePadded<T>]>,
    last: CachePadded<T>,
}

impl<T: Default> PerWorker<T> {
    /// One for each of `workers` workers, and one at least.
    pub fn new(workers: usize) -> Self {
        let others = (1..workers).map(|_| CachePadded::default()).collect();
        Self { others, last: CachePadded::default() }
    }
}

impl<T> PerWorker<T> {
    /// The one of worker `worker`. An index out of range gets the last one, where counts may then be lost.
    pub fn of(&self, worker: usize) -> &T {
        self.others.get(worker).unwrap_or(&self.last)
    }

    /// All of them, by worker.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.others.iter().chain(once(&self.last)).map(|padded| &**padded)
    }

    /// The sum of a counter over all workers.
    pub fn total(&self, counter: impl Fn(&T) -> &Counter) -> u64 {
        self.iter().map(|one| counter(one).get()).fold(0, u64::wrapping_add)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_worker_has_its_own_and_strangers_get_the_last() {
        let counters = PerWorker::<Counter>::new(3);
        for (worker, n) in [(0, 1), (1, 10), (2, 100), (3, 1000), (usize::MAX, 1000)] {
            counters.of(worker).add(n);
        }
        assert_eq!(counters.iter().map(Counter::get).collect::<Vec<_>>(), [1, 10, 2100]);
        assert_eq!(counters.total(|counter| counter), 2111);
    }

    #[test]
    fn there_is_always_one() {
        assert_eq!(PerWorker::<Counter>::new(0).iter().count(), 1);
        assert_eq!(PerWorker::<Counter>::new(1).iter().count(), 1);
    }

    #[test]
    fn no_two_share_a_cache_line() {
        let counters = PerWorker::<Counter>::new(4);
        let mut lines: Vec<_> = counters.iter().map(|c| std::ptr::from_ref(c).addr() / 64).collect();
        lines.sort_unstable();
        lines.dedup();
        assert_eq!(lines.len(), 4);
    }
}
