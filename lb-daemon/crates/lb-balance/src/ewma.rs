//! How long a backend takes to answer.

use std::time::{Duration, Instant};

/// A moving average that believes bad news at once and good news slowly: a longer sample replaces it, a shorter one
/// pulls it down the more, the longer ago the last sample is. As in Finagle's `PeakEwma`; the weights for samples at
/// irregular intervals are Eckner's, "Algorithms for Unevenly Spaced Time Series" (2012).
///
/// Without news it decays towards zero, so that a backend which was slow, and is avoided for it, is tried again.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct PeakEwma {
    /// `None`: no sample yet.
    last: Option<Average>,
}

/// The average as it was right after a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Average {
    seconds: f64,
    at: Instant,
}

impl PeakEwma {
    /// The time in which the weight of old samples falls to 1/e, 37 %: ten times as slow is forgotten after 23 s.
    pub const DECAY: Duration = Duration::from_secs(10);

    /// Takes in that the backend took `sample` to answer, seen at `now`. Several threads may report in any order.
    pub fn observe(&mut self, sample: Duration, now: Instant) {
        let sample = sample.as_secs_f64();
        self.last = Some(match self.last {
            Some(last) if last.seconds > sample => {
                let kept = last.kept(now);
                Average { seconds: last.seconds * kept + sample * (1.0 - kept), at: last.at.max(now) }
            }
            Some(last) => Average { seconds: sample, at: last.at.max(now) },
            None => Average { seconds: sample, at: now },
        });
    }

    /// The average at `now`; `None` without any sample.
    pub fn value(&self, now: Instant) -> Option<Duration> {
        let seconds = self.last.map(|last| last.seconds * last.kept(now))?;
        Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
    }
}

impl Average {
    /// What is left at `now` of the weight of old samples.
    fn kept(&self, now: Instant) -> f64 {
        let age = now.saturating_duration_since(self.at);
        (-age.as_secs_f64() / PeakEwma::DECAY.as_secs_f64()).exp()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tests::epoch;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn nothing_is_known_before_the_first_sample() {
        assert_eq!(PeakEwma::default().value(epoch()), None);
    }

    #[test]
    fn one_long_sample_counts_at_once_and_short_ones_pull_down_slowly() {
        let now = epoch();
        let mut ewma = PeakEwma::default();
        ewma.observe(MS, now);
        ewma.observe(100 * MS, now + MS);
        assert_eq!(ewma.value(now + MS), Some(100 * MS));
        ewma.observe(MS, now + 2 * MS);
        assert!(ewma.value(now + 2 * MS) > Some(99 * MS));
        (1..=100).for_each(|i| ewma.observe(MS, now + i * PeakEwma::DECAY / 10));
        assert!(ewma.value(now + 10 * PeakEwma::DECAY) < Some(2 * MS));
    }

    #[test]
    fn without_news_it_decays() {
        let now = epoch();
        let mut ewma = PeakEwma::default();
        ewma.observe(1000 * MS, now);
        let after = |decays: u32| ewma.value(now + decays * PeakEwma::DECAY).unwrap().as_secs_f64();
        assert!((after(1) - (-1f64).exp()).abs() < 1e-6, "{}", after(1));
        assert!((after(2) - (-2f64).exp()).abs() < 1e-6, "{}", after(2));
        assert!(after(100) < 1e-6);
    }

    proptest! {
        #[test]
        fn lies_between_the_last_and_the_longest_sample_whatever_the_order(
            samples in prop::collection::vec((any::<u64>(), 0u64..100_000), 1..20),
        ) {
            let start = epoch();
            let mut ewma = PeakEwma::default();
            let mut longest = Duration::ZERO;
            for (nanos, at) in samples {
                let (sample, now) = (Duration::from_nanos(nanos), start + Duration::from_millis(at));
                ewma.observe(sample, now);
                longest = longest.max(sample);
                let last = ewma.last.unwrap().seconds;
                prop_assert!(last >= sample.as_secs_f64() * 0.999_999, "{} after {:?}", last, sample);
                prop_assert!(last <= longest.as_secs_f64() * 1.000_001, "{} of {:?}", last, longest);
                prop_assert!(ewma.value(now + PeakEwma::DECAY) <= ewma.value(now));
            }
        }

        #[test]
        fn no_sample_is_too_long(seconds in any::<u64>(), again in any::<u64>()) {
            let mut ewma = PeakEwma::default();
            ewma.observe(Duration::new(seconds, 999_999_999), epoch());
            ewma.observe(Duration::new(again, 0), epoch());
            prop_assert!(ewma.value(epoch()) >= ewma.value(epoch() + PeakEwma::DECAY));
        }
    }
}
