//! One backend as the data paths hold it: what is observed of it, and the lease that a connection has on it.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crossbeam_utils::CachePadded;
use lb_model::{BackendAddress, BackendName, PoolName};

use crate::Passive;
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
    /// What is observed of it.
    pub state: Arc<BackendState>,
    pub(crate) queue: Arc<Queue>,
}

/// What is observed of a backend, over all workers. Outlives views.
#[derive(Debug)]
pub struct BackendState {
    in_flight: CachePadded<AtomicU32>,
    /// Most connections at once; `u32::MAX` for no limit.
    limit: u32,
    /// Whether the published view counts it as eligible.
    eligible: AtomicBool,
    /// Who may connect after a back-off: see the constants of [`Trial`].
    trial: AtomicU8,
    /// Whether `passive` has anything to forgive: spares the lock on every connect that succeeds.
    failing: AtomicBool,
    passive: Mutex<Passive>,
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
    pub(crate) fn new(limit: Option<u32>) -> Self {
        Self {
            in_flight: CachePadded::new(AtomicU32::new(0)),
            limit: limit.unwrap_or(u32::MAX),
            eligible: AtomicBool::new(false),
            trial: AtomicU8::new(Trial::OVER),
            failing: AtomicBool::new(false),
            passive: Mutex::default(),
        }
    }

    /// Connections that the backend has now, those being made included.
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Whether another connection fits. Sequentially consistent, because [`Queue`] relies on it: whoever enters the queue
    /// looks here afterwards, whoever frees a place looks at the queue afterwards, and one of them must see the other.
    pub(crate) fn has_room(&self) -> bool {
        self.in_flight.load(Ordering::SeqCst) < self.limit
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

    pub(crate) fn is_eligible(&self) -> bool {
        self.eligible.load(Ordering::SeqCst)
    }

    #[expect(clippy::fn_params_excessive_bools, reason = "a setter of the flag itself")]
    pub(crate) fn set_eligible(&self, eligible: bool) {
        self.eligible.store(eligible, Ordering::SeqCst);
    }

    /// Counts one connection more, unless the backend is full.
    fn try_enter(&self) -> bool {
        if self.limit == u32::MAX {
            self.in_flight.fetch_add(1, Ordering::Relaxed);
            return true;
        }
        let enter = |n: u32| (n < self.limit).then(|| n + 1);
        self.in_flight.fetch_update(Ordering::SeqCst, Ordering::SeqCst, enter).is_ok()
    }

    fn leave(&self) {
        self.in_flight.fetch_sub(1, Ordering::SeqCst);
    }

    /// The passive state, for a connect that failed.
    pub(crate) fn passive_failing(&self) -> MutexGuard<'_, Passive> {
        let passive = self.passive();
        self.failing.store(true, Ordering::Relaxed);
        passive
    }

    pub(crate) fn passive(&self) -> MutexGuard<'_, Passive> {
        self.passive.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes a connect that succeeded; returns whether that ends a back-off or a row of failures.
    pub(crate) fn succeeded(&self) -> bool {
        if !self.failing.load(Ordering::Relaxed) {
            return false;
        }
        let mut passive = self.passive();
        self.failing.store(false, Ordering::Relaxed);
        self.end_trial();
        passive.succeeded()
    }
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
