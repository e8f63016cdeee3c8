//! The service of a listener whose clients connect: TCP, or TLS that is passed through.

mod preface;
mod proxy_header;

use std::cell::{Cell, OnceCell, RefCell};
use std::future::{Future, poll_fn};
use std::net::IpAddr;
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use lb_balance::{Protocol, Turn};
use lb_model::{NoRoute, Pool, Termination};
use lb_net::sniff::alert::Alert;
use lb_net::sniff::client_hello::ClientHello;
use lb_net::{
    Accepted, ClientPlace, ConnectError, MakeService, RelayEnd, ResetIfCut, Service, Side, Timer, Worker,
    clock, close_with, connect, relay, reset,
};
use lb_runtime::{Lease, NoLease, NoPlace, PoolView, Tried};
use tokio::io::Interest;
use tokio::net::TcpStream;

pub(crate) use self::preface::Preface;
use self::preface::{Expected, Presence, Refusal, read_client_hello, read_proxy_header};
use crate::proxy::{AtLimit, Proxy};
use crate::record::{Common, Record};
use crate::terms::{LastTerms, Terms};

impl MakeService for Proxy {
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
    proxy: Proxy,
    /// For the pool that the last connection was for.
    common: RefCell<Option<Rc<Common>>>,
    /// Once the listener is removed.
    last: OnceCell<LastTerms>,
    turn: Cell<u32>,
}

/// What a connection takes from the terms. Nothing of it pins a view or its snapshot.
struct Settings {
    pool: Arc<PoolView>,
    seed: u32,
    idle_timeout: Option<Duration>,
}

/// How a connection begins.
enum Begin {
    /// Nothing that is of interest here.
    Relaying(Settings),
    /// Something that has to be read first.
    Reading(Expected),
}

impl Service for OnWorker {
    fn serve(self: Rc<Self>, worker: &Rc<Worker>, accepted: Accepted) {
        let Accepted { stream, client, local, permits } = accepted;
        let begun = self.with_terms(|terms| {
            let begin = self.begin(terms, client.ip());
            let pool = match &begin {
                Ok((Begin::Relaying(settings), _)) => Some(&settings.pool),
                Ok((Begin::Reading(_), _)) => None,
                // A client of TLS has not said yet whom it wants.
                Err(_) if terms.listener.protocol == lb_model::Protocol::Tls => None,
                Err(_) => terms.pool(None).ok(),
            };
            let common = self.common(pool);
            (begin, common)
        });
        // There are some: a listener is closed before the view that no longer has it is published.
        let Some((begin, common)) = begun else { return reset(stream) };
        let mut record = Record::new(&common, worker, client, local, permits);
        match begin {
            Ok((begin, place)) => {
                record.hold(place);
                worker.spawn(self.connection(begin, stream, record));
            }
            Err(termination) => {
                reset(stream);
                record.end(termination);
            }
        }
    }

    fn closing(&self) {
        let view = self.proxy.runtime.view();
        if let Some(last) = LastTerms::of(&view, self.proxy.slot(&view)) {
            let _ = self.last.set(last);
        }
    }
}

impl OnWorker {
    /// The terms of this moment; `None` if the listener is gone.
    fn with_terms<T>(&self, then: impl FnOnce(&Terms<'_>) -> T) -> Option<T> {
        if let Some(last) = self.last.get() {
            return Some(then(&last.terms()));
        }
        let view = self.proxy.runtime.view();
        Terms::of(&view, self.proxy.slot(&view)).map(|terms| then(&terms))
    }

    /// How a connection from `peer` begins, and its place where those are counted; an error is why it ends at once.
    fn begin(&self, terms: &Terms<'_>, peer: IpAddr) -> Result<(Begin, Option<ClientPlace>), Termination> {
        match Expected::of(terms.listener, peer) {
            // Whoever trusts a peer's PROXY headers to say who the client is, does not mean the peer's own address.
            Some(expected) if expected.proxy_header == Presence::Expected => {
                Ok((Begin::Reading(expected), None))
            }
            Some(expected) => Ok((Begin::Reading(expected), self.admit(terms, peer)?)),
            None => {
                let place = self.admit(terms, peer)?;
                let settings = settings(terms, None).map_err(|_nobody| Termination::NoRoute)?;
                Ok((Begin::Relaying(settings), place))
            }
        }
    }

    /// Asks the access list, and for a place where those are counted.
    fn admit(&self, terms: &Terms<'_>, client: IpAddr) -> Result<Option<ClientPlace>, Termination> {
        if !terms.listener.access.permits(client) {
            return Err(Termination::Denied);
        }
        self.proxy.place(terms.listener, client).map_err(|AtLimit| Termination::ClientLimit)
    }

    fn common(&self, pool: Option<&Arc<PoolView>>) -> Rc<Common> {
        let pool = pool.map(|pool| &pool.settings.name);
        let mut slot = self.common.borrow_mut();
        if let Some(common) = slot.as_ref().filter(|common| common.pool.as_ref() == pool) {
            return Rc::clone(common);
        }
        let (listener, metrics) = (self.proxy.name.clone(), Arc::clone(&self.proxy.metrics));
        Rc::clone(slot.insert(Rc::new(Common { listener, pool: pool.cloned(), metrics })))
    }

    /// The life of a connection. What it holds while it is idle is what an idle connection costs.
    #[expect(clippy::manual_async_fn, reason = "an `async fn` holds its arguments twice")]
    fn connection(
        self: Rc<Self>,
        begin: Begin,
        client: TcpStream,
        mut record: Record,
    ) -> impl Future<Output = ()> {
        async move {
            let timer = record.worker.timers().timer();
            // Boxed, because it needs more room than the relay, where most connections spend their lives.
            let established =
                Box::pin(unless_client_fails(&client, self.begun(begin, &client, &mut record, &timer)));
            let termination = match established.await {
                Ok((_lease, backend, idle)) => {
                    let worker = Rc::clone(&record.worker);
                    terminated(relay(&worker, client, backend, idle, &timer, &record.counts, &record).await)
                }
                Err(Refusal { why, alert }) => {
                    match alert {
                        Some(alert) => Box::pin(tell(alert, client, &record.worker, &timer)).await,
                        None => reset(client),
                    }
                    why
                }
            };
            record.end(termination);
        }
    }

    /// Reads what comes first, and finds a backend.
    async fn begun(
        &self,
        begin: Begin,
        client: &TcpStream,
        record: &mut Record,
        timer: &Timer,
    ) -> Result<(Lease, TcpStream, Option<Duration>), Refusal> {
        let worker = Rc::clone(&record.worker);
        let _guard = ResetIfCut { stream: client, worker: &worker };
        let settings = match begin {
            Begin::Relaying(settings) => settings,
            Begin::Reading(expected) => {
                timer.arm(expected.within);
                let read = self.read(expected, client, record);
                before(timer, read).await.unwrap_or_else(|TooLate| Err(Termination::HeaderTimeout.into()))?;
                self.chosen(record)?
            }
        };
        let idle_timeout = settings.idle_timeout;
        let (lease, backend) = self.establish(settings, record, timer).await?;
        record.forget_header();
        Ok((lease, backend, idle_timeout))
    }

    /// Reads what comes first. A client that a PROXY header names is let in, or not, before it has said anything itself.
    async fn read(&self, expected: Expected, stream: &TcpStream, record: &mut Record) -> Result<(), Refusal> {
        let worker = Rc::clone(&record.worker);
        if expected.proxy_header == Presence::Expected {
            read_proxy_header(&worker, stream, record).await?;
            let client = record.client.ip();
            // Without the listener there are no terms; that shows when a pool is to be chosen.
            if let Some(place) = self.with_terms(|terms| self.admit(terms, client)) {
                record.hold(place?);
            }
        }
        if expected.client_hello == Presence::Expected {
            read_client_hello(&worker, stream, record).await?;
        }
        Ok(())
    }

    /// Chooses the pool by what was read.
    fn chosen(&self, record: &mut Record) -> Result<Settings, Refusal> {
        let chosen = self.with_terms(|terms| {
            settings(terms, record.hello()).map_err(|why| Refusal {
                why: Termination::NoRoute,
                alert: record.hello().map(|_| match why {
                    NoRoute::Name => Alert::UnrecognizedName,
                    NoRoute::Protocol => Alert::NoApplicationProtocol,
                }),
            })
        });
        let settings = chosen.unwrap_or(Err(Termination::NoRoute.into()))?;
        record.belongs_to(&self.common(Some(&settings.pool)));
        Ok(settings)
    }

    /// Finds a backend that accepts the connection: different ones, up to the pool's `connect_tries`.
    async fn establish(
        &self,
        Settings { pool, seed, .. }: Settings,
        record: &mut Record,
        timer: &Timer,
    ) -> Result<(Lease, TcpStream), Termination> {
        let turn = Turn {
            flow: pool.flow_hash(seed, Protocol::Tcp, record.client, record.local),
            count: self.turn.get(),
            random: fastrand::u64(..),
        };
        self.turn.set(turn.count.wrapping_add(1));
        let first = match pool.settings.send_proxy {
            Some(send) => proxy_header::header(send, record).map_err(|error| {
                record.details().error = Some(error.to_string().into());
                Termination::Internal
            })?,
            None => Vec::new(),
        };
        let mut tried = Tried::default();
        let mut failed = Termination::NoBackend;
        while tried.len() < usize::from(pool.settings.connect_tries.get()) {
            let begun = clock::now();
            let lease = match pool.try_lease(turn, &tried, begun) {
                Ok(lease) => lease,
                Err(NoLease::NoBackend) => {
                    // A moment ago this client had a choice: it need not lose by it that the others back off just now.
                    let last_resort = pool.try_lease_backing_off(turn, &tried);
                    last_resort.filter(|_| !tried.is_empty()).ok_or(failed)?
                }
                Err(NoLease::AllFull) => queue(&pool, &tried, record, timer).await?,
            };
            record.tries = record.tries.saturating_add(1);
            record.backend = Some(Arc::clone(lease.backend()));
            let error = match self.connect(&pool, &lease, &first, record, timer).await {
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
        first: &[u8],
        record: &mut Record,
        timer: &Timer,
    ) -> Result<TcpStream, ConnectError> {
        let backend = lease.backend();
        let address = backend.address.for_listener_port(record.local.port());
        let begun = clock::now();
        let Pool { keepalive, connect_timeout, .. } = *pool.settings;
        let connected = connect(address, first, keepalive, connect_timeout, timer).await;
        let now = clock::now();
        let took = now.saturating_duration_since(begun);
        record.connecting += took;
        let sheet = backend.state.metrics.of(record.worker.index);
        match &connected {
            Ok(_) => {
                sheet.connections.add(1);
                sheet.connect.observe(took);
                backend.observe_connect(took, now);
                self.proxy.runtime.connect_succeeded(backend);
            }
            // A backend without a port is dialled on the client's: a port that nobody listens on says nothing of the others,
            // and clients must not be able to take backends out by asking for it.
            Err(ConnectError::Refused(_)) if backend.address.port.is_none() => sheet.connect_failures.add(1),
            Err(error @ ConnectError::Refused(_)) => {
                sheet.connect_failures.add(1);
                self.proxy.runtime.connect_failed(backend, error, now);
            }
            Err(error @ ConnectError::TimedOut) => {
                sheet.connect_timeouts.add(1);
                backend.observe_connect(took, now);
                self.proxy.runtime.connect_failed(backend, error, now);
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
    work: impl Future<Output = Result<T, Refusal>>,
) -> Result<T, Refusal> {
    let mut work = pin!(work);
    let mut failed = pin!(client.ready(Interest::ERROR));
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Pending => failed.as_mut().poll(cx).map(|_| Err(Termination::ClientGone.into())),
        done => done,
    })
    .await
}

/// Goes on with `work` until `timer` fires.
async fn before<T>(timer: &Timer, work: impl Future<Output = T>) -> Result<T, TooLate> {
    let mut work = pin!(work);
    poll_fn(|cx| match work.as_mut().poll(cx) {
        Poll::Pending => timer.poll(cx).map(|()| Err(TooLate)),
        Poll::Ready(done) => Poll::Ready(Ok(done)),
    })
    .await
}

/// The time is over.
struct TooLate;

/// Tells a client that speaks TLS why it is not served. One that does not close its side in time is reset.
async fn tell(alert: Alert, client: TcpStream, worker: &Worker, timer: &Timer) {
    /// Enough for the way there and back.
    const PATIENCE: Duration = Duration::from_secs(2);

    let guard = ResetIfCut { stream: &client, worker };
    timer.arm(PATIENCE);
    let told = before(timer, close_with(&client, &alert.encode())).await;
    drop(guard);
    if told.is_err() {
        reset(client);
    }
}

/// What a client of these terms takes from them, given what was read from it.
fn settings(terms: &Terms<'_>, hello: Option<&ClientHello>) -> Result<Settings, NoRoute> {
    let pool = Arc::clone(terms.pool(hello)?);
    Ok(Settings { pool, seed: terms.seed, idle_timeout: terms.listener.idle_timeout })
}

/// Waits in the pool's queue until a backend has room.
async fn queue(
    pool: &PoolView,
    tried: &Tried,
    record: &mut Record,
    timer: &Timer,
) -> Result<Lease, Termination> {
    let begun = clock::now();
    let waiting = pool.wait(tried).map_err(|NoPlace| Termination::QueueFull)?;
    timer.arm(pool.settings.queue.timeout);
    let lease = before(timer, waiting).await;
    record.queued += clock::now().saturating_duration_since(begun);
    lease.map_err(|TooLate| Termination::QueueTimeout)
}
