//! Coarse timers: one lazy wheel per worker instead of one precise timer per connection.
//!
//! A connection's deadline moves with every byte; here that is one store. The wheel looks at a deadline only when the
//! time it was queued for has come, and queues it again if it moved.

mod wheel;

use std::cell::RefCell;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::sync::Notify;

use self::wheel::{Slot, Tick, Wheel};
use crate::clock;

/// The resolution: timers fire up to this much late, never early.
const TICK: Duration = Duration::from_millis(100);

/// A worker's timers.
#[derive(Debug)]
pub struct Timers {
    wheel: RefCell<Wheel>,
    start: Duration,
    armed: Notify,
}

impl Timers {
    pub(crate) fn new() -> Self {
        Self { wheel: RefCell::default(), start: clock::coarse(), armed: Notify::new() }
    }

    /// A timer that is not armed.
    pub fn timer(self: &Rc<Self>) -> Timer {
        Timer { slot: self.wheel.borrow_mut().open(), timers: Rc::clone(self) }
    }

    /// Wakes everybody who waits with a timer: something has changed that they all look at.
    pub fn wake_all(&self) {
        self.wheel.borrow().wake_all();
    }

    /// Turns the wheel, for ever; sleeps while nothing is armed.
    pub(crate) async fn run(&self) {
        loop {
            if self.wheel.borrow().is_empty() {
                self.armed.notified().await;
            }
            tokio::time::sleep(TICK).await;
            // Wakers run no code of ours here: tokio's only push the task onto the run queue.
            self.wheel.borrow_mut().advance(self.now());
        }
    }

    fn now(&self) -> Tick {
        let ticks = clock::coarse().saturating_sub(self.start).as_millis() / TICK.as_millis();
        Tick::try_from(ticks).unwrap_or(Tick::MAX)
    }
}

/// A timer of one connection.
#[derive(Debug)]
pub struct Timer {
    slot: Slot,
    timers: Rc<Timers>,
}

impl Timer {
    /// Fires once `after` has passed, unless armed anew before.
    pub fn arm(&self, after: Duration) {
        let ticks = after.as_nanos().div_ceil(TICK.as_nanos());
        // One more, since the running tick may be nearly over.
        let deadline =
            self.timers.now().saturating_add(Tick::try_from(ticks).unwrap_or(Tick::MAX)).saturating_add(1);
        let mut wheel = self.timers.wheel.borrow_mut();
        if wheel.is_empty() {
            self.timers.armed.notify_one();
        }
        wheel.arm(self.slot, deadline);
    }

    /// Never fires, unless armed anew.
    pub fn disarm(&self) {
        self.timers.wheel.borrow_mut().disarm(self.slot);
    }

    /// Ready once the deadline has passed, and until armed anew; else wakes the task when it has.
    pub fn poll(&self, cx: &Context<'_>) -> Poll<()> {
        self.timers.wheel.borrow_mut().poll(self.slot, cx)
    }

    /// Waits `after`.
    pub async fn sleep(&self, after: Duration) {
        self.arm(after);
        std::future::poll_fn(|cx| self.poll(cx)).await;
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.timers.wheel.borrow_mut().close(self.slot);
    }
}
