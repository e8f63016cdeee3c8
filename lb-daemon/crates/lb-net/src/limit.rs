//! Connection limits over all workers of the process.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How many connections there may be at once. Whoever waits is served in order, whatever worker it waits on.
#[derive(Debug, Clone)]
pub struct Limit(Option<Arc<Semaphore>>);

/// One connection's share of a limit; given back on drop.
#[derive(Debug)]
pub struct Permit(#[expect(dead_code, reason = "held for its drop")] Option<OwnedSemaphorePermit>);

impl Limit {
    /// At most `max` at once, or any number.
    pub fn new(max: Option<u32>) -> Self {
        Self(max.map(|max| Arc::new(Semaphore::new((max as usize).min(Semaphore::MAX_PERMITS)))))
    }

    /// A permit, if there is one and nobody waits for it.
    pub(crate) fn try_acquire(&self) -> Option<Permit> {
        match &self.0 {
            None => Some(Permit(None)),
            Some(semaphore) => Arc::clone(semaphore).try_acquire_owned().ok().map(|p| Permit(Some(p))),
        }
    }

    /// Waits for a permit.
    pub(crate) async fn acquire(&self) -> Permit {
        match &self.0 {
            None => Permit(None),
            // The semaphore is never closed, so that the error does not happen.
            Some(semaphore) => Permit(Arc::clone(semaphore).acquire_owned().await.ok()),
        }
    }
}
