//! The wall clock, for people and files; everything else goes by the monotonic one.

use std::time::{SystemTime, UNIX_EPOCH};

/// Seconds of Unix time.
pub(crate) fn unix_now() -> u64 {
    #[expect(clippy::disallowed_methods, reason = "this is the shell that passes time on")]
    let now = SystemTime::now();
    now.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
