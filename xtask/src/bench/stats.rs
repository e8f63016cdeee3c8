//! Order statistics: the median, its interval, and percentiles. Nothing here assumes a distribution.

/// The middle of some figures, with their extremes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    /// The median.
    pub(crate) median: f64,
    /// The least figure.
    pub(crate) min: f64,
    /// The greatest figure.
    pub(crate) max: f64,
}

impl Spread {
    /// The spread of `figures`; `None` of nothing.
    pub(crate) fn of(figures: impl IntoIterator<Item = f64>) -> Option<Self> {
        let sorted = sorted(figures);
        let median = midpoint(&sorted)?;
        Some(Self { median, min: *sorted.first()?, max: *sorted.last()? })
    }
}

/// An interval that holds the true median with at least 95 % confidence, whatever the distribution: the sign test
/// turned around. The k-th least and k-th greatest figure enclose it unless fewer than k of n coin tosses fall on one
/// side. `None` for fewer than six figures, which cannot give that confidence.
pub(crate) fn median_interval(figures: impl IntoIterator<Item = f64>) -> Option<(f64, f64)> {
    let sorted = sorted(figures);
    let n = sorted.len();
    let mut outside = 0.0;
    let mut ways = 1.0;
    let mut rank = 0;
    for k in 0..n / 2 {
        outside += 2.0 * ways / 2_f64.powf(n as f64);
        if outside > 0.05 {
            break;
        }
        rank = k + 1;
        ways *= (n - k) as f64 / (k + 1) as f64;
    }
    let low = sorted.get(rank.checked_sub(1)?)?;
    let high = sorted.get(n - rank)?;
    Some((*low, *high))
}

/// The value below which `share` of the sorted values lie; the type's default of nothing.
pub(crate) fn percentile<T: Copy + Default>(sorted: &[T], share: f64) -> T {
    let beyond = sorted.iter().enumerate().find(|(i, _)| (i + 1) as f64 >= share * sorted.len() as f64);
    beyond.map(|(_, value)| *value).unwrap_or_default()
}

fn sorted(figures: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut sorted: Vec<f64> = figures.into_iter().collect();
    sorted.sort_by(f64::total_cmp);
    sorted
}

fn midpoint(sorted: &[f64]) -> Option<f64> {
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = *sorted.get(sorted.len().checked_sub(1)? / 2)?;
    Some(f64::midpoint(lower, upper))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one_to(n: u32) -> impl Iterator<Item = f64> {
        (1..=n).rev().map(f64::from)
    }

    #[test]
    fn the_median_of_an_even_count_lies_between() {
        assert_eq!(Spread::of(one_to(4)), Some(Spread { median: 2.5, min: 1.0, max: 4.0 }));
        assert_eq!(Spread::of(one_to(5)), Some(Spread { median: 3.0, min: 1.0, max: 5.0 }));
        assert_eq!(Spread::of([]), None);
    }

    /// Ranks as tabulated for the sign test.
    #[test]
    fn the_interval_has_the_tabulated_ranks() {
        assert_eq!(median_interval(one_to(5)), None);
        assert_eq!(median_interval(one_to(6)), Some((1.0, 6.0)));
        assert_eq!(median_interval(one_to(15)), Some((4.0, 12.0)));
        assert_eq!(median_interval(one_to(25)), Some((8.0, 18.0)));
    }

    #[test]
    fn percentiles_are_values_that_occurred() {
        let values: Vec<u32> = (1..=100).collect();
        assert_eq!(percentile(&values, 0.50), 50);
        assert_eq!(percentile(&values, 0.99), 99);
        assert_eq!(percentile(&[7], 0.99), 7);
        assert_eq!(percentile::<u32>(&[], 0.99), 0);
    }
}
