//! One backend as the data paths hold it: what is observed of it, and the lease that a connection has on it.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
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
    /// Whether `passive` has anything to forgive: spares the lock on every connect that succeeds.
    failing: AtomicBool,
    passive: Mutex<Passive>,
}

impl BackendState {
    pub(crate) fn new(limit: Option<u32>) -> Self {
        Self {
            in_flight: CachePadded::new(AtomicU32::new(0)),
            limit: limit.unwrap_or(u32::MAX),
            eligible: AtomicBool::new(false),
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
        passive.succeeded()
    }
}

/// One connection's place at a backend. Dropping it frees the place and hands it to the longest waiting connection.
#[derive(Debug)]
pub struct Lease {
    backend: Arc<Backend>,
}

impl Lease {
    /// Takes a place at `backend`, unless it is full.
    pub(crate) fn try_take(backend: &Arc<Backend>) -> Option<Self> {
        backend.state.try_enter().then(|| Self { backend: Arc::clone(backend) })
    }

    /// The backend that the place is at.
    pub fn backend(&self) -> &Arc<Backend> {
        &self.backend
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.backend.state.leave();
        self.backend.queue.serve(&self.backend);
    }
}
