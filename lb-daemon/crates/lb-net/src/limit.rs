//! Connection limits over all workers of the process, which can be changed while connections are counted.

use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::oneshot;

/// How many connections there may be at once. Whoever waits is served in order, whatever worker it waits on. Clones
/// are the same limit.
///
/// As long as nobody has to wait, taking a permit is one atomic operation and giving it back another.
#[derive(Debug, Clone)]
pub struct Limit(Arc<Shared>);

/// One connection's share of a limit; given back on drop.
#[derive(Debug)]
pub struct Permit(Rc<Limit>);

#[derive(Debug)]
struct Shared {
    /// Permits that nobody has. Below zero: how many are missing, to those in the line and because the limit was
    /// lowered below what is in use; only who holds the lock of the line may change it then, so that nobody gets
    /// past the line.
    free: AtomicI64,
    line: Mutex<Line>,
}

/// Those who wait. Each has taken its permit off `free` in advance.
#[derive(Debug)]
struct Line {
    max: i64,
    waiting: VecDeque<oneshot::Sender<()>>,
}

impl Line {
    fn len(&self) -> i64 {
        i64::try_from(self.waiting.len()).unwrap_or(i64::MAX)
    }
}

/// The permits of a limit; those of no limit are more than there can be connections.
fn permits(max: Option<u32>) -> i64 {
    const UNLIMITED: i64 = 1 << 62;

    max.map_or(UNLIMITED, i64::from)
}

impl Limit {
    /// At most `max` at once, or any number.
    pub fn new(max: Option<u32>) -> Self {
        let max = permits(max);
        let line = Mutex::new(Line { max, waiting: VecDeque::new() });
        Self(Arc::new(Shared { free: AtomicI64::new(max), line }))
    }

    /// At most `max` at once from now on, or any number. Nobody who is in already has to go: with more in than
    /// `max`, the next gets in when enough have left.
    pub fn resize(&self, max: Option<u32>) {
        let mut line = self.lock();
        let old = std::mem::replace(&mut line.max, permits(max));
        self.0.free.fetch_add(line.max - old, Ordering::AcqRel);
        self.serve(&mut line);
    }

    /// How many permits are out now, with a limit or without.
    pub fn in_use(&self) -> u64 {
        let line = self.lock();
        u64::try_from(line.max - self.0.free.load(Ordering::Acquire) - line.len()).unwrap_or(0)
    }

    /// A permit, if there is one and nobody waits for it.
    pub fn try_acquire(self: &Rc<Self>) -> Option<Permit> {
        let take = |free| (free > 0).then_some(free - 1);
        let taken = self.0.free.fetch_update(Ordering::Acquire, Ordering::Relaxed, take);
        taken.ok().map(|_| Permit(Rc::clone(self)))
    }

    /// Waits for a permit. Whoever drops this future leaves the line.
    pub(crate) async fn acquire(self: &Rc<Self>) -> Permit {
        if let Some(permit) = self.try_acquire() {
            return permit;
        }
        let mut place = self.join();
        // An error would mean that the line is gone, but that lives as long as its limit.
        let _ = (&mut place.granted).await;
        Permit(Rc::clone(self))
    }

    fn join(&self) -> Place<'_> {
        let (grant, granted) = oneshot::channel();
        let mut line = self.lock();
        let before = line.len();
        line.waiting.retain(|waiter| !waiter.is_closed());
        let gone = before - line.len();
        line.waiting.push_back(grant);
        self.0.free.fetch_add(gone - 1, Ordering::AcqRel);
        self.serve(&mut line);
        Place { limit: self, granted }
    }

    fn give_back(&self) {
        let put = |free| (free >= 0).then_some(free + 1);
        if self.0.free.fetch_update(Ordering::Release, Ordering::Relaxed, put).is_err() {
            let mut line = self.lock();
            self.0.free.fetch_add(1, Ordering::AcqRel);
            self.serve(&mut line);
        }
    }

    /// Lets in the first of the line, as many as there is room for.
    fn serve(&self, line: &mut Line) {
        while self.0.free.load(Ordering::Acquire) + line.len() > 0
            && let Some(first) = line.waiting.pop_front()
        {
            if first.send(()).is_err() {
                // It has left the line: what it had taken in advance is not needed.
                self.0.free.fetch_add(1, Ordering::AcqRel);
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.0.line.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.0.give_back();
    }
}

/// A place in the line.
struct Place<'a> {
    limit: &'a Limit,
    granted: oneshot::Receiver<()>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.granted.close();
        // Granted, and not received any more.
        if self.granted.try_recv().is_ok() {
            self.limit.give_back();
        }
    }
}

#[cfg(test)]
mod tests;
