//! Connections to backends that wait for a request, on one worker.

use std::cell::RefCell;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use lb_model::HttpUpstream;
use lb_net::{Timer, Wire, Worker, clock};
use lb_runtime::{Backend, BackendState, IdlePlace};
use tokio::sync::Notify;

/// A worker's idle connections. The youngest is used first, so that those that are not needed grow old.
#[derive(Debug, Default)]
pub(crate) struct IdleConnections {
    by_backend: RefCell<HashMap<Key, Vec<Idle>, BuildHasherDefault<KeyHasher>>>,
    /// There is one, after there was none.
    first: Notify,
}

/// The address of a backend's state, which no other has while there are connections for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key(usize);

#[derive(Debug)]
struct Idle {
    wire: Wire,
    /// When it has waited long enough, on the coarse clock.
    until: Duration,
    _place: IdlePlace,
    /// Has the key stay this backend's.
    _state: Arc<BackendState>,
}

impl IdleConnections {
    /// How often to look for those that have waited long enough.
    const SWEEP: Duration = Duration::from_secs(1);

    /// None yet. A task of the worker closes those that grow old, until the worker ends.
    pub(crate) fn on(worker: &Worker) -> Rc<Self> {
        let connections = Rc::new(Self::default());
        worker.run_beside(Rc::clone(&connections).sweep(worker.timers().timer()));
        connections
    }

    /// A connection to `backend` that is still open, as far as is known without asking.
    pub(crate) fn take(&self, backend: &Backend) -> Option<Wire> {
        let mut by_backend = self.by_backend.borrow_mut();
        let connections = by_backend.get_mut(&Key::of(&backend.state))?;
        // One that is not quiet was closed by the backend, or has sent what nobody has asked for.
        std::iter::from_fn(|| connections.pop()).map(|idle| idle.wire).find(Wire::is_quiet)
    }

    /// Keeps a connection for the next request, unless there are enough.
    pub(crate) fn put(&self, backend: &Backend, wire: Wire, settings: &HttpUpstream) {
        let Some(place) = backend.state.keep_idle(settings.max_idle_connections) else { return };
        let until = clock::coarse() + settings.idle_connection_timeout;
        let idle = Idle { wire, until, _place: place, _state: Arc::clone(&backend.state) };
        let mut by_backend = self.by_backend.borrow_mut();
        if by_backend.is_empty() {
            self.first.notify_one();
        }
        by_backend.entry(Key::of(&backend.state)).or_default().push(idle);
    }

    async fn sweep(self: Rc<Self>, timer: Timer) {
        loop {
            if self.by_backend.borrow().is_empty() {
                self.first.notified().await;
            }
            timer.sleep(Self::SWEEP).await;
            let now = clock::coarse();
            self.by_backend.borrow_mut().retain(|_, connections| {
                connections.retain(|idle| now < idle.until && idle.wire.is_quiet());
                !connections.is_empty()
            });
        }
    }
}

impl Key {
    fn of(state: &Arc<BackendState>) -> Self {
        Self(Arc::as_ptr(state).addr())
    }
}

/// Spreads addresses, whose low bits are all the same: nobody outside chooses them.
#[derive(Debug, Default)]
struct KeyHasher(u64);

impl Hasher for KeyHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.write_usize(byte.into()));
    }

    fn write_usize(&mut self, number: usize) {
        self.0 = (self.0 ^ number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(32);
    }
}
