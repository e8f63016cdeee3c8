//! The view: the snapshot and everything derived from it and from what is observed.

use std::sync::Arc;
use std::time::Instant;

use lb_balance::{BackendIndex, Balancer, Candidates, Member, Turn};
use lb_model::{Config, Pool, PoolId};

use crate::backend::{Backend, BackendState, Lease};
use crate::queue::{NoPlace, Queue, Waiting};

/// A configuration that was put into effect. Immutable.
#[derive(Debug)]
pub struct Snapshot {
    /// The configuration.
    pub config: Config,
    /// Which one it is: 1 is the first of this process.
    pub generation: u64,
}

/// What data paths read: load it once for a connection, then keep what you need of it.
#[derive(Debug)]
pub struct View {
    /// The configuration it is made from.
    pub snapshot: Arc<Snapshot>,
    /// Grows with every view of this process.
    pub epoch: u64,
    pub(crate) pools: Box<[Arc<PoolView>]>,
}

impl View {
    /// The pool at `id`, which must come from this view's snapshot.
    pub fn pool(&self, id: PoolId) -> Option<&Arc<PoolView>> {
        self.pools.get(id.index())
    }
}

/// One pool of a view: its settings, its backends, and its balancer over those that are eligible.
#[derive(Debug)]
pub struct PoolView {
    /// The settings.
    pub settings: Pool,
    backends: Box<[Arc<Backend>]>,
    eligible: Box<[bool]>,
    /// Every backend is backing off, so all are tried: refusing everybody would help nobody.
    fail_open: bool,
    balancer: Balancer,
    queue: Arc<Queue>,
}

/// Backends that this connection has tried in vain.
#[derive(Debug, Clone, Default)]
pub struct Tried(Vec<Arc<BackendState>>);

impl Tried {
    /// Adds a backend.
    pub fn insert(&mut self, backend: &Backend) {
        self.0.push(Arc::clone(&backend.state));
    }

    pub(crate) fn contains(&self, state: &Arc<BackendState>) -> bool {
        self.0.iter().any(|tried| Arc::ptr_eq(tried, state))
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Why no lease could be had at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NoLease {
    /// No eligible backend is left that was not tried.
    NoBackend,
    /// There are some, all of them full: [wait](PoolView::wait).
    AllFull,
}

impl PoolView {
    pub(crate) fn new(settings: &Pool, now: Instant) -> Self {
        let queue = Arc::<Queue>::default();
        let backends = settings.backends.iter().map(|backend| {
            Arc::new(Backend {
                pool: settings.name.clone(),
                name: backend.name.clone(),
                address: backend.address,
                state: Arc::new(BackendState::new(backend.max_connections.map(Into::into))),
                queue: Arc::clone(&queue),
            })
        });
        Self::build(settings.clone(), backends.collect(), queue, now)
    }

    /// The same pool as it is at `now`; `None` if nothing changed that the view has baked in.
    pub(crate) fn refreshed(&self, now: Instant) -> Option<Self> {
        if eligible(&self.settings, &self.backends, now) == (self.eligible.clone(), self.fail_open) {
            return None;
        }
        Some(Self::build(self.settings.clone(), self.backends.clone(), Arc::clone(&self.queue), now))
    }

    fn build(settings: Pool, backends: Box<[Arc<Backend>]>, queue: Arc<Queue>, now: Instant) -> Self {
        let (eligible, fail_open) = eligible(&settings, &backends, now);
        let members: Vec<_> = (0..)
            .map(BackendIndex)
            .zip(settings.backends.iter())
            .zip(&eligible)
            .filter(|&(_, eligible)| *eligible)
            .map(|((index, backend), _)| Member {
                index,
                name: backend.name.as_str(),
                weight: backend.weight,
            })
            .collect();
        let balancer = Balancer::build(settings.balance, &members);
        Self { settings, backends, eligible, fail_open, balancer, queue }
    }

    /// Takes a place at the backend that the pool's algorithm picks among those that are eligible, not full and not in
    /// `tried`. Nobody overtakes those who wait in the queue.
    pub fn try_lease(&self, turn: Turn, tried: &Tried) -> Result<Lease, NoLease> {
        if self.queue.is_empty() {
            let now = Now { pool: self, tried };
            while let Some(picked) = self.balancer.pick(turn, &now) {
                // Fails only if another worker took the last place since the pick: then the pick sees it full.
                if let Some(lease) = self.backends.get(picked.index()).and_then(Lease::try_take) {
                    return Ok(lease);
                }
            }
        }
        let mut left = self.eligible().filter(|backend| !tried.contains(&backend.state));
        Err(if left.next().is_some() { NoLease::AllFull } else { NoLease::NoBackend })
    }

    /// Joins the pool's queue.
    pub fn wait(&self, tried: &Tried) -> Result<Waiting, NoPlace> {
        let waiting = self.queue.join(self.settings.queue.limit, tried.clone())?;
        self.serve_queue();
        Ok(waiting)
    }

    /// Hands free places to those who wait.
    pub(crate) fn serve_queue(&self) {
        // All of them, not only those that this view has as eligible: a newer one may have others, and the queue asks.
        self.backends.iter().filter(|backend| backend.state.has_room()).for_each(|b| self.queue.serve(b));
    }

    /// Makes what the view says of each backend known to those who hold only the backend.
    pub(crate) fn mark_eligible(&self) {
        for (backend, eligible) in self.backends() {
            backend.state.set_eligible(eligible);
            if self.fail_open {
                backend.state.end_trial();
            } else if eligible && backend.state.passive().on_probation() {
                backend.state.begin_trial();
            }
        }
    }

    /// All backends in configuration order, each with whether it is eligible.
    pub fn backends(&self) -> impl Iterator<Item = (&Arc<Backend>, bool)> {
        self.backends.iter().zip(self.eligible.iter().copied())
    }

    fn eligible(&self) -> impl Iterator<Item = &Arc<Backend>> {
        self.backends().filter(|&(_, eligible)| eligible).map(|(backend, _)| backend)
    }

    /// When a running back-off ends next.
    pub(crate) fn next_change(&self, now: Instant) -> Option<Instant> {
        self.backends.iter().filter_map(|backend| backend.state.passive().until(now)).min()
    }

    /// Ends all back-offs.
    pub(crate) fn end_back_offs(&self) {
        self.backends.iter().for_each(|backend| backend.state.passive().end_back_off());
    }

    /// Whether every backend is backing off and all are therefore tried.
    pub fn is_fail_open(&self) -> bool {
        self.fail_open
    }
}

/// Who may get new connections at `now`, and whether that is everybody because all are backing off.
fn eligible(settings: &Pool, backends: &[Arc<Backend>], now: Instant) -> (Box<[bool]>, bool) {
    let weighted = settings.backends.iter().map(|backend| backend.weight.0 > 0);
    let healthy = backends.iter().map(|backend| !backend.state.passive().backing_off(now));
    let eligible: Box<[bool]> = weighted.clone().zip(healthy).map(|(w, h)| w && h).collect();
    if eligible.contains(&true) || !weighted.clone().any(|w| w) {
        return (eligible, false);
    }
    (weighted.collect(), true)
}

/// The pool at this moment, as a pick sees it.
struct Now<'a> {
    pool: &'a PoolView,
    tried: &'a Tried,
}

impl Candidates for Now<'_> {
    fn usable(&self, backend: BackendIndex) -> bool {
        let usable = |b: &Arc<Backend>| b.state.has_room() && !self.tried.contains(&b.state);
        self.pool.backends.get(backend.index()).is_some_and(usable)
    }

    fn in_flight(&self, backend: BackendIndex) -> u32 {
        self.pool.backends.get(backend.index()).map_or(u32::MAX, |b| b.state.in_flight())
    }
}
