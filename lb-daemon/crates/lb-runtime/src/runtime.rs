//! Publishes views, and makes a new one when a backend changes state.

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::{ArcSwap, Guard};
use lb_model::Config;
use tokio::sync::Notify;

use crate::backend::Backend;
use crate::view::{PoolView, Snapshot, View};

/// The one place where data paths find the current view.
#[derive(Debug)]
pub struct Runtime {
    view: ArcSwap<View>,
    /// Some backend may have become eligible, or no longer be.
    changed: Notify,
}

impl Runtime {
    /// Puts the first configuration into effect.
    pub fn new(config: Config, now: Instant) -> Self {
        let pools = config.pools.iter().map(|pool| Arc::new(PoolView::new(pool, now))).collect();
        let snapshot = Arc::new(Snapshot { config, generation: 1 });
        let view = View { snapshot, epoch: 1, pools };
        view.pools.iter().for_each(|pool| pool.mark_eligible());
        Self { view: ArcSwap::from_pointee(view), changed: Notify::new() }
    }

    /// The current view.
    pub fn view(&self) -> Guard<Arc<View>> {
        self.view.load()
    }

    /// A connect to `backend`, of `pool`, succeeded.
    pub fn connect_succeeded(&self, pool: &PoolView, backend: &Backend) {
        if backend.state.succeeded() {
            // Where all back off, the first to answer must not get everything until the others' back-offs end by themselves.
            if pool.is_fail_open() {
                pool.end_back_offs();
            }
            tracing::info!(pool = %backend.pool, backend = %backend.name, "backend accepts connections again");
            self.changed.notify_one();
        }
    }

    /// A connect to `backend`, of `pool`, failed at `now`, and it was the backend's fault.
    pub fn connect_failed(&self, pool: &PoolView, backend: &Backend, error: &dyn Error, now: Instant) {
        let begun = backend.state.passive_failing().failed(now, &pool.settings.passive_health);
        if let Some(backoff) = begun {
            // At once, not with the next view: those who wait in the queue must not be sent there one after the other.
            backend.state.set_eligible(false);
            backend.state.end_trial();
            let (pool, backend) = (&backend.pool, &backend.name);
            tracing::warn!(%pool, %backend, %error, ?backoff, "backend does not accept connections: backing off");
            self.changed.notify_one();
        }
    }

    /// Makes new views as backends change state, for ever. Runs on the control runtime.
    pub async fn maintain(&self) {
        loop {
            let now = tokio::time::Instant::now();
            self.refresh(now.into_std());
            let ends = self.view().pools.iter().filter_map(|pool| pool.next_change(now.into_std())).min();
            match ends {
                Some(ends) => {
                    let ended = tokio::time::sleep_until(ends.into());
                    tokio::select! { () = self.changed.notified() => {}, () = ended => {} }
                }
                None => self.changed.notified().await,
            }
        }
    }

    /// Publishes a new view if at `now` a pool is not as the current one has it.
    fn refresh(&self, now: Instant) {
        let mut view = self.view.load_full();
        let mut changed = false;
        let refreshed = view.pools.iter().map(|pool| match pool.refreshed(now) {
            Some(new) => {
                changed = true;
                log_changes(pool, &new);
                Arc::new(new)
            }
            None => Arc::clone(pool),
        });
        let pools: Box<[_]> = refreshed.collect();
        if changed {
            view = Arc::new(View { snapshot: Arc::clone(&view.snapshot), epoch: view.epoch + 1, pools });
            self.view.store(Arc::clone(&view));
        }
        // In any case: a backend that was marked when its back-off began may be eligible all the same, if all back off.
        for pool in &view.pools {
            pool.mark_eligible();
            pool.serve_queue();
        }
    }
}

fn log_changes(old: &PoolView, new: &PoolView) {
    let pool = &new.settings.name;
    if new.is_fail_open() && !old.is_fail_open() {
        tracing::error!(%pool, "every backend of the pool is backing off: trying all of them");
    }
    for ((backend, before), (_, after)) in old.backends().zip(new.backends()) {
        if after && !before && !new.is_fail_open() {
            tracing::info!(%pool, backend = %backend.name, "backend gets connections again");
        }
    }
}

#[cfg(test)]
mod tests;
