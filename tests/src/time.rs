//! Deadlines, and the one place that polls.

use std::time::{Duration, Instant};

/// How long [`eventually`] rests between two looks.
const POLL: Duration = Duration::from_millis(5);

/// A moment by which something has to have happened.
#[derive(Debug, Clone, Copy)]
pub struct Deadline(Instant);

impl Deadline {
    /// The moment `wait` from now.
    #[expect(clippy::disallowed_methods, reason = "the harness is a shell: it waits in real time")]
    pub fn after(wait: Duration) -> Self {
        Self(Instant::now() + wait)
    }

    /// Time left, zero once it has passed.
    #[expect(clippy::disallowed_methods, reason = "the harness is a shell: it waits in real time")]
    pub fn remaining(self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Whether it has passed.
    pub fn passed(self) -> bool {
        self.remaining().is_zero()
    }
}

/// Waits until `condition` holds, and panics with `what` if that takes longer than `within`. For what cannot be blocked
/// on, such as files in /proc; anything else has [`Watched`](crate::Watched) or a socket with a timeout.
#[track_caller]
pub fn eventually(within: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Deadline::after(within);
    while !condition() {
        assert!(!deadline.passed(), "{what}: not within {within:?}");
        rest(POLL);
    }
}

/// Lets time pass: for what is measured over an interval, and to see that something does not happen.
pub fn observe(interval: Duration) {
    rest(interval);
}

#[expect(clippy::disallowed_methods, reason = "for what cannot be blocked on, and intervals to measure over")]
fn rest(pause: Duration) {
    std::thread::sleep(pause);
}
