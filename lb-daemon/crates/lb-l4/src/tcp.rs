//! A TCP listener's service.

use std::cell::{Cell, OnceCell, RefCell};
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use lb_balance::{Protocol, Turn};
use lb_model::{Listener, ListenerName, Termination};
use lb_net::{
    Accepted, ConnectError, MakeService, RelayEnd, ResetIfCut, Service, Side, Timer, Worker, clock, connect,
    relay, reset,
};
use lb_runtime::{Lease, ListenerSlot, NoLease, NoPlace, PoolView, Runtime, Tried, View};
use lb_telemetry::metrics::{ListenerSheet, PerWorker};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::record::{Common, Record};

/// Makes the service of one TCP listener for each worker. What the listener's settings are, each connection finds in the
/// view of its moment, so that a reload needs no other service.
#[derive(Debug, Clone)]
pub struct TcpProxy {
    name: ListenerName,
    slot: ListenerSlot,
    former: Option<Former>,
    runtime: Arc<Runtime>,
    metrics: Arc<PerWorker<ListenerSheet>>,
}

impl TcpProxy {
    /// A proxy for the listener called `name`, which counts into `metrics`.
    pub fn new(name: ListenerName, runtime: Arc<Runtime>, metrics: Arc<PerWorker<ListenerSheet>>) -> Self {
        Self { slot: runtime.slot(&name), former: None, name, runtime, metrics }
    }

    /// As [`new`](Self::new), for sockets of the listener called `former`, whose settings hold until a view has those of the
    /// new one.
    pub fn in_place_of(
        former: &ListenerName,
        name: ListenerName,
        runtime: Arc<Runtime>,
        metrics: Arc<PerWorker<ListenerSheet>>,
    ) -> Self {
        let generation = runtime.view().snapshot.generation;
        let former = Former { slot: runtime.slot(former), until_after: generation };
        Self { former: Some(former), ..Self::new(name, runtime, metrics) }
    }
}

/// Whose sockets a service has taken over, and until when that one's settings hold for them: for as long as views have the
/// configuration of that moment.
#[derive(Debug, Clone, Copy)]
struct Former {
    slot: ListenerSlot,
    until_after: u64,
}

impl MakeService for TcpProxy {
    fn make(&self, worker: &Rc<Worker>) -> Rc<dyn Service> {
        Rc::new(OnWorker {
            proxy: self.clone(),
            common: RefCell::default(),
            last: OnceCell::new(),
            // Workers take turns from different places: the first connections shall not all go to the same backend.
            turn: Cell::new(u32::try_from(worker.index).unwrap_or(0)),
        })
    }
}

/// The service on one worker.
struct OnWorker {
    proxy: TcpProxy,
    /// For the pool that the last connection was for.
    common: RefCell<Option<Rc<Common>>>,
    /// What held when the listener was removed, for those whom it had taken before.
    last: OnceCell<Last>,
    turn: Cell<u32>,
}

/// What a connection takes from the view. Nothing of it pins the view or its snapshot.
struct Settings {
    pool: Arc<PoolView>,
    seed: u32,
    idle_timeout: Option<Duration>,
    access: Access,
}

/// What the access list says of a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    Permitted,
    Denied,
}

struct Last {
    listener: Arc<Listener>,
    pool: Arc<PoolView>,
    seed: u32,
}

impl Service for OnWorker {
    fn serve(self: Rc<Self>, worker: &Rc<Worker>, accepted: Accepted) {
        let Accepted { stream, client, local, permits } = accepted;
        // There are some: a listener is closed before the view that no longer has it is published.
        let Some(settings) = self.settings(client.ip()) else { return reset(stream) };
        let record = Record::new(&self.common(&settings.pool), worker, client, local, permits);
        if settings.access == Access::Denied {
            reset(stream);
            return record.end(Termination::Denied);
        }
        worker.spawn(self.connection(settings, stream, record));
    }

    fn closing(&self) {
        let view = self.proxy.runtime.view();
        let Some((listener, pool)) = self.find(&view) else { return };
        let seed = view.snapshot.config.global.hash_seed;
        let _ = self.last.set(Last { listener: Arc::clone(listener), pool: Arc::clone(pool), seed });
    }
}

impl OnWorker {
    fn settings(&self, client: IpAddr) -> Option<Settings> {
        let of = |listener: &Listener, pool: &Arc<PoolView>, seed| Settings {
            pool: Arc::clone(pool),
            seed,
            idle_timeout: listener.idle_timeout,
            access: if listener.access.permits(client) { Access::Permitted } else { Access::Denied },
        };
        if let Some(Last { listener, pool, seed }) = self.last.get() {
            return Some(of(listener, pool, *seed));
        }
        let view = self.proxy.runtime.view();
        let (listener, pool) = self.find(&view)?;
        Some(of(listener, pool, view.snapshot.config.global.hash_seed))
    }

    fn find<'v>(&self, view: &'v View) -> Option<(&'v Arc<Listener>, &'v Arc<PoolView>)> {
        let former = self.proxy.former.filter(|former| view.snapshot.generation <= former.until_after);
        let listener = view.listener(former.map_or(self.proxy.slot, |former| former.slot))?;
        Some((listener, view.pool(listener.pool?)?))
    }

    fn common(&self, pool: &PoolView) -> Rc<Common> {
        let mut slot = self.common.borrow_mut();
        let pool = &pool.settings.name;
        if let Some(common) = slot.as_ref().filter(|common| common.pool == *pool) {
            return Rc::clone(common);
        }
        let (listener, metrics) = (self.proxy.name.clone(), Arc::clone(&self.proxy.metrics));
        Rc::clone(slot.insert(Rc::new(Common { listener, pool: pool.clone(), metrics })))
    }

    /// The life of a connection. What it holds while it is idle is what an idle connection costs.
    #[expect(clippy::manual_async_fn, reason = "an `async fn` holds its arguments twice")]
    fn connection(
        self: Rc<Self>,
        settings: Settings,
        client: TcpStream,
        mut record: Record,
    ) -> impl Future<Output = ()> {
        async move {
            let timer = record.worker.timers().timer();
            let idle = settings.idle_timeout;
            // Boxed, because it needs more room than the relay, where most connections spend their lives.
            let established = Box::pin(unless_client_fails(
                &client,
                self.establish(settings, &client, &mut record, &timer),
            ));
            let termination = match established.await {
                Ok((_lease, backend)) => {
                    let worker = Rc::clone(&record.worker);
                    terminated(relay(&worker, client, backend, idle, &timer, &record.counts, &record).await)
                }
                Err(termination) => {
                    reset(client);
                    termination
                }
            };
            record.end(termination);
        }
    }

    /// Finds a backend that accepts the connection: different ones, up to the pool's `connect_tries`.
    async fn establish(
        &self,
        Settings { pool, seed, .. }: Settings,
        client: &TcpStream,
        record: &mut Record,
        timer: &Timer,
    ) -> Result<(Lease, TcpStream), Termination> {
        let worker = Rc::clone(&record.worker);
        let _guard = ResetIfCut { stream: client, worker: &worker };
        let turn = Turn {
            flow: pool.flow_hash(seed, Protocol::Tcp, record.client, record.local),
            count: self.turn.get(),
            random: fastrand::u64(..),
        };
        self.turn.set(turn.count.wrapping_add(1));
        let mut tried = Tried::default();
        let mut failed = Termination::NoBackend;
        while tried.len() < usize::from(pool.settings.connect_tries.get()) {
            let begun = clock::now();
            let lease = match pool.try_lease(turn, &tried, begun) {
                Ok(lease) => lease,
                Err(NoLease::NoBackend) => return Err(failed),
                Err(NoLease::AllFull) => queue(&pool, &tried, record, timer).await?,
            };
            record.tries = record.tries.saturating_add(1);
            record.backend = Some(Arc::clone(lease.backend()));
            let error = match self.connect(&pool, &lease, record, timer).await {
                Ok(stream) => return Ok((lease, stream)),
                Err(error) => error,
            };
            failed = match error {
                ConnectError::TimedOut => Termination::ConnectTimeout,
                ConnectError::Refused(_) => Termination::ConnectFailed,
                ConnectError::NoLocalPort(_) => Termination::LocalResources,
                ConnectError::LocalResources(error) => {
                    let backend = &lease.backend().name;
                    tracing::error!(pool = %pool.settings.name, %backend, %error, "cannot make a connection: out of resources");
                    return Err(Termination::LocalResources);
                }
            };
            tried.insert(lease.backend());
        }
        Err(failed)
    }

    /// Connects to the lease's backend, and tells how that went.
    async fn connect(
        &self,
        pool: &PoolView,
        lease: &Lease,
        record: &mut Record,
        timer: &Timer,
    ) -> Result<TcpStream, ConnectError> {
        let backend = lease.backend();
        let address = backend.address.for_listener_port(record.local.port());
        let begun = clock::now();
        let connected = connect(address, pool.settings.keepalive, pool.settings.connect_timeout, timer).await;
        let now = clock::now();
        let took = now.saturating_duration_since(begun);
        record.connecting += took;
        let sheet = backend.state.metrics.of(record.worker.index);
        match &connected {
            Ok(_) => {
                sheet.connections.add(1);
                sheet.connect.observe(took);
                backend.observe_connect(took, now);
                self.proxy.runtime.connect_succeeded(pool, backend);
            }
            // A backend without a port is dialled on the client's: a port that nobody listens on says nothing of the others,
            // and clients must not be able to take backends out by asking for it.
            Err(ConnectError::Refused(_)) if backend.address.port.is_none() => sheet.connect_failures.add(1),
            Err(error @ ConnectError::Refused(_)) => {
                sheet.connect_failures.add(1);
                self.proxy.runtime.connect_failed(pool, backend, error, now);
            }
            Err(error @ ConnectError::TimedOut) => {
                sheet.connect_timeouts.add(1);
                backend.observe_connect(took, now);
                self.proxy.runtime.connect_failed(pool, backend, error, now);
            }
            Err(ConnectError::NoLocalPort(_) | ConnectError::LocalResources(_)) => {}
        }
        connected
    }
}

fn terminated(end: RelayEnd) -> Termination {
    match end {
        RelayEnd::Finished => Termination::Finished,
        RelayEnd::Reset(Side::Client) => Termination::ClientReset,
        RelayEnd::Reset(Side::Backend) => Termination::BackendReset,
        RelayEnd::Lost(Side::Client) => Termination::ClientLost,
        RelayEnd::Lost(Side::Backend) => Termination::BackendLost,
        RelayEnd::Idle => Termination::IdleTimeout,
    }
}

/// Goes on with `work` unless the client resets its connection meanwhile. A client that only said all that it had to say
/// (FIN) is still served.
async fn unless_client_fails<T>(
    client: &TcpStream,
    work: impl Future<Output = Result<T, Termination>>,
) -> Result<T, Termination> {
    let mut work = pin!(work);
    let mut failed = pin!(client.ready(Interest::ERROR));
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Pending => failed.as_mut().poll(cx).map(|_| Err(Termination::ClientGone)),
        done => done,
    })
    .await
}

/// Waits in the pool's queue until a backend has room.
async fn queue(
    pool: &PoolView,
    tried: &Tried,
    record: &mut Record,
    timer: &Timer,
) -> Result<Lease, Termination> {
    let begun = clock::now();
    let mut waiting = pin!(pool.wait(tried).map_err(|NoPlace| Termination::QueueFull)?);
    timer.arm(pool.settings.queue.timeout);
    let lease = poll_fn(|cx| match waiting.as_mut().poll(cx) {
        Poll::Pending => timer.poll(cx).map(|()| Err(Termination::QueueTimeout)),
        Poll::Ready(lease) => Poll::Ready(Ok(lease)),
    })
    .await;
    record.queued += clock::now().saturating_duration_since(begun);
    lease
}
