//! The one place of the data path where clocks are read.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// The monotonic clock, to the nanosecond.
pub fn now() -> Instant {
    #[expect(clippy::disallowed_methods, reason = "this is the shell that passes time on")]
    Instant::now()
}

/// The monotonic clock to the kernel's tick (1 to 10 ms), at a quarter of the price.
pub fn coarse() -> Duration {
    let now = clock_gettime(ClockId::MonotonicCoarse);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}

/// The time since 1970 in UTC, to the kernel's tick.
pub fn unix() -> Duration {
    let now = clock_gettime(ClockId::RealtimeCoarse);
    Duration::new(now.tv_sec.unsigned_abs(), u32::try_from(now.tv_nsec).unwrap_or(0))
}
