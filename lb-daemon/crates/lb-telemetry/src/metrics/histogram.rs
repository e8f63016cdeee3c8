//! How durations are distributed, in fixed buckets.

use std::time::Duration;

use crate::metrics::Counter;

/// Counts durations by size. Everything is in whole microseconds, so that observing needs no float; one writer, as a
/// [`Counter`] has.
#[derive(Debug)]
pub struct Histogram<const BUCKETS: usize> {
    bounds: &'static [u64; BUCKETS],
    /// How many durations are at most the bound of this bucket, and above the one before.
    buckets: [Counter; BUCKETS],
    /// How many are above all bounds.
    above: Counter,
    sum: Counter,
}

impl<const BUCKETS: usize> Histogram<BUCKETS> {
    /// An empty histogram. `bounds` are the largest microseconds of each bucket, in ascending order.
    pub(crate) fn new(bounds: &'static [u64; BUCKETS]) -> Self {
        let buckets = std::array::from_fn(|_| Counter::default());
        Self { bounds, buckets, above: Counter::default(), sum: Counter::default() }
    }

    /// Counts one duration.
    pub fn observe(&self, duration: Duration) {
        let micros = u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        let bucket = self.bounds.partition_point(|&bound| bound < micros);
        self.buckets.get(bucket).unwrap_or(&self.above).add(1);
        self.sum.add(micros);
    }

    /// What it has counted until now.
    pub(crate) fn read(&self) -> Distribution<BUCKETS> {
        Distribution {
            bounds: self.bounds,
            buckets: self.buckets.each_ref().map(Counter::get),
            above: self.above.get(),
            sum: self.sum.get(),
        }
    }
}

/// What some histograms have counted.
#[derive(Debug)]
pub(crate) struct Distribution<const BUCKETS: usize> {
    bounds: &'static [u64; BUCKETS],
    buckets: [u64; BUCKETS],
    above: u64,
    sum: u64,
}

impl<const BUCKETS: usize> Distribution<BUCKETS> {
    /// What both have counted, which have the same bounds.
    pub(crate) fn merge(mut self, other: Self) -> Self {
        for (bucket, other) in self.buckets.iter_mut().zip(other.buckets) {
            *bucket += other;
        }
        self.above += other.above;
        self.sum = self.sum.wrapping_add(other.sum);
        self
    }

    /// Each bound, and how many durations were at most as long.
    pub(crate) fn at_most(&self) -> impl Iterator<Item = (Duration, u64)> {
        self.bounds.iter().zip(self.buckets).scan(0, |at_most, (&bound, count)| {
            *at_most += count;
            Some((Duration::from_micros(bound), *at_most))
        })
    }

    /// How many durations there were.
    pub(crate) fn count(&self) -> u64 {
        self.buckets.iter().sum::<u64>() + self.above
    }

    /// How long all of them were together.
    pub(crate) fn sum(&self) -> Duration {
        Duration::from_micros(self.sum)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: [u64; 3] = [100, 1_000, 60_000_000];

    fn micros(n: u64) -> Duration {
        Duration::from_micros(n)
    }

    fn counts<const BUCKETS: usize>(distribution: &Distribution<BUCKETS>) -> Vec<u64> {
        distribution.at_most().map(|(_, count)| count).collect()
    }

    #[test]
    fn bounds_belong_to_their_bucket() {
        let histogram = Histogram::new(&BOUNDS);
        for n in [0, 100, 101, 1_000, 60_000_000, 60_000_001] {
            histogram.observe(micros(n));
        }
        let distribution = histogram.read();
        assert_eq!(counts(&distribution), [2, 4, 5]);
        assert_eq!((distribution.count(), distribution.sum()), (6, micros(120_001_202)));
    }

    #[test]
    fn the_longest_duration_there_is_is_counted() {
        let histogram = Histogram::new(&BOUNDS);
        histogram.observe(Duration::MAX);
        assert_eq!((counts(&histogram.read()), histogram.read().count()), (vec![0; 3], 1));
    }

    proptest! {
        #[test]
        fn a_distribution_is_that_of_all_observations(
            workers in prop::collection::vec(prop::collection::vec(0..100_000_000_u64, 0..20), 1..4),
        ) {
            let each = workers.iter().map(|observed| {
                let histogram = Histogram::new(&BOUNDS);
                observed.iter().for_each(|&n| histogram.observe(micros(n)));
                histogram.read()
            });
            let distribution = each.reduce(Distribution::merge).unwrap();
            let all: Vec<u64> = workers.concat();
            for (bound, count) in distribution.at_most() {
                prop_assert_eq!(count, all.iter().filter(|&&n| micros(n) <= bound).count() as u64);
            }
            prop_assert_eq!(distribution.at_most().count(), BOUNDS.len());
            prop_assert_eq!(distribution.count(), all.len() as u64);
            prop_assert_eq!(distribution.sum(), micros(all.iter().sum()));
        }
    }
}
