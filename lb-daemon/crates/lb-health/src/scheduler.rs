//! Runs the schedule: starts what is due, takes results in, tells events. All of it in one task, probes in their own.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;
use tokio::task::{self, AbortHandle, JoinError, JoinSet};

use crate::error::ProbeError;
use crate::machine::Health;
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
        let mut running = Running::new(self.max_running);
        loop {
            while running.has_room()
                && let Some((id, key)) = self.start_next()
            {
                running.start(id, probe(key));
            }
            while let Some(event) = self.next_event() {
                log(&event);
                on_event(event);
            }
            // Nothing to wait for where there is no room: something has to end first.
            let due = self.schedule().next_due().filter(|_| running.has_room());
            let is_due = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.changed.notified() => running.abort_unless(|id| self.schedule().wants(id)),
                Some((id, result)) = running.next() => self.finish(id, result),
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

/// The probes that are under way.
struct Running {
    most: usize,
    tasks: JoinSet<ProbeResult>,
    ids: HashMap<task::Id, (ProbeId, AbortHandle)>,
}

impl Running {
    fn new(most: usize) -> Self {
        Self { most, tasks: JoinSet::new(), ids: HashMap::new() }
    }

    fn has_room(&self) -> bool {
        self.tasks.len() < self.most
    }

    fn start(&mut self, id: ProbeId, probe: impl Future<Output = ProbeResult> + Send + 'static) {
        let task = self.tasks.spawn(probe);
        self.ids.insert(task.id(), (id, task));
    }

    fn abort_unless(&self, wanted: impl Fn(ProbeId) -> bool) {
        self.ids.values().filter(|(id, _)| !wanted(*id)).for_each(|(_, task)| task.abort());
    }

    /// The next that ends; `None` if none is under way. Cancel safe.
    async fn next(&mut self) -> Option<(ProbeId, ProbeResult)> {
        let ended = self.tasks.join_next_with_id().await?;
        let (task, result) = match ended {
            Ok(ended) => ended,
            Err(error) => (error.id(), Err(unfinished(&error))),
        };
        let (id, _) = self.ids.remove(&task)?;
        Some((id, result))
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
