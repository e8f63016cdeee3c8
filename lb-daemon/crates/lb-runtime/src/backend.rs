//! One backend as the data paths hold it: what is observed of it, and the lease that a connection has on it.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crossbeam_utils::CachePadded;
use crossbeam_utils::atomic::AtomicCell;
use lb_balance::PeakEwma;
use lb_model::{BackendAddress, BackendName, Health, PoolName, Standing};
use lb_telemetry::metrics::{BackendSheet, PerWorker};

use crate::Passive;
use crate::membership::Situation;
use crate::queue::Queue;

/// A backend of one view. Small, so that a long connection that keeps it pins nothing else of the view.
#[derive(Debug)]
pub struct Backend {
    /// Its pool's name.
    pub pool: PoolName,
    /// Its name.
    pub name: BackendName,
    /// Where it is.
    pub address: BackendAddress,
    /// Whether its pool's algorithm asks how soon it answers.
    pub measure_response: Measure,
    /// What is observed of it.
    pub state: Arc<BackendState>,
    pub(crate) queue: Arc<Queue>,
}

/// Whether something is measured that nothing may need.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// It is.
    Yes,
    /// It is not.
    No,
}

impl Backend {
    /// It took `after` to accept a connection, or that long passed without. A refusal says nothing: it comes at once.
    pub fn observe_connect(&self, after: Duration, now: Instant) {
        if self.measure_response == Measure::Yes {
            self.state.response().connect.observe(after, now);
        }
    }

    /// It answered `after` its connection was made. The clock is only read where that is measured.
    pub fn observe_answer(&self, after: Duration, now: impl FnOnce() -> Instant) {
        if self.measure_response == Measure::Yes {
            self.state.response().answer.observe(after, now());
        }
    }
}

/// What is observed of a backend, over all workers. Outlives views.
#[derive(Debug)]
pub struct BackendState {
    load: CachePadded<Load>,
    /// Most connections at once; `u32::MAX` for no limit.
    limit: AtomicU32,
    /// What the health checks say.
    health: AtomicCell<Health>,
    /// Whether the published view counts it as eligible.
    eligible: AtomicBool,
    /// Whether it goes on serving flows that it has.
    keeps_flows: AtomicBool,
    /// Who may connect after a back-off: see the constants of [`Trial`].
    trial: AtomicU8,
    /// Whether `passive` has anything to forgive: spares the lock on every connect that succeeds.
    failing: AtomicBool,
    passive: Mutex<Passive>,
    ramp: Mutex<Ramp>,
    standing: Mutex<Option<(Standing, Instant)>>,
    /// Why the last back-off began.
    fault: Mutex<Option<Box<str>>>,
    response: Mutex<Response>,
    /// What is counted of it.
    pub metrics: PerWorker<BackendSheet>,
}

/// What every connection and request changes: one cache line, which goes from core to core once for both.
#[derive(Debug, Default)]
struct Load {
    /// Connections, or requests of protocols that share connections.
    in_flight: AtomicU32,
    /// Connections that are kept open without a request.
    idle: AtomicU32,
}

/// Whether the backend could be used when that was last looked at, and since when: where slow start begins.
#[derive(Debug, Clone, Copy, Default)]
struct Ramp {
    usable: bool,
    /// `None`: since the process started, which is no come-back.
    since: Option<Instant>,
}

/// How soon the backend accepts a connection, and then answers.
#[derive(Debug, Default)]
struct Response {
    connect: PeakEwma,
    answer: PeakEwma,
}

/// After a back-off one connection tries the backend, and the others follow only if it succeeds: a backend that hangs
/// delays one client then, not its whole share of them.
struct Trial;

impl Trial {
    /// Everybody may connect.
    const OVER: u8 = 0;
    /// One connection may.
    const DUE: u8 = 1;
    /// One is at it.
    const UNDER_WAY: u8 = 2;
}

impl BackendState {
    pub(crate) fn new(limit: Option<u32>, workers: usize) -> Self {
        Self {
            load: CachePadded::default(),
            limit: AtomicU32::new(limit.unwrap_or(u32::MAX)),
            health: AtomicCell::default(),
            eligible: AtomicBool::new(false),
            keeps_flows: AtomicBool::new(true),
            trial: AtomicU8::new(Trial::OVER),
            failing: AtomicBool::new(false),
            passive: Mutex::default(),
            ramp: Mutex::default(),
            standing: Mutex::default(),
            fault: Mutex::default(),
            response: Mutex::default(),
            metrics: PerWorker::new(workers),
        }
    }

    /// What the health checks say.
    pub fn health(&self) -> Health {
        self.health.load()
    }

    pub(crate) fn set_health(&self, health: Health) {
        self.health.store(health);
    }

    pub(crate) fn set_limit(&self, limit: Option<u32>) {
        self.limit.store(limit.unwrap_or(u32::MAX), Ordering::SeqCst);
    }

    /// Takes note of whether it can be used at `now`. `since` is from when it counts as started if it could not before.
    pub(crate) fn note_usable(&self, usable: Usable, since: Option<Instant>) {
        let mut ramp = lock(&self.ramp);
        let usable = usable == Usable::Yes;
        if usable && !ramp.usable {
            ramp.since = since;
        }
        ramp.usable = usable;
    }

    /// How far slow start has got at `now`, and when the next step is due.
    pub(crate) fn slow_start(&self, takes: Option<Duration>, now: Instant) -> (u8, Option<Instant>) {
        let ramp = *lock(&self.ramp);
        let (Some(takes), Some(since)) = (takes, ramp.since.filter(|_| ramp.usable)) else {
            return (Situation::STEPS, None);
        };
        let each = takes / u32::from(Situation::STEPS);
        // The first step begins at once, so that step n lasts until n times `each` have passed.
        let begun = (1..Situation::STEPS).find(|&step| now < since + each * u32::from(step));
        begun.map_or((Situation::STEPS, None), |step| (step, Some(since + each * u32::from(step))))
    }

    /// Takes note of where the published view has it.
    pub(crate) fn note_standing(&self, standing: Standing, now: Instant) {
        let mut noted = lock(&self.standing);
        if noted.is_none_or(|(before, _)| before != standing) {
            *noted = Some((standing, now));
        }
    }

    /// Since when it stands where it does.
    pub fn standing_since(&self) -> Option<Instant> {
        lock(&self.standing).map(|(_, since)| since)
    }

    pub(crate) fn set_fault(&self, fault: String) {
        *lock(&self.fault) = Some(fault.into());
    }

    /// Why its last back-off began, and when that ends if it is running at `now`.
    pub fn back_off(&self, now: Instant) -> Option<(Box<str>, Option<Instant>)> {
        let fault = lock(&self.fault).clone()?;
        Some((fault, self.passive().until(now)))
    }

    /// The time that it takes to accept a connection and then to answer, as it was lately; `None` before the first. Nobody
    /// accepts a flow of datagrams: there the answer is all.
    pub fn response_time(&self, now: Instant) -> Option<Duration> {
        let response = self.response();
        let parts = [response.connect.value(now), response.answer.value(now)];
        parts.into_iter().flatten().reduce(|connect, answer| connect + answer)
    }

    fn response(&self) -> MutexGuard<'_, Response> {
        lock(&self.response)
    }

    /// Most connections at once.
    pub fn limit(&self) -> Option<u32> {
        Some(self.limit.load(Ordering::SeqCst)).filter(|&limit| limit != u32::MAX)
    }

    /// Connections that the backend has now, those being made included.
    pub fn in_flight(&self) -> u32 {
        self.load.in_flight.load(Ordering::Relaxed)
    }

    /// Connections that are kept open without a request.
    pub fn idle(&self) -> u32 {
        self.load.idle.load(Ordering::Relaxed)
    }

    /// Counts one connection more that is kept open without a request, unless there are `max` already.
    pub fn keep_idle(self: &Arc<Self>, max: u32) -> Option<IdlePlace> {
        if self.load.idle.fetch_add(1, Ordering::Relaxed) < max {
            return Some(IdlePlace(Arc::clone(self)));
        }
        self.load.idle.fetch_sub(1, Ordering::Relaxed);
        None
    }

    /// Whether another connection fits. Sequentially consistent, because [`Queue`] relies on it: whoever enters the queue
    /// looks here afterwards, whoever frees a place looks at the queue afterwards, and one of them must see the other.
    pub(crate) fn has_room(&self) -> bool {
        self.load.in_flight.load(Ordering::SeqCst) < self.limit.load(Ordering::SeqCst)
            && self.trial.load(Ordering::SeqCst) != Trial::UNDER_WAY
    }

    /// A back-off has ended and no connect succeeded since: one connection is to try.
    pub(crate) fn begin_trial(&self) {
        let _ = self.trial.compare_exchange(Trial::OVER, Trial::DUE, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// The backend has answered, or begins another back-off, or everybody is to try it.
    pub(crate) fn end_trial(&self) {
        self.trial.store(Trial::OVER, Ordering::SeqCst);
    }

    /// Takes on the trial, if one is due. `None`: another connection is at it.
    fn join_trial(&self) -> Option<bool> {
        // Nearly always over: no write to what all workers share.
        if self.trial.load(Ordering::SeqCst) == Trial::OVER {
            return Some(false);
        }
        let (due, under_way) = (Trial::DUE, Trial::UNDER_WAY);
        match self.trial.compare_exchange(due, under_way, Ordering::SeqCst, Ordering::SeqCst) {
            Ok(_) => Some(true),
            Err(Trial::UNDER_WAY) => None,
            Err(_) => Some(false),
        }
    }

    /// The connection that tried is over; if it has not told how it went, another has to try.
    fn leave_trial(&self) {
        let _ = self.trial.compare_exchange(Trial::UNDER_WAY, Trial::DUE, Ordering::SeqCst, Ordering::SeqCst);
    }

    /// Whether it goes on serving the flows (of datagrams) that it has: not if it is unhealthy, backs off or was removed; but
    /// if it drains, has weight 0 or is on standby.
    pub fn keeps_flows(&self) -> bool {
        self.keeps_flows.load(Ordering::Relaxed)
    }

    #[expect(clippy::fn_params_excessive_bools, reason = "a setter of the flag itself")]
    pub(crate) fn set_keeps_flows(&self, keeps: bool) {
        self.keeps_flows.store(keeps, Ordering::Relaxed);
    }

    pub(crate) fn is_eligible(&self) -> bool {
        self.eligible.load(Ordering::SeqCst)
    }

    #[expect(clippy::fn_params_excessive_bools, reason = "a setter of the flag itself")]
    pub(crate) fn set_eligible(&self, eligible: bool) {
        self.eligible.store(eligible, Ordering::SeqCst);
    }

    /// Counts one connection more, unless the backend is full.
    fn try_enter(&self) -> bool {
        let limit = self.limit.load(Ordering::Relaxed);
        if limit == u32::MAX {
            self.load.in_flight.fetch_add(1, Ordering::Relaxed);
            return true;
        }
        let enter = |n: u32| (n < limit).then(|| n + 1);
        self.load.in_flight.fetch_update(Ordering::SeqCst, Ordering::SeqCst, enter).is_ok()
    }

    fn leave(&self) {
        self.load.in_flight.fetch_sub(1, Ordering::SeqCst);
    }

    /// The passive state, for a connect that failed.
    pub(crate) fn passive_failing(&self) -> MutexGuard<'_, Passive> {
        let passive = self.passive();
        self.failing.store(true, Ordering::Relaxed);
        passive
    }

    pub(crate) fn passive(&self) -> MutexGuard<'_, Passive> {
        lock(&self.passive)
    }

    /// Notes a connect that succeeded; returns whether that ends a back-off or a row of failures.
    pub(crate) fn succeeded(&self) -> bool {
        self.forgive_if(Passive::succeeded)
    }

    /// The same of something that was sent at `sent`, had time to be refused, and was not.
    pub(crate) fn not_refused(&self, sent: Instant) -> bool {
        self.forgive_if(|passive| passive.not_refused(sent))
    }

    fn forgive_if(&self, forgives: impl FnOnce(&mut Passive) -> bool) -> bool {
        if !self.failing.load(Ordering::Relaxed) {
            return false;
        }
        let mut passive = self.passive();
        let forgiven = forgives(&mut passive);
        if forgiven {
            self.failing.store(false, Ordering::Relaxed);
            self.end_trial();
        }
        forgiven
    }
}

/// The place of a connection that is kept open without a request; given back on drop.
#[derive(Debug)]
pub struct IdlePlace(Arc<BackendState>);

impl Drop for IdlePlace {
    fn drop(&mut self) {
        self.0.load.idle.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Whether a backend could get connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Usable {
    Yes,
    No,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One connection's place at a backend. Dropping it frees the place and hands it to the longest waiting connection.
#[derive(Debug)]
pub struct Lease {
    backend: Arc<Backend>,
    /// Whether this connection tries the backend after a back-off.
    trial: bool,
}

impl Lease {
    /// Takes a place at `backend`, unless it is full.
    pub(crate) fn try_take(backend: &Arc<Backend>) -> Option<Self> {
        let trial = backend.state.join_trial()?;
        if backend.state.try_enter() {
            return Some(Self { backend: Arc::clone(backend), trial });
        }
        if trial {
            backend.state.leave_trial();
        }
        None
    }

    /// Does not wait for a sign of success before others may follow: for flows that may never be answered.
    pub fn end_trial(&self) {
        self.backend.state.end_trial();
    }

    /// The backend that the place is at.
    pub fn backend(&self) -> &Arc<Backend> {
        &self.backend
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.backend.state.leave();
        if self.trial {
            self.backend.state.leave_trial();
        }
        self.backend.queue.serve(&self.backend);
    }
}
