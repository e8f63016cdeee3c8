//! What a worker tells about itself while it runs.

use std::fmt;
use std::rc::Rc;
use std::time::Duration;

use tokio::time::Instant;

use crate::worker::Worker;

/// Hears, for metrics, what happens on one worker. Called on that worker's thread; must not block.
pub trait WorkerObserver: Send + Sync {
    /// A connection was accepted.
    fn accepted(&self);

    /// How late the worker got to something that was due: what its connections have to wait for one another. Told
    /// every [`SAMPLE_EVERY`]; includes tokio's timer resolution of a millisecond.
    fn loop_lag(&self, late: Duration);

    /// How many pipes hold bytes for receivers that are slow to take them. Told every [`SAMPLE_EVERY`].
    fn pipes(&self, in_use: usize);

    /// The kernel refused a pipe, and connections are copied meanwhile.
    fn pipe_refused(&self);
}

/// Hears nothing.
impl WorkerObserver for () {
    fn accepted(&self) {}
    fn loop_lag(&self, _late: Duration) {}
    fn pipes(&self, _in_use: usize) {}
    fn pipe_refused(&self) {}
}

impl fmt::Debug for dyn WorkerObserver {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WorkerObserver")
    }
}

/// How often a worker tells how it is.
pub const SAMPLE_EVERY: Duration = Duration::from_millis(500);

/// Tells the worker's observer how it is, for ever.
pub(crate) async fn sample(worker: Rc<Worker>) {
    loop {
        let due = Instant::now() + SAMPLE_EVERY;
        tokio::time::sleep_until(due).await;
        worker.observer.loop_lag(due.elapsed());
        worker.observer.pipes(worker.pipes.in_use());
    }
}
