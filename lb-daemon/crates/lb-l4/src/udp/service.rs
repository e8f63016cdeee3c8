//! A UDP listener's service, as workers know it.

use std::cell::{Cell, RefCell};
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Waker;

use arc_swap::ArcSwap;
use lb_net::{Limit, MakeUdpService, UdpPort, UdpService, Worker};

use super::shell::Shell;
use crate::proxy::Proxy;

/// Serves the datagrams of one address on every worker. Clones are the same.
#[derive(Debug, Clone)]
pub struct UdpProxy(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    identity: ArcSwap<Identity>,
    /// Of all workers: a worker that is done keeps its own open until all are, because the others' flows would lose their way.
    _sockets: Vec<Arc<OwnedFd>>,
}

/// Which listener the address belongs to, and its limits and the process's.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) proxy: Proxy,
    pub(super) limits: [Limit; 2],
}

impl UdpProxy {
    /// For an address of a listener, which has a socket for each worker; with limits of the listener and of the process.
    pub fn new(proxy: Proxy, limits: [Limit; 2], sockets: Vec<Arc<OwnedFd>>) -> Self {
        let identity = ArcSwap::from_pointee(Identity { proxy, limits });
        Self(Arc::new(Shared { identity, _sockets: sockets }))
    }

    /// Serves the address as another listener's from now on, on all workers. Flows stay, and go on to count as the former
    /// one's.
    pub fn hand_over(&self, proxy: Proxy, limits: [Limit; 2]) {
        self.0.identity.store(Arc::new(Identity { proxy, limits }));
    }

    pub(super) fn identity(&self) -> Arc<Identity> {
        self.0.identity.load_full()
    }

    /// Whether `known` is still the identity.
    pub(super) fn is(&self, known: &Arc<Identity>) -> bool {
        Arc::ptr_eq(&self.0.identity.load(), known)
    }
}

impl MakeUdpService for UdpProxy {
    fn open(&self, worker: &Rc<Worker>, port: UdpPort) -> Rc<dyn UdpService> {
        let control = Rc::new(Control::default());
        match Shell::new(worker, port, self.clone(), Rc::clone(&control)) {
            Ok(shell) => worker.spawn(shell),
            Err(error) => {
                let listener = &self.identity().proxy.served.name;
                tracing::error!(%listener, %error, "a worker cannot watch flows: out of resources");
            }
        }
        control
    }
}

/// What a port is told.
#[derive(Debug, Default)]
pub(super) struct Control {
    phase: Cell<Phase>,
    waker: RefCell<Option<Waker>>,
}

/// What becomes of flows.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// New ones begin.
    #[default]
    Open,
    /// Those that there are go on.
    Closing,
    /// None.
    Over,
}

impl Control {
    /// The phase; `waker` is woken when it changes.
    pub(super) fn phase(&self, waker: &Waker) -> Phase {
        let mut known = self.waker.borrow_mut();
        if known.as_ref().is_none_or(|known| !known.will_wake(waker)) {
            *known = Some(waker.clone());
        }
        self.phase.get()
    }

    fn set(&self, phase: Phase) {
        self.phase.set(phase);
        self.wake();
    }

    fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

impl UdpService for Control {
    fn refresh(&self) {
        self.wake();
    }

    fn close(&self) {
        if self.phase.get() == Phase::Open {
            self.set(Phase::Closing);
        }
    }

    fn end(&self) {
        self.set(Phase::Over);
    }
}
