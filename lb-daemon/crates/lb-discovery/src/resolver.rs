//! Runs the schedule: resolves what is due, takes results in, tells changes. All of it in one task, names in
//! their own.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lb_tasks::Tasks;
use tokio::sync::Notify;
use tokio::task::JoinError;

use crate::dns::{Dns, Settings};
use crate::endpoint::Endpoint;
use crate::error::{LookupError, NoAnswer};
use crate::known::Resolution;
use crate::schedule::{Change, NameId, Schedule, Status, Wanted};

/// Resolves names for as long as [`run`](Self::run) runs. The other methods may be called from anywhere, at any
/// time.
#[derive(Debug, Default)]
pub struct Resolver {
    schedule: Mutex<Schedule>,
    /// `None` until something is wanted.
    dns: Mutex<Option<Arc<Dns>>>,
    /// What is wanted was set.
    changed: Notify,
    /// There may be a result for every name.
    results: Notify,
}

type LookupResult = Result<Resolution, LookupError>;

impl Resolver {
    /// Makes `wanted` all that is resolved, from now on; equal ones are one. What is wanted already keeps its
    /// answer and its schedule; what is new is resolved at once, and until then has the answer of the same name
    /// under other settings if there is one.
    ///
    /// `nameservers` are asked in their order, the one that answered last first; if there are none, those of
    /// `/etc/resolv.conf`, which is read again. Where they are others than before, all names are resolved again
    /// at once.
    pub fn set_wanted(&self, wanted: Vec<Wanted>, nameservers: &[SocketAddr]) {
        self.set(wanted, Settings::new(nameservers));
    }

    fn set(&self, wanted: Vec<Wanted>, settings: Settings) {
        let others = self.dns().as_ref().is_none_or(|dns| *dns.settings() != settings);
        let mut schedule = self.schedule();
        schedule.set_wanted(wanted, now());
        if others {
            *self.dns() = Some(Arc::new(Dns::new(settings)));
            schedule.ask_again(now());
        }
        drop(schedule);
        self.changed.notify_one();
        self.results.notify_waiters();
    }

    /// The endpoints of a name, sorted by address, each address once; `None` if there was no result yet, or if it
    /// is not wanted.
    pub fn answer(&self, wanted: &Wanted) -> Option<Arc<[Endpoint]>> {
        self.schedule().answer(wanted)
    }

    /// What is known of each name, by query.
    pub fn snapshot(&self) -> Vec<Status> {
        self.schedule().snapshot()
    }

    /// Waits until there was a result, good or bad, for each name that is wanted, but no longer than `timeout`.
    /// Changes of the name servers count as new names. Something has to [`run`](Self::run) meanwhile.
    pub async fn first_answers(&self, timeout: Duration) {
        let all = async {
            loop {
                let mut news = std::pin::pin!(self.results.notified());
                news.as_mut().enable();
                if self.schedule().has_all_results() {
                    return;
                }
                news.await;
            }
        };
        // Which are missing is in the snapshot.
        let _ = tokio::time::timeout(timeout, all).await;
    }

    /// Resolves, for ever; to be called once. Every change of a set of endpoints is given to `on_change`, in
    /// order and without delay; it must not block. Needs a runtime with all drivers. Dropping the future ends all
    /// questions.
    pub async fn run(&self, on_change: impl FnMut(Change)) {
        let resolve = |wanted| {
            let dns = self.dns().clone();
            async move { dns.expect("names come with name servers").resolve(wanted).await }
        };
        self.drive(resolve, on_change).await;
    }

    async fn drive<F>(&self, resolve: impl Fn(Arc<Wanted>) -> F, mut on_change: impl FnMut(Change))
    where
        F: Future<Output = LookupResult> + Send + 'static,
    {
        // Their number has no bound but that of the names; that of their questions has.
        let mut running = Tasks::default();
        self.schedule().restart(now());
        loop {
            while let Some((id, wanted)) = self.start_next() {
                running.spawn(id, resolve(wanted));
            }
            while let Some(change) = self.next_change() {
                on_change(change);
            }
            // After the changes, so that whoever waits for answers finds them told.
            self.results.notify_waiters();
            let due = self.schedule().next_due();
            let is_due = async {
                match due {
                    Some(due) => tokio::time::sleep_until(due.into()).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = self.changed.notified() => running.abort_unless(|id| self.schedule().wants(*id)),
                Some((id, result)) = running.next() => {
                    self.finish(id, result.unwrap_or_else(|error| Err(self.unfinished(id, &error))));
                }
                () = is_due => {}
            }
        }
    }
}

impl Resolver {
    fn start_next(&self) -> Option<(NameId, Arc<Wanted>)> {
        self.schedule().start_next(now())
    }

    fn next_change(&self) -> Option<Change> {
        self.schedule().next_change()
    }

    fn finish(&self, id: NameId, result: LookupResult) {
        self.schedule().finish(id, result, now(), fastrand::u32(..));
    }

    /// For a lookup that was aborted, whose result nobody wants any more, or that has a bug.
    fn unfinished(&self, id: NameId, error: &JoinError) -> LookupError {
        let name = self.schedule().name(id).unwrap_or_default();
        if error.is_panic() {
            tracing::error!(%error, %name, "resolving a name has panicked");
        }
        LookupError { record: "all records", name, reason: NoAnswer::Exchange(error.to_string()) }
    }

    fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn dns(&self) -> MutexGuard<'_, Option<Arc<Dns>>> {
        self.dns.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests;
