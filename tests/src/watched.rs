//! A value that one thread changes and another waits on.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::Deadline;

/// A value whose changes can be waited for.
#[derive(Debug, Default)]
pub struct Watched<T> {
    value: Mutex<T>,
    changed: Condvar,
}

impl<T> Watched<T> {
    /// Watches `value`.
    pub fn new(value: T) -> Self {
        Self { value: Mutex::new(value), changed: Condvar::new() }
    }

    /// Looks at the value.
    pub fn read<R>(&self, look: impl FnOnce(&T) -> R) -> R {
        look(&self.lock())
    }

    /// Changes the value and wakes everybody who waits.
    pub fn change<R>(&self, change: impl FnOnce(&mut T) -> R) -> R {
        let result = change(&mut self.lock());
        self.changed.notify_all();
        result
    }

    /// Blocks until `look` finds something, for at most `within`.
    pub fn wait<R>(&self, within: Duration, mut look: impl FnMut(&T) -> Option<R>) -> Option<R> {
        let deadline = Deadline::after(within);
        let mut value = self.lock();
        loop {
            if let Some(found) = look(&value) {
                return Some(found);
            }
            if deadline.passed() {
                return None;
            }
            let waited = self.changed.wait_timeout(value, deadline.remaining());
            value = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// A test that panicked while it looked leaves the value as it was, so poison means nothing here.
    fn lock(&self) -> MutexGuard<'_, T> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
