//! From a pool to a backend that accepts a connection: pick and lease, else the queue → connect, else another backend. What
//! TCP connections and HTTP requests have in common.
#![forbid(unsafe_code)]

mod served;

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use lb_balance::Turn;
use lb_model::{Pool, Termination};
use lb_net::{ConnectError, Timer, clock, connect};
use lb_runtime::{Backend, Lease, NoLease, NoPlace, PoolView, Runtime, Tried};
use tokio::net::TcpStream;

pub use served::Served;

/// Who wants a connection, and of what kind.
#[derive(Debug)]
pub struct Dial<'a> {
    /// Who hears of backends that fail.
    pub runtime: &'a Runtime,
    /// The pool that serves.
    pub pool: &'a PoolView,
    /// What its algorithm goes by.
    pub turn: Turn,
    /// The worker that it happens on.
    pub worker: usize,
    /// The port that the client came to: backends without a port of their own have the same.
    pub port: u16,
    /// What a new connection says first of all: a PROXY header, or nothing.
    pub first: &'a [u8],
    /// The connection's; it comes back armed or not.
    pub timer: &'a Timer,
}

/// What it took to get a connection, for records.
#[derive(Debug, Default)]
pub struct Trail {
    /// The backend that was tried last.
    pub backend: Option<Arc<Backend>>,
    /// Backends that were tried.
    pub tries: u8,
    /// Spent waiting in the pool's queue.
    pub queued: Duration,
    /// Spent connecting, vain tries included.
    pub connecting: Duration,
}

/// A connection to a backend.
#[derive(Debug)]
pub enum Dialled<C> {
    /// Newly made.
    New(TcpStream),
    /// One that was there.
    Kept(C),
}

impl Dial<'_> {
    /// A connection to a backend: one that `kept` has for the lease, else a new one. Different backends are tried, up to the
    /// pool's `connect_tries`, none that is in `tried`.
    ///
    /// # Errors
    ///
    /// Why there is none.
    pub async fn dial<C>(
        &self,
        tried: &mut Tried,
        trail: &mut Trail,
        mut kept: impl FnMut(&Lease) -> Option<C>,
    ) -> Result<(Lease, Dialled<C>), Termination> {
        let mut failed = Termination::NoBackend;
        while tried.len() < usize::from(self.pool.settings.connect_tries.get()) {
            let lease = match self.pool.try_lease(self.turn, tried, clock::now()) {
                Ok(lease) => lease,
                Err(NoLease::NoBackend) => {
                    // A moment ago this client had a choice: it need not lose by it that the others back off just now.
                    let last_resort = self.pool.try_lease_backing_off(self.turn, tried);
                    last_resort.filter(|_| !tried.is_empty()).ok_or(failed)?
                }
                Err(NoLease::AllFull) => self.queue(tried, trail).await?,
            };
            trail.tries = trail.tries.saturating_add(1);
            trail.backend = Some(Arc::clone(lease.backend()));
            if let Some(connection) = kept(&lease) {
                return Ok((lease, Dialled::Kept(connection)));
            }
            let error = match self.connect(&lease, trail).await {
                Ok(stream) => return Ok((lease, Dialled::New(stream))),
                Err(error) => error,
            };
            failed = match error {
                ConnectError::TimedOut => Termination::ConnectTimeout,
                ConnectError::Refused(_) => Termination::ConnectFailed,
                ConnectError::NoLocalPort(_) => Termination::LocalResources,
                ConnectError::LocalResources(error) => {
                    let (pool, backend) = (&self.pool.settings.name, &lease.backend().name);
                    tracing::error!(%pool, %backend, %error, "cannot make a connection: out of resources");
                    return Err(Termination::LocalResources);
                }
            };
            tried.insert(lease.backend());
        }
        Err(failed)
    }

    /// Connects to the lease's backend, and tells how that went.
    async fn connect(&self, lease: &Lease, trail: &mut Trail) -> Result<TcpStream, ConnectError> {
        let backend = lease.backend();
        let address = backend.address.for_listener_port(self.port);
        let begun = clock::now();
        let Pool { keepalive, connect_timeout, .. } = *self.pool.settings;
        let connected = connect(address, self.first, keepalive, connect_timeout, self.timer).await;
        let now = clock::now();
        let took = now.saturating_duration_since(begun);
        trail.connecting += took;
        let sheet = backend.state.metrics.of(self.worker);
        match &connected {
            Ok(_) => {
                sheet.connections.add(1);
                sheet.connect.observe(took);
                backend.observe_connect(took, now);
                self.runtime.connect_succeeded(backend);
            }
            // A backend without a port is dialled on the client's: a port that nobody listens on says nothing of the others,
            // and clients must not be able to take backends out by asking for it.
            Err(ConnectError::Refused(_)) if backend.address.port.is_none() => sheet.connect_failures.add(1),
            Err(error @ ConnectError::Refused(_)) => {
                sheet.connect_failures.add(1);
                self.runtime.connect_failed(backend, error, now);
            }
            Err(error @ ConnectError::TimedOut) => {
                sheet.connect_timeouts.add(1);
                backend.observe_connect(took, now);
                self.runtime.connect_failed(backend, error, now);
            }
            Err(ConnectError::NoLocalPort(_) | ConnectError::LocalResources(_)) => {}
        }
        connected
    }

    /// Waits in the pool's queue until a backend has room.
    async fn queue(&self, tried: &Tried, trail: &mut Trail) -> Result<Lease, Termination> {
        let begun = clock::now();
        let waiting = self.pool.wait(tried).map_err(|NoPlace| Termination::QueueFull)?;
        self.timer.arm(self.pool.settings.queue.timeout);
        let lease = before(self.timer, waiting).await;
        trail.queued += clock::now().saturating_duration_since(begun);
        lease.map_err(|TooLate| Termination::QueueTimeout)
    }
}

/// Goes on with `work` until `timer` fires.
pub async fn before<T>(timer: &Timer, work: impl Future<Output = T>) -> Result<T, TooLate> {
    let mut work = pin!(work);
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Pending => timer.poll(cx).map(|()| Err(TooLate)),
        Poll::Ready(done) => Poll::Ready(Ok(done)),
    })
    .await
}

/// The time is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooLate;
