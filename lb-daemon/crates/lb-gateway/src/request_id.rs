//! What a request is called in records and errors.

use std::cell::Cell;
use std::fmt;

/// An id that no other request has: 128 bits, of which 64 are drawn when its worker starts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RequestId(u128);

/// A worker's ids.
#[derive(Debug)]
pub(crate) struct RequestIds {
    worker: u64,
    next: Cell<u64>,
}

impl Default for RequestIds {
    fn default() -> Self {
        Self { worker: fastrand::u64(..), next: Cell::new(fastrand::u64(..)) }
    }
}

impl RequestIds {
    pub(crate) fn next(&self) -> RequestId {
        /// 2^64 divided by the golden ratio, an odd number: neighbours do not look alike, and none comes twice.
        const STEP: u64 = 0x9e37_79b9_7f4a_7c15;

        let next = self.next.get();
        self.next.set(next.wrapping_add(STEP));
        RequestId(u128::from(self.worker) << 64 | u128::from(next))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}
