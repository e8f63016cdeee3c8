//! Runs the schedule: starts what is due, takes results in, tells events. All of it in one task, probes in their own.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use lb_model::Health;
use lb_tasks::Tasks;
use tokio::sync::Notify;
use tokio::task::JoinError;

use crate::error::ProbeError;
use crate::probe::{self, ProbeKey, ProbeResult, TrustStores};
use crate::schedule::{Event, ProbeId, Schedule, Status, Target, TargetKey};

/// Checks targets for as long as [`run`](Self::run) runs. The other methods may be called from anywhere, at any time.
#[derive(Debug)]
pub struct Scheduler {
    max_running: usize,
    schedule: Mutex<Schedule>,
    trust: Mutex<Arc<TrustStores>>,
    /// The targets were set.
    changed: Notify,
}

impl Scheduler {
    /// With at most this many probes under way at once: a burst of them must not starve the data paths of descriptors. What
    /// is due beyond waits in order.
    pub fn new(max_running: usize) -> Self {
        Self {
            max_running: max_running.max(1),
            schedule: Mutex::default(),
            trust: Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Makes `targets` all that is checked, from now on. What is checked already in the same way keeps its verdict and
    /// its schedule; what is new is probed at once; results of what is gone are dropped. Targets that ask one address
    /// the same thing share one probe and one verdict. CA files are read again.
    ///
    /// Right afterwards [`health`](Self::health) answers for all of them; the events of targets that joined a probe
    /// with a verdict follow.
    pub fn set_targets(&self, targets: Vec<Target>) {
        *self.trust.lock().unwrap_or_else(PoisonError::into_inner) = Arc::default();
        self.schedule().set_targets(targets, now());
        self.changed.notify_one();
    }

    /// The verdict on a target; `None` if it is not checked.
    pub fn health(&self, target: &TargetKey) -> Option<Health> {
        self.schedule().health(target)
    }

    /// What is known of each target, by pool and backend.
    pub fn snapshot(&self) -> Vec<Status> {
        self.schedule().snapshot()
    }

    /// Checks, for ever; to be called once. Every change of a verdict is given to `on_event`, in order and without
    /// delay; it must not block. Needs a runtime with all drivers. Dropping the future ends all probes.
    pub async fn run(&self, on_event: impl FnMut(Event)) {
        let probe = |key: Arc<ProbeKey>| {
            let trust = Arc::clone(&self.trust.lock().unwrap_or_else(PoisonError::into_inner));
            async move { probe::run(&key, &trust).await }
        };
        self.drive(probe, on_event).await;
    }

    async fn drive<F>(&self, probe: impl Fn(Arc<ProbeKey>) -> F, mut on_event: impl FnMut(Event))
    where
        F: Future<Output = ProbeResult> + Send + 'static,
    {
        let mut running = Tasks::default();
        loop {
            while running.len() < self.max_running
                && let Some((id, key)) = self.start_next()
            {
                running.spawn(id, probe(key));
            }
            while let Some(event) = self.next_event() {
                log(&event);
                on_event(event);
            }
            // Nothing to wait for where there is no room: something has to end first.
            let due = self.schedule().next_due().filter(|_| running.len() < self.max_running);
            let is_due = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.changed.notified() => running.abort_unless(|id| self.schedule().wants(*id)),
                Some((id, result)) = running.next() => {
                    self.finish(id, result.unwrap_or_else(|error| Err(unfinished(&error))));
                }
                () = is_due => {}
            }
        }
    }

    fn start_next(&self) -> Option<(ProbeId, Arc<ProbeKey>)> {
        self.schedule().start_next(now())
    }

    fn next_event(&self) -> Option<Event> {
        self.schedule().next_event()
    }

    fn finish(&self, id: ProbeId, result: ProbeResult) {
        self.schedule().finish(id, result, now(), fastrand::u32(..));
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For a probe that was aborted, whose result nobody wants any more, or that has a bug.
fn unfinished(error: &JoinError) -> ProbeError {
    if error.is_panic() {
        tracing::error!(%error, "a health check's probe has panicked");
    }
    ProbeError::Local(error.to_string())
}

fn log(event: &Event) {
    let Event { target: TargetKey { pool, backend }, from, to, reason, at: _ } = event;
    match (to, reason) {
        (Health::Unhealthy, Some(reason)) => {
            let (kind, reason) = (reason.label(), reason.to_string());
            tracing::warn!(%pool, %backend, %from, reason, kind, "backend is unhealthy");
        }
        (Health::Unhealthy, None) => tracing::warn!(%pool, %backend, %from, "backend is unhealthy"),
        (Health::Healthy, _) => tracing::info!(%pool, %backend, %from, "backend is healthy"),
        (Health::Unknown, _) => tracing::info!(%pool, %backend, %from, "backend is being checked anew"),
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests;
