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
use lb_dial::{Dial, Dialled, TooLate, before};
use lb_model::{NoRoute, Termination};
use lb_net::sniff::alert::Alert;
use lb_net::sniff::client_hello::ClientHello;
use lb_net::{
    Accepted, ClientPlace, MakeService, ResetIfCut, Service, Timer, Worker, close_with, relay, reset,
};
use lb_runtime::{Lease, PoolView, Tried};
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
        let Some((begin, common)) = begun else { return };
        let mut record = Record::new(&common, worker, client, local, permits);
        let stream = match TcpStream::from_std(stream) {
            Ok(stream) => stream,
            Err(error) => {
                record.details().error = Some(error.to_string().into());
                return record.end(Termination::LocalResources);
            }
        };
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
        let view = self.proxy.served.runtime.view();
        if let Some(last) = LastTerms::of(&view, self.proxy.served.slot(&view)) {
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
        let view = self.proxy.served.runtime.view();
        Terms::of(&view, self.proxy.served.slot(&view)).map(|terms| then(&terms))
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
        let (listener, metrics) = (self.proxy.served.name.clone(), Arc::clone(&self.proxy.metrics));
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
                    relay(&worker, client, backend, idle, &timer, &record.counts, &record).await.into()
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

    /// Finds a backend that accepts the connection.
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
        let dial = Dial {
            runtime: &self.proxy.served.runtime,
            pool: &pool,
            turn,
            worker: record.worker.index,
            port: record.local.port(),
            first: &first,
            timer,
        };
        let none_kept = |_: &Lease| None;
        let (lease, dialled) = dial.dial(&mut Tried::default(), &mut record.trail, none_kept).await?;
        let (Dialled::New(stream) | Dialled::Kept(stream)) = dialled;
        Ok((lease, stream))
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
