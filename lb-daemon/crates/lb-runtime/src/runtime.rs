//! Publishes views, and makes a new one when the configuration, a backend's state or an override changes.

use std::collections::{HashMap, HashSet};
use std::error::Error;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use arc_swap::{ArcSwap, Guard};
use lb_model::{
    Admin, Backend as BackendSettings, BackendName, Config, Health, ListenerName, PassiveHealth, Percent,
    Pool, PoolName, Standing, Workers,
};
use tokio::sync::Notify;

use crate::backend::Backend;
use crate::overrides::{OverrideChange, OverrideTarget, Overrides};
use crate::passive::Room;
use crate::plan::Plan;
use crate::view::{Circumstances, ListenerSlot, PoolView, Snapshot, View};

/// The one place where data paths find the current view.
#[derive(Debug)]
pub struct Runtime {
    view: ArcSwap<View>,
    /// Some backend may have become eligible, or no longer be.
    changed: Notify,
    /// Whoever publishes a view holds this lock.
    control: Mutex<Control>,
    /// Whoever sends a backend of a pool with a cap on that into a back-off holds this lock.
    ejection: Mutex<()>,
    workers: usize,
    started_with: StartedWith,
}

/// Settings that take effect at the start only.
#[derive(Debug, Clone)]
pub(crate) struct StartedWith {
    pub(crate) workers: Workers,
    pub(crate) state_dir: Option<PathBuf>,
    pub(crate) admin: Admin,
}

/// What only those who make views need.
#[derive(Debug, Default)]
struct Control {
    overrides: Overrides,
    slots: HashMap<ListenerName, ListenerSlot>,
    /// Backends that are in no view any more, but may have connections.
    retired: Vec<Arc<Backend>>,
    snapshots: Vec<Weak<Snapshot>>,
}

/// The backends that were found for each pool that names some.
pub type Discovered = HashMap<PoolName, Vec<BackendSettings>>;

/// An override that cannot be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UnknownTarget {
    /// The configuration has no such pool.
    #[error("there is no pool \"{pool}\"; known: {}", list(.known))]
    Pool {
        /// The pool.
        pool: PoolName,
        /// Those that there are.
        known: Vec<PoolName>,
    },
    /// The pool has no such backend.
    #[error("pool \"{pool}\" has no backend \"{backend}\"; known: {}", list(.known))]
    Backend {
        /// The pool.
        pool: PoolName,
        /// The backend.
        backend: BackendName,
        /// Those that there are.
        known: Vec<BackendName>,
    },
}

fn list<T: std::fmt::Display>(names: &[T]) -> String {
    /// Enough to find a typing mistake in, on one screen.
    const SHOWN: usize = 10;
    let shown: Vec<_> = names.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = names.len().saturating_sub(SHOWN);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    if shown.is_empty() { "none".into() } else { shown.join(", ") + &more }
}

impl Runtime {
    /// Puts the first configuration into effect, for this many workers.
    pub fn new(
        config: Config,
        discovered: Discovered,
        overrides: Overrides,
        workers: usize,
        now: Instant,
    ) -> Self {
        let mut control = Control { overrides, ..Control::default() };
        let started_with = StartedWith {
            workers: config.global.workers,
            state_dir: config.global.state_dir.clone(),
            admin: config.admin.clone(),
        };
        let view = control.view_of(config, discovered, None, workers, now);
        for pool in &view.pools {
            pool.note_usable(control.circumstances(&view.snapshot, now), None);
        }
        settle(&view, now);
        Self {
            view: ArcSwap::from_pointee(view),
            changed: Notify::new(),
            control: Mutex::new(control),
            ejection: Mutex::default(),
            workers,
            started_with,
        }
    }

    /// The current view.
    pub fn view(&self) -> Guard<Arc<View>> {
        self.view.load()
    }

    /// Where views have the listener called `name`, whether there is one already or not.
    pub fn slot(&self, name: &ListenerName) -> ListenerSlot {
        self.control().slot(name)
    }

    /// Puts another configuration into effect: from here on every connection sees all of it. What is known of backends that
    /// keep their name and address stays known. Tells what has changed.
    pub fn apply(&self, config: Config, discovered: Discovered, now: Instant) -> Plan {
        let mut control = self.control();
        let old = self.view.load_full();
        let view = control.view_of(config, discovered, Some(&old), self.workers, now);
        for pool in &view.pools {
            pool.adopt_settings();
        }
        let plan = Plan::between(&old, &view, &self.started_with);
        self.publish(&mut control, view, now);
        plan
    }

    /// What [`apply`](Self::apply) would change.
    pub fn plan(&self, config: Config, discovered: Discovered, now: Instant) -> Plan {
        let old = self.view.load_full();
        // On a copy: nothing of a plan may be left behind.
        let mut control = self.control().clone_for_plan();
        let new = control.view_of(config, discovered, Some(&old), self.workers, now);
        Plan::between(&old, &new, &self.started_with)
    }

    /// The names of some pools have other answers from now on.
    pub fn discovered(&self, mut discovered: Discovered, now: Instant) {
        let mut control = self.control();
        let old = self.view.load_full();
        let circumstances = control.circumstances(&old.snapshot, now);
        let pools = old.pools.iter().map(|pool| {
            let configured = old.snapshot.config.pools.iter().find(|c| c.name == pool.settings.name);
            match (configured, discovered.remove(&pool.settings.name)) {
                (Some(configured), Some(found)) => {
                    let settings = with_discovered(configured.clone(), found);
                    if settings == *pool.settings {
                        return Arc::clone(pool);
                    }
                    Arc::new(PoolView::new(settings, Some(pool), self.workers, circumstances))
                }
                _ => Arc::clone(pool),
            }
        });
        let pools: Box<[_]> = pools.collect();
        if pools.iter().zip(&old.pools).all(|(new, old)| Arc::ptr_eq(new, old)) {
            return;
        }
        let (snapshot, listeners) = (Arc::clone(&old.snapshot), old.listeners.clone());
        self.publish(&mut control, View { snapshot, epoch: old.epoch + 1, listeners, pools }, now);
    }

    /// Changes an override; the view that comes of it is published already when this returns.
    ///
    /// # Errors
    ///
    /// If there is no such pool or backend; what is undone may be gone.
    pub fn change_override(
        &self,
        target: &OverrideTarget,
        change: OverrideChange,
        at: u64,
        now: Instant,
    ) -> Result<(), UnknownTarget> {
        let mut control = self.control();
        let undoes = matches!(change, OverrideChange::Undrain | OverrideChange::ConfiguredWeight);
        let is_set = control.overrides.iter().any(|(set, _)| set == target);
        if !(undoes && is_set) {
            find(&self.view(), target)?;
        }
        control.overrides.change(target, change, at);
        self.refresh(&mut control, now);
        Ok(())
    }

    /// All overrides.
    pub fn overrides(&self) -> Overrides {
        self.control().overrides.clone()
    }

    /// Backends that were removed, from pools that there still are, and have connections.
    pub fn retired(&self) -> Vec<Arc<Backend>> {
        let has_connections = |backend: &&Arc<Backend>| backend.state.in_flight() > 0;
        self.control().retired.iter().filter(has_connections).cloned().collect()
    }

    /// Snapshots that somebody still holds: the current one, and for a moment those before.
    pub fn snapshots_alive(&self) -> usize {
        self.control().snapshots.iter().filter(|snapshot| snapshot.strong_count() > 0).count()
    }

    /// The health checks have come to another verdict on a backend.
    pub fn health_changed(&self, pool: &PoolName, backend: &BackendName, health: Health) {
        let view = self.view();
        let pool = view.pools.iter().find(|view| view.settings.name == *pool);
        let view = pool.and_then(|pool| pool.backend_views().find(|view| view.backend.name == *backend));
        // A late word on one that is not checked any more would hold for ever.
        if let Some(view) = view.filter(|view| view.settings.health_check.is_some()) {
            view.backend.state.set_health(health);
            self.changed.notify_one();
        }
    }

    /// A connect to `backend` succeeded, or a flow of datagrams got its first answer.
    pub fn connect_succeeded(&self, backend: &Backend) {
        if backend.state.succeeded() {
            self.works_again(backend);
        }
    }

    /// A datagram that was sent to `backend` at `sent` has had time to be refused, and was not: all the good news that there is
    /// of a backend that never answers.
    pub fn not_refused(&self, backend: &Backend, sent: Instant) {
        if backend.state.not_refused(sent) {
            self.works_again(backend);
        }
    }

    fn works_again(&self, backend: &Backend) {
        let Some(pool) = self.pool_of(backend) else { return };
        // Where all back off, the first to answer must not get everything until the others' back-offs end by themselves.
        if pool.is_panic() {
            pool.end_back_offs();
        }
        tracing::info!(pool = %backend.pool, backend = %backend.name, "backend accepts connections again");
        self.changed.notify_one();
    }

    /// A connect to `backend` failed at `now`, or a datagram was refused, and it was the backend's fault.
    pub fn connect_failed(&self, backend: &Backend, error: &dyn Error, now: Instant) {
        let Some(pool) = self.pool_of(backend) else { return };
        let policy = &pool.settings.passive_health;
        if let Some(backoff) = self.back_off(&pool, backend, policy, now) {
            // At once, not with the next view: those who wait in the queue must not be sent there one after the other.
            backend.state.set_eligible(false);
            backend.state.set_keeps_flows(false);
            backend.state.end_trial();
            backend.state.set_fault(error.to_string());
            let (pool, backend) = (&backend.pool, &backend.name);
            tracing::warn!(%pool, %backend, %error, ?backoff, "backend does not accept connections: backing off");
            self.changed.notify_one();
        }
    }

    /// The current pool of that name; `None` once it is removed.
    fn pool_of(&self, backend: &Backend) -> Option<Arc<PoolView>> {
        self.view().pools.iter().find(|pool| pool.settings.name == backend.pool).cloned()
    }

    fn back_off(
        &self,
        pool: &PoolView,
        backend: &Backend,
        policy: &PassiveHealth,
        now: Instant,
    ) -> Option<Duration> {
        if policy.max_ejected == Percent::ALL {
            return backend.state.passive_failing().failed(now, policy, Room::Some);
        }
        let _alone = self.ejection.lock().unwrap_or_else(PoisonError::into_inner);
        // Before the backend's own lock is taken: counting takes that of every backend.
        let room = pool.room_to_back_off(now);
        backend.state.passive_failing().failed(now, policy, room)
    }

    /// Makes new views as backends change state, for ever. Runs on the control runtime.
    pub async fn maintain(&self) {
        loop {
            let now = tokio::time::Instant::now();
            self.refresh(&mut self.control(), now.into_std());
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
    fn refresh(&self, control: &mut Control, now: Instant) {
        let old = self.view.load_full();
        let circumstances = control.circumstances(&old.snapshot, now);
        let mut changed = false;
        let pools = old.pools.iter().map(|pool| {
            pool.note_usable(circumstances, Some(now));
            match pool.refreshed(circumstances) {
                Some(new) => {
                    changed = true;
                    Arc::new(new)
                }
                None => Arc::clone(pool),
            }
        });
        let pools: Box<[_]> = pools.collect();
        if changed {
            let (snapshot, listeners) = (Arc::clone(&old.snapshot), old.listeners.clone());
            self.publish(control, View { snapshot, epoch: old.epoch + 1, listeners, pools }, now);
        } else {
            // In any case: a backend that was marked when its back-off began may be eligible all the same, if all back off.
            settle(&old, now);
        }
    }

    fn publish(&self, control: &mut Control, view: View, now: Instant) {
        let old = self.view.load_full();
        log_changes(&old, &view);
        let view = Arc::new(view);
        self.view.store(Arc::clone(&view));
        control.retire(&old, &view);
        for pool in &view.pools {
            pool.note_usable(control.circumstances(&view.snapshot, now), Some(now));
        }
        settle(&view, now);
        // Slow start of what is new begins with the next look.
        self.changed.notify_one();
    }

    fn control(&self) -> MutexGuard<'_, Control> {
        self.control.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Makes what a view says known to those who hold only backends, and gives free places to those who wait.
fn settle(view: &View, now: Instant) {
    for pool in &view.pools {
        pool.mark_eligible(now);
        pool.backend_views().for_each(|view| view.backend.state.note_standing(view.standing, now));
        pool.serve_queue();
    }
}

impl Control {
    /// The view of a configuration. `old` is the one before.
    fn view_of(
        &mut self,
        config: Config,
        mut discovered: Discovered,
        old: Option<&View>,
        workers: usize,
        now: Instant,
    ) -> View {
        let (generation, epoch) = old.map_or((1, 1), |old| (old.snapshot.generation + 1, old.epoch + 1));
        let snapshot = Arc::new(Snapshot { config, generation });
        self.snapshots.retain(|snapshot| snapshot.strong_count() > 0);
        self.snapshots.push(Arc::downgrade(&snapshot));
        let config = &snapshot.config;
        let placed: Vec<_> =
            config.listeners.iter().map(|listener| (self.slot(&listener.name), listener)).collect();
        let mut listeners = vec![None; self.slots.len()];
        for (ListenerSlot(place), listener) in placed {
            if let Some(slot) = listeners.get_mut(place) {
                *slot = Some(Arc::new(listener.clone()));
            }
        }
        let previous: HashMap<_, _> =
            old.iter().flat_map(|old| &old.pools).map(|pool| (&pool.settings.name, pool)).collect();
        let circumstances = self.circumstances(&snapshot, now);
        let pools = config.pools.iter().map(|pool| {
            let found = discovered.remove(&pool.name).unwrap_or_default();
            let settings = with_discovered(pool.clone(), found);
            match previous.get(&pool.name) {
                // Tables are only made for what differs: they are most of a reload's work.
                Some(previous) if *previous.settings == settings => {
                    previous.refreshed(circumstances).map_or_else(|| Arc::clone(previous), Arc::new)
                }
                previous => {
                    let previous = previous.map(|pool| &***pool);
                    Arc::new(PoolView::new(settings, previous, workers, circumstances))
                }
            }
        });
        let pools = pools.collect();
        View { snapshot: Arc::clone(&snapshot), epoch, listeners: listeners.into(), pools }
    }

    /// Has nobody sent from a pool's queue to a backend that the pool has no more, and remembers it for as long as it has
    /// connections.
    fn retire(&mut self, old: &View, new: &View) {
        self.retired.retain(|backend| backend.state.in_flight() > 0);
        for old in &old.pools {
            let same = |new: &&Arc<PoolView>| new.settings.name == old.settings.name;
            let Some(new) = new.pools.iter().find(same) else {
                // Gone with its pool.
                old.backends().for_each(|(backend, _)| backend.state.set_keeps_flows(false));
                continue;
            };
            if Arc::ptr_eq(old, new) {
                continue;
            }
            let stays: HashSet<_> = new.backends().map(|(backend, _)| Arc::as_ptr(&backend.state)).collect();
            for (backend, _) in old.backends().filter(|(b, _)| !stays.contains(&Arc::as_ptr(&b.state))) {
                backend.state.set_eligible(false);
                backend.state.set_keeps_flows(false);
                self.retired.push(Arc::clone(backend));
            }
        }
    }

    fn slot(&mut self, name: &ListenerName) -> ListenerSlot {
        let next = ListenerSlot(self.slots.len());
        *self.slots.entry(name.clone()).or_insert(next)
    }

    fn circumstances<'a>(&'a self, snapshot: &'a Snapshot, now: Instant) -> Circumstances<'a> {
        Circumstances { global: &snapshot.config.global, overrides: &self.overrides, now }
    }

    fn clone_for_plan(&self) -> Self {
        Self { overrides: self.overrides.clone(), slots: self.slots.clone(), ..Self::default() }
    }
}

/// `configured` with the backends that were found for it after its own.
fn with_discovered(mut configured: Pool, found: Vec<BackendSettings>) -> Pool {
    let names: HashSet<_> = configured.backends.iter().map(|backend| backend.name.clone()).collect();
    configured.backends.extend(found.into_iter().filter(|backend| !names.contains(&backend.name)));
    configured.backends.truncate(Pool::MAX_BACKENDS);
    configured
}

fn find(view: &View, target: &OverrideTarget) -> Result<(), UnknownTarget> {
    let names = || view.pools.iter().map(|pool| pool.settings.name.clone()).collect();
    let pool = view.pools.iter().find(|pool| pool.settings.name == target.pool);
    let pool = pool.ok_or_else(|| UnknownTarget::Pool { pool: target.pool.clone(), known: names() })?;
    let Some(backend) = &target.backend else { return Ok(()) };
    if pool.backends().any(|(held, _)| held.name == *backend) {
        return Ok(());
    }
    let known = pool.backends().map(|(held, _)| held.name.clone()).collect();
    Err(UnknownTarget::Backend { pool: target.pool.clone(), backend: backend.clone(), known })
}

fn log_changes(old: &View, new: &View) {
    let before: HashMap<_, _> = old.pools.iter().map(|pool| (&pool.settings.name, pool)).collect();
    for new in &new.pools {
        let pool = &new.settings.name;
        let Some(old) = before.get(pool).filter(|old| !Arc::ptr_eq(old, new)) else { continue };
        match (old.is_panic(), new.is_panic()) {
            (false, true) => {
                tracing::error!(%pool, "too few backends of the pool are healthy: trying all of them");
            }
            (true, false) => tracing::info!(%pool, "enough backends of the pool are healthy again"),
            _ => {}
        }
        if !new.takes_connections() && old.takes_connections() {
            tracing::error!(%pool, "no backend of the pool takes connections any more: clients are refused");
        }
        let standings: HashMap<_, _> =
            old.backend_views().map(|view| (&view.backend.name, view.standing)).collect();
        for view in new.backend_views() {
            let backend = &view.backend.name;
            let Some(before) = standings.get(backend) else { continue };
            match (before, view.standing) {
                (Standing::BackingOff, Standing::Active | Standing::Standby) => {
                    tracing::info!(%pool, %backend, "backend gets connections again");
                }
                (Standing::Standby, Standing::Active) => {
                    tracing::info!(%pool, %backend, "backend gets connections: those before it are short of capacity");
                }
                (Standing::Active, Standing::Standby) => {
                    tracing::info!(%pool, %backend, "backend is on standby again");
                }
                _ => {}
            }
        }
    }
}

#[cfg(test)]
mod tests;
