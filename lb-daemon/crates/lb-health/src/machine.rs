//! From single results to a verdict: a pure state machine; time and chance come in as arguments.

use std::time::{Duration, Instant};

use lb_model::{Health, HealthCheck};

/// What one probe said of its backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The backend is fine.
    Good,
    /// It is not.
    Bad,
}

impl Outcome {
    fn verdict(self) -> Health {
        match self {
            Self::Good => Health::Healthy,
            Self::Bad => Health::Unhealthy,
        }
    }
}

/// A change of the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Transition {
    /// The verdict so far.
    pub from: Health,
    /// The verdict from now on.
    pub to: Health,
}

/// The verdict on one backend, and what has been seen since.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    health: Health,
    /// When the verdict last changed.
    since: Option<Instant>,
    /// The latest outcome, and how many times in a row it was seen. `None`: nothing yet, so the next decides at once.
    row: Option<(Outcome, u32)>,
}

impl Machine {
    /// For a backend that has another check from now on: the verdict stays until the first result, which decides at
    /// once, whatever it is.
    pub(crate) fn rechecked(&self) -> Self {
        Self { row: None, ..*self }
    }

    /// Takes one result in. Returns the change of the verdict, if it made one.
    pub fn observe(&mut self, outcome: Outcome, check: &HealthCheck, now: Instant) -> Option<Transition> {
        let needed = match (self.row, outcome) {
            (None, _) => 1,
            (Some(_), Outcome::Good) => check.rise.get(),
            (Some(_), Outcome::Bad) => check.fall.get(),
        };
        let in_a_row = match self.row {
            Some((last, n)) if last == outcome => n.saturating_add(1),
            Some(_) | None => 1,
        };
        self.row = Some((outcome, in_a_row));
        let (from, to) = (self.health, outcome.verdict());
        if from == to || in_a_row < needed {
            return None;
        }
        self.health = to;
        self.since = Some(now);
        Some(Transition { from, to })
    }

    /// From the start of the last probe to the start of the next. `chance` is uniform over its whole range.
    pub fn next_interval(&self, check: &HealthCheck, chance: u32) -> Duration {
        let interval = if self.in_transition() { check.fast_interval } else { check.interval };
        check.jitter.apply(interval, chance)
    }

    /// Whether the latest result contradicts the verdict.
    fn in_transition(&self) -> bool {
        self.row.is_some_and(|(outcome, _)| outcome.verdict() != self.health)
    }

    /// The verdict.
    pub fn health(&self) -> Health {
        self.health
    }

    /// When the verdict last changed.
    pub fn since(&self) -> Option<Instant> {
        self.since
    }

    /// The latest outcome, and how many times in a row it was seen.
    pub fn in_a_row(&self) -> Option<(Outcome, u32)> {
        self.row
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use lb_model::{Jitter, Probe};
    use proptest::prelude::*;

    use super::*;

    fn check(rise: u32, fall: u32) -> HealthCheck {
        let (rise, fall) = (NonZeroU32::new(rise).unwrap(), NonZeroU32::new(fall).unwrap());
        HealthCheck { rise, fall, jitter: Jitter::NONE, ..HealthCheck::new(Probe::Tcp) }
    }

    fn now() -> Instant {
        tokio::time::Instant::now().into_std()
    }

    /// Feeds `results` (`+` good, `-` bad) and returns the verdict after each: `?`, `U` (up) or `D` (down).
    fn verdicts(machine: &mut Machine, check: &HealthCheck, results: &str) -> String {
        let step = |result| {
            machine.observe(if result == '+' { Outcome::Good } else { Outcome::Bad }, check, now());
            match machine.health() {
                Health::Unknown => '?',
                Health::Healthy => 'U',
                Health::Unhealthy => 'D',
            }
        };
        results.chars().map(step).collect()
    }

    #[test]
    fn the_first_result_decides_at_once() {
        assert_eq!(verdicts(&mut Machine::default(), &check(9, 9), "+"), "U");
        assert_eq!(verdicts(&mut Machine::default(), &check(9, 9), "-"), "D");
    }

    #[test]
    fn rise_and_fall_are_exact_and_count_in_a_row() {
        let mut machine = Machine::default();
        assert_eq!(verdicts(&mut machine, &check(2, 3), "+--+---+-++-"), "UUUUUUDDDDUU");
    }

    #[test]
    fn flapping_faster_than_rise_and_fall_changes_nothing() {
        let mut machine = Machine::default();
        assert_eq!(verdicts(&mut machine, &check(2, 2), "+-+-+-+-"), "UUUUUUUU");
        // The second bad one in a row, at last.
        assert_eq!(verdicts(&mut machine, &check(2, 2), "-+-+-+-+"), "DDDDDDDD");
    }

    #[test]
    fn a_contrary_result_makes_it_look_faster_until_the_verdict() {
        let check = check(2, 2);
        let mut machine = Machine::default();
        let mut fast = |results| {
            verdicts(&mut machine, &check, results);
            machine.next_interval(&check, 0) == check.fast_interval
        };
        let seen: Vec<_> = ["+", "-", "+", "-", "-", "+", "+"].into_iter().map(&mut fast).collect();
        assert_eq!(seen, [false, true, false, true, false, true, false]);
    }

    #[test]
    fn another_check_keeps_the_verdict_until_its_first_result() {
        let check = check(2, 3);
        let mut down = Machine::default();
        verdicts(&mut down, &check, "-");
        let mut again = down.rechecked();
        assert_eq!(again.health(), Health::Unhealthy);
        assert_eq!(verdicts(&mut again, &check, "+"), "U");
    }

    proptest! {
        /// Against the plain meaning: a verdict falls when the last `fall` results were all bad, and so on.
        #[test]
        fn agrees_with_looking_at_the_history(
            rise in 1u32..5, fall in 1u32..5, results in prop::collection::vec(any::<bool>(), 1..60),
        ) {
            let check = check(rise, fall);
            let mut machine = Machine::default();
            let mut expected = Health::Unknown;
            for seen in 1..=results.len() {
                let last = |n: u32, result: bool| {
                    let n = n as usize;
                    n <= seen && results[seen - n..seen].iter().all(|&r| r == result)
                };
                let before = expected;
                if seen == 1 {
                    expected = if results[0] { Health::Healthy } else { Health::Unhealthy };
                } else if last(rise, true) {
                    expected = Health::Healthy;
                } else if last(fall, false) {
                    expected = Health::Unhealthy;
                }
                let outcome = if results[seen - 1] { Outcome::Good } else { Outcome::Bad };
                let transition = machine.observe(outcome, &check, now());
                prop_assert_eq!(machine.health(), expected);
                let change = (before != expected).then_some(Transition { from: before, to: expected });
                prop_assert_eq!(transition, change);
            }
        }
    }
}
