//! Back-off of a backend that does not accept connections: a pure state machine, time comes in as an argument.

use std::time::{Duration, Instant};

use lb_model::PassiveHealth;

/// What the connects to one backend have told so far.
#[derive(Debug, Default)]
pub struct Passive {
    /// Failed connects since the last that succeeded.
    failures: u32,
    /// Back-offs since the last connect that succeeded.
    backoffs: u32,
    until: Option<Instant>,
    /// When one last failed, unless one has succeeded since.
    last_failure: Option<Instant>,
}

/// Whether another backend of the pool may back off.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Room {
    /// It may.
    Some,
    /// As many as may back off do.
    None,
}

impl Passive {
    /// A connect failed at `now`. Returns the length of the back-off that this begins, if it begins one. Failures
    /// during a back-off (of connections that were on their way) do not prolong it, and none begins where there is no
    /// `room` for one.
    pub fn failed(&mut self, now: Instant, policy: &PassiveHealth, room: Room) -> Option<Duration> {
        self.last_failure = Some(now);
        if self.backing_off(now) {
            return None;
        }
        self.failures = self.failures.saturating_add(1);
        // One failure right after a back-off is enough for the next.
        if (self.backoffs == 0 && self.failures < policy.failures.get()) || room == Room::None {
            return None;
        }
        let doubled = policy.backoff.saturating_mul(2u32.saturating_pow(self.backoffs));
        let backoff = doubled.min(policy.max_backoff);
        self.backoffs = self.backoffs.saturating_add(1);
        self.until = now.checked_add(backoff);
        Some(backoff)
    }

    /// A connect succeeded: all is forgiven. Returns whether there was anything to forgive.
    pub fn succeeded(&mut self) -> bool {
        let had_failed = self.failures > 0;
        *self = Self::default();
        had_failed
    }

    /// What was sent at `sent` has had time to be refused, and was not: all is forgiven that was before. Returns whether there
    /// was anything to forgive.
    pub fn not_refused(&mut self, sent: Instant) -> bool {
        self.last_failure.is_some_and(|failed| failed < sent) && self.succeeded()
    }

    /// Whether the backend has backed off and no connect has succeeded since.
    pub fn on_probation(&self) -> bool {
        self.backoffs > 0
    }

    /// Ends the running back-off; the next failure begins a longer one.
    pub fn end_back_off(&mut self) {
        self.until = None;
    }

    /// Whether the backend is left alone at `now`.
    pub fn backing_off(&self, now: Instant) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// When the running back-off ends.
    pub fn until(&self, now: Instant) -> Option<Instant> {
        self.until.filter(|&until| now < until)
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use lb_model::Percent;
    use proptest::prelude::*;

    use super::*;

    fn policy(failures: u32) -> PassiveHealth {
        PassiveHealth {
            failures: NonZeroU32::new(failures).unwrap(),
            backoff: Duration::from_secs(1),
            max_backoff: Duration::from_secs(5),
            max_ejected: Percent::ALL,
        }
    }

    fn epoch() -> Instant {
        #[expect(clippy::disallowed_methods, reason = "an Instant cannot be made otherwise")]
        Instant::now()
    }

    #[test]
    fn doubles_up_to_the_longest_and_forgets_on_success() {
        let mut passive = Passive::default();
        let mut now = epoch();
        let mut seen = vec![];
        for _ in 0..5 {
            seen.push(passive.failed(now, &policy(1), Room::Some).unwrap().as_secs());
            assert!(passive.backing_off(now));
            now = passive.until(now).unwrap();
            assert!(!passive.backing_off(now));
        }
        assert_eq!(seen, [1, 2, 4, 5, 5]);
        assert!(passive.succeeded());
        assert_eq!(passive.failed(now, &policy(1), Room::Some), Some(Duration::from_secs(1)));
    }

    #[test]
    fn without_room_the_failures_count_but_nothing_begins() {
        let mut passive = Passive::default();
        let now = epoch();
        assert_eq!(passive.failed(now, &policy(1), Room::None), None);
        assert!(!passive.backing_off(now));
        assert!(passive.failed(now, &policy(1), Room::Some).is_some());
    }

    #[test]
    fn needs_failures_in_a_row() {
        let mut passive = Passive::default();
        let now = epoch();
        assert_eq!(passive.failed(now, &policy(3), Room::Some), None);
        assert_eq!(passive.failed(now, &policy(3), Room::Some), None);
        assert!(passive.succeeded());
        assert_eq!(passive.failed(now, &policy(3), Room::Some), None);
        assert_eq!(passive.failed(now, &policy(3), Room::Some), None);
        assert!(passive.failed(now, &policy(3), Room::Some).is_some());
        assert_eq!(passive.failed(now, &policy(3), Room::Some), None, "late failures do not prolong");
    }

    #[test]
    fn silence_forgives_what_was_before_it() {
        let mut passive = Passive::default();
        let mut now = epoch();
        assert!(!passive.not_refused(now), "nothing to forgive");
        passive.failed(now, &policy(1), Room::Some);
        assert!(!passive.not_refused(now), "nothing was sent since");
        let sent = now + Duration::from_secs(2);
        now = sent + Duration::from_secs(1);
        passive.failed(now, &policy(1), Room::Some);
        assert!(!passive.not_refused(sent), "it may be what was refused");
        assert!(passive.not_refused(now + Duration::from_secs(2)));
        assert_eq!(passive.failed(now, &policy(1), Room::Some), Some(Duration::from_secs(1)), "as at first");
    }

    proptest! {
        #[test]
        fn never_backs_off_longer_than_allowed(events in prop::collection::vec((0u64..4000, any::<bool>()), 0..200)) {
            let mut passive = Passive::default();
            let mut now = epoch();
            for (millis, success) in events {
                now += Duration::from_millis(millis);
                if success {
                    passive.succeeded();
                    prop_assert!(!passive.backing_off(now));
                } else {
                    passive.failed(now, &policy(2), Room::Some);
                }
                prop_assert!(!passive.backing_off(now + policy(2).max_backoff));
            }
        }
    }
}
