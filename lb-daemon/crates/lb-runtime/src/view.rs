//! The view: the snapshot and everything derived from it and from what is observed.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lb_balance::{BackendIndex, Balancer, Candidates, FlowHash, Member, Protocol, Turn};
use lb_model::{Algorithm, Config, Global, Health, Listener, Pool, PoolId, Standing, Weight};

use crate::backend::{Backend, BackendState, Lease, Measure, Usable};
use crate::membership::{Condition, Membership, Situation, Zone};
use crate::overrides::{Override, OverrideTarget, Overrides};
use crate::passive::Room;
use crate::queue::{NoPlace, Queue, Waiting};

/// A configuration that was put into effect. Immutable.
#[derive(Debug)]
pub struct Snapshot {
    /// The configuration.
    pub config: Config,
    /// Which one it is: 1 is the first of this process.
    pub generation: u64,
}

/// Steps in which a backend gets its share during its slow start.
pub const SLOW_START_STEPS: u8 = Situation::STEPS;

/// What data paths read: load it once for a connection, then keep what you need of it.
#[derive(Debug)]
pub struct View {
    /// The configuration it is made from.
    pub snapshot: Arc<Snapshot>,
    /// Grows with every view of this process.
    pub epoch: u64,
    /// By [`ListenerSlot`].
    pub(crate) listeners: Box<[Option<Arc<Listener>>]>,
    pub(crate) pools: Box<[Arc<PoolView>]>,
}

/// A listener's place in every view of this process, whatever reloads do to the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListenerSlot(pub(crate) usize);

impl View {
    /// The listener's settings; `None` once it is removed. Its pool is to be looked up in this same view.
    pub fn listener(&self, slot: ListenerSlot) -> Option<&Arc<Listener>> {
        self.listeners.get(slot.0)?.as_ref()
    }

    /// The pool at `id`, which must come from this view's snapshot.
    pub fn pool(&self, id: PoolId) -> Option<&Arc<PoolView>> {
        self.pools.get(id.index())
    }

    /// Whether there is such a pool or backend.
    pub fn has(&self, target: &OverrideTarget) -> bool {
        let pool = self.pools.iter().find(|pool| pool.settings.name == target.pool);
        pool.is_some_and(|pool| {
            target
                .backend
                .as_ref()
                .is_none_or(|name| pool.backends.iter().any(|backend| backend.name == *name))
        })
    }

    /// All pools, sorted by name.
    pub fn pools(&self) -> impl Iterator<Item = &Arc<PoolView>> {
        self.pools.iter()
    }
}

/// One pool of a view: its settings, its backends, and its balancer over those that are eligible.
#[derive(Debug)]
pub struct PoolView {
    /// The settings; `backends` are those with an address in the file, then those that were discovered.
    pub settings: Arc<Pool>,
    backends: Box<[Arc<Backend>]>,
    membership: Membership,
    balancer: Balancer,
    /// Over those on standby, if there are some.
    reserve: Option<Balancer>,
    queue: Arc<Queue>,
}

/// What a pool's table is made from beside its settings and what is observed of its backends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Circumstances<'a> {
    pub(crate) global: &'a Global,
    pub(crate) overrides: &'a Overrides,
    pub(crate) now: Instant,
}

/// One backend of a pool as a view has it, for those who show it.
#[derive(Debug, Clone, Copy)]
pub struct BackendView<'a> {
    /// The backend.
    pub backend: &'a Arc<Backend>,
    /// Its settings.
    pub settings: &'a lb_model::Backend,
    /// Where it stands.
    pub standing: Standing,
    /// Its share of new connections in proportion to the others'; 0 gets none.
    pub share: u32,
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
    /// A pool with these settings. What `previous`, the pool of the same name in the view before, knows of a backend with the
    /// same name and address goes on to be known.
    pub(crate) fn new(
        settings: Pool,
        previous: Option<&Self>,
        workers: usize,
        circumstances: Circumstances<'_>,
    ) -> Self {
        let queue = previous.map(|pool| Arc::clone(&pool.queue)).unwrap_or_default();
        let by_response_time = settings.balance == Algorithm::LeastResponseTime;
        let measure_response = if by_response_time { Measure::Yes } else { Measure::No };
        let known: HashMap<_, _> =
            previous.iter().flat_map(|pool| &pool.backends).map(|b| ((&b.name, b.address), b)).collect();
        let backends = settings.backends.iter().map(|backend| {
            let limit = backend.max_connections.map(Into::into);
            let state = known.get(&(&backend.name, backend.address)).map_or_else(
                || Arc::new(BackendState::new(limit, workers)),
                |known| Arc::clone(&known.state),
            );
            Arc::new(Backend {
                pool: settings.name.clone(),
                name: backend.name.clone(),
                address: backend.address,
                measure_response,
                state,
                queue: Arc::clone(&queue),
            })
        });
        let backends = backends.collect();
        Self::build(Arc::new(settings), backends, queue, circumstances)
    }

    /// The same pool in other circumstances; `None` if nothing changed that the view has baked in.
    pub(crate) fn refreshed(&self, circumstances: Circumstances<'_>) -> Option<Self> {
        if membership(&self.settings, &self.backends, circumstances) == self.membership {
            return None;
        }
        let (settings, queue) = (Arc::clone(&self.settings), Arc::clone(&self.queue));
        Some(Self::build(settings, self.backends.clone(), queue, circumstances))
    }

    fn build(
        settings: Arc<Pool>,
        backends: Box<[Arc<Backend>]>,
        queue: Arc<Queue>,
        circumstances: Circumstances<'_>,
    ) -> Self {
        let membership = membership(&settings, &backends, circumstances);
        let balancer = balancer(&settings, &membership.weights);
        let has_reserve = membership.reserve.iter().any(|&weight| weight > 0);
        let reserve = has_reserve.then(|| self::balancer(&settings, &membership.reserve));
        Self { settings, backends, membership, balancer, reserve, queue }
    }

    /// Makes what a new table says known to those who hold only a backend: its limit, and whether it is checked at all.
    pub(crate) fn adopt_settings(&self) {
        for (backend, settings) in self.backends.iter().zip(&self.settings.backends) {
            backend.state.set_limit(settings.max_connections.map(Into::into));
            if settings.health_check.is_none() {
                backend.state.set_health(Health::Unknown);
            }
        }
    }

    /// Takes note of which backends can be used now; slow start begins at `since` for those that could not before.
    pub(crate) fn note_usable(&self, circumstances: Circumstances<'_>, since: Option<Instant>) {
        for (backend, settings) in self.backends.iter().zip(&self.settings.backends) {
            let usable = situation(&self.settings, settings, backend, circumstances).is_usable();
            backend.state.note_usable(if usable { Usable::Yes } else { Usable::No }, since);
        }
    }

    /// What the pool's algorithm knows a flow by.
    pub fn flow_hash(
        &self,
        seed: u32,
        protocol: Protocol,
        client: SocketAddr,
        local: SocketAddr,
    ) -> FlowHash {
        if self.settings.balance == Algorithm::IpHash {
            FlowHash::of_client(seed, client.ip())
        } else {
            FlowHash::of_tuple(seed, protocol, client, local)
        }
    }

    /// Takes a place at the backend that the pool's algorithm picks among those that are eligible, not full and not in
    /// `tried`; where there is none, at one of those on standby. Nobody overtakes those who wait in the queue.
    pub fn try_lease(&self, turn: Turn, tried: &Tried, now: Instant) -> Result<Lease, NoLease> {
        if self.queue.is_empty() {
            let now = Now { pool: self, tried, now };
            for balancer in [Some(&self.balancer), self.reserve.as_ref()].into_iter().flatten() {
                while let Some(picked) = balancer.pick(turn, &now) {
                    // Fails only if another worker took the last place since the pick: then the pick sees it full.
                    if let Some(lease) = self.backends.get(picked.index()).and_then(Lease::try_take) {
                        return Ok(lease);
                    }
                }
            }
        }
        let mut left = self.takers().filter(|backend| !tried.contains(&backend.state));
        Err(if left.next().is_some() { NoLease::AllFull } else { NoLease::NoBackend })
    }

    /// Takes a place at a backend that backs off and is not in `tried`: for who would be refused otherwise.
    pub fn try_lease_backing_off(&self, turn: Turn, tried: &Tried) -> Option<Lease> {
        let backing_off: Vec<_> = self
            .backend_views()
            .filter(|view| view.standing == Standing::BackingOff || view.takes())
            .map(|view| view.backend)
            .filter(|backend| backend.state.has_room() && !tried.contains(&backend.state))
            .collect();
        let first = turn.count as usize % backing_off.len().max(1);
        let (before, from) = backing_off.split_at_checked(first)?;
        from.iter().chain(before).find_map(|backend| Lease::try_take(backend))
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
    pub(crate) fn mark_eligible(&self, now: Instant) {
        for view in self.backend_views() {
            let (backend, eligible) = (view.backend, view.takes());
            backend.state.set_eligible(eligible);
            // Not by its standing: one that drains, or has weight 0, may have failed besides.
            let failed =
                backend.state.health() == Health::Unhealthy || backend.state.passive().backing_off(now);
            backend.state.set_keeps_flows(eligible || !failed);
            if self.membership.panic {
                backend.state.end_trial();
            } else if eligible && backend.state.passive().on_probation() {
                backend.state.begin_trial();
            }
        }
    }

    /// All backends in configuration order, each with whether it is eligible.
    pub fn backends(&self) -> impl Iterator<Item = (&Arc<Backend>, bool)> {
        self.backends.iter().zip(self.membership.weights.iter().map(|&weight| weight > 0))
    }

    /// All backends in configuration order, with all that the view has of them.
    pub fn backend_views(&self) -> impl Iterator<Item = BackendView<'_>> {
        let places = self.membership.standings.iter().zip(&self.membership.weights);
        self.backends.iter().zip(&self.settings.backends).zip(places).map(
            |((backend, settings), (&standing, &share))| BackendView { backend, settings, standing, share },
        )
    }

    /// Those that take connections, if only where no other does.
    fn takers(&self) -> impl Iterator<Item = &Arc<Backend>> {
        self.backend_views().filter(BackendView::takes).map(|view| view.backend)
    }

    /// When a running back-off or step of slow start ends next.
    pub(crate) fn next_change(&self, now: Instant) -> Option<Instant> {
        let back_offs = self.backends.iter().filter_map(|backend| backend.state.passive().until(now));
        let steps = self.backends.iter().filter_map(|b| b.state.slow_start(self.settings.slow_start, now).1);
        back_offs.chain(steps).min()
    }

    /// Ends all back-offs.
    pub(crate) fn end_back_offs(&self) {
        self.backends.iter().for_each(|backend| backend.state.passive().end_back_off());
    }

    /// Whether one more backend may back off at `now`.
    pub(crate) fn room_to_back_off(&self, now: Instant) -> Room {
        let share = usize::from(self.settings.passive_health.max_ejected.get());
        let most = (self.backends.len() * share / 100).max(usize::from(share > 0));
        let backing_off = self.backends.iter().filter(|b| b.state.passive().backing_off(now)).count();
        if backing_off < most { Room::Some } else { Room::None }
    }

    /// Which step of its slow start (from 1, of [`SLOW_START_STEPS`]) a backend is at, if that is not over.
    pub fn slow_start_step(&self, backend: &Backend, now: Instant) -> Option<u8> {
        let (step, _) = backend.state.slow_start(self.settings.slow_start, now);
        (step < SLOW_START_STEPS).then_some(step)
    }

    /// A backend's configured or overridden `weight` as far as slow start has got at `now`.
    pub fn started_weight(&self, backend: &Backend, weight: Weight, now: Instant) -> Weight {
        let step = self.slow_start_step(backend, now).unwrap_or(SLOW_START_STEPS);
        let started = (u32::from(weight.0) * u32::from(step)).div_ceil(SLOW_START_STEPS.into());
        Weight(u16::try_from(started).unwrap_or(weight.0))
    }

    /// Whether anybody takes connections.
    pub(crate) fn takes_connections(&self) -> bool {
        self.takers().next().is_some()
    }

    /// Whether too few backends are healthy, so that all are tried.
    pub fn is_panic(&self) -> bool {
        self.membership.panic
    }

    /// Connections that wait in the queue.
    pub fn queued(&self) -> u64 {
        self.queue.len()
    }

    /// The balancer, for those who compare two.
    pub(crate) fn balancer(&self) -> &Balancer {
        &self.balancer
    }
}

impl BackendView<'_> {
    /// Whether it takes connections, if only where no other does.
    fn takes(&self) -> bool {
        self.share > 0 || self.standing == Standing::Standby
    }
}

fn balancer(settings: &Pool, weights: &[u32]) -> Balancer {
    let members = (0..).map(BackendIndex).zip(settings.backends.iter()).zip(weights);
    let members: Vec<_> = members
        .map(|((index, backend), &weight)| Member { index, name: backend.name.as_str(), weight })
        .collect();
    Balancer::build(settings.balance, &members)
}

/// Who gets what share.
fn membership(settings: &Pool, backends: &[Arc<Backend>], circumstances: Circumstances<'_>) -> Membership {
    let situations: Vec<_> = settings
        .backends
        .iter()
        .zip(backends)
        .map(|(backend, held)| situation(settings, backend, held, circumstances))
        .collect();
    Membership::of(settings, &situations)
}

fn situation(
    pool: &Pool,
    settings: &lb_model::Backend,
    backend: &Backend,
    Circumstances { global, overrides, now }: Circumstances<'_>,
) -> Situation {
    let Override { drain, weight } = overrides.effective(&backend.pool, &backend.name);
    let condition = if drain.is_some() {
        Condition::Draining
    } else if backend.state.health() == Health::Unhealthy {
        Condition::Unhealthy
    } else if backend.state.passive().backing_off(now) {
        Condition::BackingOff
    } else {
        Condition::Good
    };
    let own_zone = global.zone.is_some() && settings.zone == global.zone;
    Situation {
        weight: weight.map_or(settings.weight, |set| set.value).0,
        tier: settings.tier,
        zone: if own_zone { Zone::Own } else { Zone::Other },
        condition,
        step: backend.state.slow_start(pool.slow_start, now).0,
    }
}

/// The pool at this moment, as a pick sees it.
struct Now<'a> {
    pool: &'a PoolView,
    tried: &'a Tried,
    now: Instant,
}

impl Candidates for Now<'_> {
    fn usable(&self, backend: BackendIndex) -> bool {
        let usable = |b: &Arc<Backend>| b.state.has_room() && !self.tried.contains(&b.state);
        self.pool.backends.get(backend.index()).is_some_and(usable)
    }

    fn in_flight(&self, backend: BackendIndex) -> u32 {
        self.pool.backends.get(backend.index()).map_or(u32::MAX, |b| b.state.in_flight())
    }

    fn response_time(&self, backend: BackendIndex) -> Option<Duration> {
        self.pool.backends.get(backend.index())?.state.response_time(self.now)
    }
}
