//! A TCP listener's service.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use lb_balance::{FlowHash, Protocol, Turn};
use lb_model::{Listener, PoolName, Termination};
use lb_net::{
    Accepted, ConnectError, MakeService, RelayEnd, ResetIfCut, Service, Side, Timer, Worker, clock, connect,
    relay, reset,
};
use lb_runtime::{Lease, NoLease, NoPlace, PoolView, Runtime, Tried};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::record::{Names, Record};

/// Makes the service of one TCP listener for each worker.
pub struct TcpProxy {
    listener: Arc<Listener>,
    pool: PoolName,
    runtime: Arc<Runtime>,
}

impl TcpProxy {
    /// A proxy for `listener`, whose pool is called `pool`; both of the runtime's configuration.
    pub fn new(listener: Listener, pool: PoolName, runtime: Arc<Runtime>) -> Self {
        Self { listener: Arc::new(listener), pool, runtime }
    }
}

impl MakeService for TcpProxy {
    fn make(&self, worker: &Rc<Worker>) -> Rc<dyn Service> {
        Rc::new(OnWorker {
            listener: Arc::clone(&self.listener),
            runtime: Arc::clone(&self.runtime),
            names: Rc::new(Names { listener: self.listener.name.clone(), pool: self.pool.clone() }),
            // Workers take turns from different places: the first connections shall not all go to the same backend.
            turn: Cell::new(u32::try_from(worker.index).unwrap_or(0)),
        })
    }
}

/// The service on one worker.
struct OnWorker {
    listener: Arc<Listener>,
    runtime: Arc<Runtime>,
    names: Rc<Names>,
    turn: Cell<u32>,
}

impl Service for OnWorker {
    fn serve(self: Rc<Self>, worker: &Rc<Worker>, accepted: Accepted) {
        let Accepted { stream, client, local, permits } = accepted;
        let record = Record::new(&self.names, worker, client, local, permits);
        if !self.listener.access.permits(client.ip()) {
            reset(stream);
            return record.end(Termination::Denied);
        }
        worker.spawn(self.connection(stream, record));
    }
}

impl OnWorker {
    /// The life of a connection. What it holds while it is idle is what an idle connection costs.
    #[expect(clippy::manual_async_fn, reason = "an `async fn` holds its arguments twice")]
    fn connection(self: Rc<Self>, client: TcpStream, mut record: Record) -> impl Future<Output = ()> {
        async move {
            let timer = record.worker.timers().timer();
            // Boxed, because it needs more room than the relay, where most connections spend their lives.
            let established =
                Box::pin(unless_client_fails(&client, self.establish(&client, &mut record, &timer)));
            let termination = match established.await {
                Ok((_lease, backend)) => {
                    let idle = self.listener.idle_timeout;
                    terminated(relay(&record.worker, client, backend, idle, &timer, &record.counts).await)
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
        client: &TcpStream,
        record: &mut Record,
        timer: &Timer,
    ) -> Result<(Lease, TcpStream), Termination> {
        let worker = Rc::clone(&record.worker);
        let _guard = ResetIfCut { stream: client, worker: &worker };
        let (pool, seed) = {
            let view = self.runtime.view();
            let pool = view.pool(self.listener.pool).map(Arc::clone).ok_or(Termination::NoBackend)?;
            (pool, view.snapshot.config.global.hash_seed)
        };
        let turn = Turn {
            flow: FlowHash::of_tuple(seed, Protocol::Tcp, record.client, record.local),
            count: self.turn.get(),
        };
        self.turn.set(turn.count.wrapping_add(1));
        let mut tried = Tried::default();
        let mut failed = Termination::NoBackend;
        while tried.len() < usize::from(pool.settings.connect_tries.get()) {
            let lease = match pool.try_lease(turn, &tried) {
                Ok(lease) => lease,
                Err(NoLease::NoBackend) => return Err(failed),
                Err(NoLease::AllFull) => queue(&pool, &tried, record, timer).await?,
            };
            record.tries = record.tries.saturating_add(1);
            record.backend = Some(Arc::clone(lease.backend()));
            let begun = clock::now();
            let address = lease.backend().address.for_listener_port(record.local.port());
            let connected =
                connect(address, pool.settings.keepalive, pool.settings.connect_timeout, timer).await;
            let now = clock::now();
            record.connecting += now.saturating_duration_since(begun);
            let error = match connected {
                Ok(stream) => {
                    self.runtime.connect_succeeded(&pool, lease.backend());
                    return Ok((lease, stream));
                }
                Err(ConnectError::LocalResources(error)) => {
                    let backend = &lease.backend().name;
                    tracing::error!(pool = %pool.settings.name, %backend, %error, "cannot make a connection: out of resources");
                    return Err(Termination::LocalResources);
                }
                Err(error) => error,
            };
            failed = match error {
                ConnectError::TimedOut => Termination::ConnectTimeout,
                ConnectError::Refused(_) => Termination::ConnectFailed,
                ConnectError::NoLocalPort(_) | ConnectError::LocalResources(_) => Termination::LocalResources,
            };
            // A backend without a port is dialled on the client's: a port that nobody listens on says nothing of the others,
            // and clients must not be able to take backends out by asking for it.
            let has_port = lease.backend().address.port.is_some();
            if failed == Termination::ConnectTimeout || (failed == Termination::ConnectFailed && has_port) {
                self.runtime.connect_failed(&pool, lease.backend(), &error, now);
            }
            tried.insert(lease.backend());
        }
        Err(failed)
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
