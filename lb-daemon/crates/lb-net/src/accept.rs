//! A listening port of a worker: readable → permits → accept → service.

use std::cell::{Cell, RefCell};
use std::future::poll_fn;
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use rustix::net::{SocketFlags, acceptfrom_with};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::sync::Notify;

use crate::clock;
use crate::limit::{Limit, Permit};
use crate::listen::ListenOptions;
use crate::worker::Worker;

/// A client's connection.
#[derive(Debug)]
pub struct Accepted {
    /// The connection, non-blocking, TCP_NODELAY and keepalive set as on its listener. Nothing waits for it yet.
    pub stream: TcpStream,
    /// The client's address.
    pub client: SocketAddr,
    /// The address that the client connected to.
    pub local: SocketAddr,
    /// Keep it as long as the connection.
    pub permits: [Permit; 2],
}

/// Serves accepted connections on one worker.
pub trait Service {
    /// Takes over a connection. Must not block: whatever takes time goes into [`Worker::spawn`].
    fn serve(self: Rc<Self>, worker: &Rc<Worker>, accepted: Accepted);

    /// A port of this service is being closed, by [`close`](crate::WorkerCommands::close) or because the worker
    /// drains. What the kernel has queued there is still served, after this. Called once for each port; the service
    /// may have others.
    fn closing(&self) {}
}

/// Makes each worker its own service.
pub trait MakeService: Send + Sync {
    /// The service for `worker`, made on that worker's thread.
    fn make(&self, worker: &Rc<Worker>) -> Rc<dyn Service>;
}

/// How connections are served: may be another way tomorrow.
pub(crate) struct Terms {
    /// The listener's name, for the log.
    pub(crate) listener: String,
    limits: [Rc<Limit>; 2],
    service: Rc<dyn Service>,
}

impl Terms {
    /// Terms for any number of this worker's ports, which share a service.
    pub(crate) fn new(
        worker: &Rc<Worker>,
        listener: String,
        limits: [Limit; 2],
        service: &dyn MakeService,
    ) -> Rc<Self> {
        Rc::new(Self { listener, limits: limits.map(Rc::new), service: service.make(worker) })
    }

    async fn permits(&self, shortage: &Shortage) -> [Permit; 2] {
        let [first, second] = &self.limits;
        if let (Some(first), Some(second)) = (first.try_acquire(), second.try_acquire()) {
            return [first, second];
        }
        shortage.at_limit(&self.listener);
        [first.acquire().await, second.acquire().await]
    }
}

/// A listening socket of this worker, and the terms on which it accepts.
pub(crate) struct Port {
    pub(crate) address: SocketAddr,
    /// `None` once closed. Here and not in the accept loop, so that a port can be closed at once.
    socket: RefCell<Option<AsyncFd<TcpListener>>>,
    terms: RefCell<Rc<Terms>>,
    /// Tells the accept loop that the terms are others, or that the port is closed.
    changed: Notify,
    shortage: Shortage,
}

impl Port {
    /// Accepts from `socket` from now on, in a task of the worker.
    pub(crate) fn open(worker: &Rc<Worker>, socket: TcpListener, terms: Rc<Terms>) -> io::Result<Rc<Self>> {
        let address = socket.local_addr()?;
        #[expect(
            unsafe_code,
            reason = "tokio's own listener cannot wait for a connection without accepting it"
        )]
        // SAFETY: the `TcpListener` owns its descriptor and is itself owned by the `AsyncFd` until that is dropped; its
        // `as_raw_fd` returns that one descriptor every time.
        let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }?;
        let port = Rc::new(Self {
            address,
            socket: RefCell::new(Some(socket)),
            terms: RefCell::new(terms),
            changed: Notify::new(),
            shortage: Shortage::default(),
        });
        worker.spawn(Rc::clone(&port).accept_loop(Rc::clone(worker)));
        Ok(port)
    }

    /// Accepts on other terms from now on; what the kernel has queued stays there.
    pub(crate) fn change(&self, terms: Rc<Terms>, options: ListenOptions) -> io::Result<()> {
        self.terms.replace(terms);
        self.changed.notify_one();
        self.socket.borrow().as_ref().map_or(Ok(()), |socket| options.change(socket.get_ref()))
    }

    /// Takes what the kernel has queued and closes the port, all at once: whoever comes now is refused, and can go
    /// elsewhere. Those taken are served by a task of the worker, as there are permits.
    pub(crate) fn close(self: Rc<Self>, worker: &Rc<Worker>) {
        let Some(socket) = self.socket.take() else { return };
        self.terms.borrow().service.closing();
        let pending: Vec<_> = std::iter::from_fn(|| accept(socket.get_ref()).ok()).collect();
        drop(socket);
        self.changed.notify_one();
        worker.spawn(self.serve_all(Rc::clone(worker), pending));
    }

    async fn accept_loop(self: Rc<Self>, worker: Rc<Worker>) {
        while self.socket.borrow().is_some() {
            let terms = Rc::clone(&self.terms.borrow());
            let result = tokio::select! {
                biased;
                () = self.changed.notified() => Ok(()),
                result = self.accept_next(&worker, &terms) => result,
            };
            if let Err(error) = result {
                tracing::error!(listener = %terms.listener, %error, "a worker no longer accepts connections");
                self.socket.take();
            }
        }
    }

    /// Accepts a connection when there is one. May be dropped while it waits: then nothing has been accepted.
    async fn accept_next(&self, worker: &Rc<Worker>, terms: &Terms) -> io::Result<()> {
        poll_fn(|cx| self.poll_readable(cx)).await?;
        // Permits first: a connection that may not be served yet stays in the kernel's queue and costs nothing here.
        let permits = terms.permits(&self.shortage).await;
        match self.try_accept() {
            Ok(pending) => {
                self.shortage.over(&terms.listener);
                self.serve(worker, terms, pending, permits);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // A connection that died in the queue.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                self.shortage.begins(&terms.listener, &error);
                drop(permits);
                worker.timers().timer().sleep(Shortage::PAUSE).await;
            }
        }
        Ok(())
    }

    fn poll_readable(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let socket = self.socket.borrow();
        let Some(socket) = &*socket else { return Poll::Pending };
        socket.poll_read_ready(cx).map_ok(|mut ready| ready.retain_ready())
    }

    fn try_accept(&self) -> io::Result<Pending> {
        let socket = self.socket.borrow();
        let socket = socket.as_ref().ok_or(io::ErrorKind::WouldBlock)?;
        socket.try_io(Interest::READABLE, accept)
    }

    /// Serves what was queued when the port was closed.
    async fn serve_all(self: Rc<Self>, worker: Rc<Worker>, pending: Vec<Pending>) {
        let terms = Rc::clone(&self.terms.borrow());
        for pending in pending {
            let permits = terms.permits(&self.shortage).await;
            self.serve(&worker, &terms, pending, permits);
        }
    }

    fn serve(&self, worker: &Rc<Worker>, terms: &Terms, pending: Pending, permits: [Permit; 2]) {
        if let Some(accepted) = pending.accepted(self.address, permits) {
            worker.observer.accepted();
            Rc::clone(&terms.service).serve(worker, accepted);
        }
    }
}

/// A connection that the kernel has handed over.
struct Pending {
    stream: TcpStream,
    client: Option<SocketAddr>,
}

fn accept(socket: &TcpListener) -> io::Result<Pending> {
    let (fd, client) = acceptfrom_with(socket, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
    let client = client.and_then(|client| SocketAddr::try_from(client).ok());
    Ok(Pending { stream: fd.into(), client })
}

impl Pending {
    /// The connection as a service gets it; `None` without addresses: then the client is gone already.
    fn accepted(self, bound: SocketAddr, permits: [Permit; 2]) -> Option<Accepted> {
        let Self { stream, client } = self;
        let local = if bound.ip().is_unspecified() { stream.local_addr().ok()? } else { bound };
        Some(Accepted { stream, client: client?, local, permits })
    }
}

/// Tells the log when a shortage begins and ends, not for each connection in between.
#[derive(Debug, Default)]
struct Shortage {
    begun: Cell<bool>,
    limit_logged: Cell<Option<Instant>>,
}

impl Shortage {
    /// How long accepting pauses: no spinning, and nothing is lost that the backlog can hold.
    const PAUSE: Duration = Duration::from_millis(100);
    /// How often a listener at its limit says so.
    const LIMIT_LOG_EVERY: Duration = Duration::from_secs(10);

    fn begins(&self, listener: &str, error: &io::Error) {
        if !self.begun.replace(true) {
            tracing::error!(%listener, %error, "cannot accept, connections wait in the backlog: is RLIMIT_NOFILE too low?");
        }
    }

    fn over(&self, listener: &str) {
        if self.begun.replace(false) {
            tracing::info!(%listener, "accepting again");
        }
    }

    fn at_limit(&self, listener: &str) {
        let now = clock::now();
        if self.limit_logged.get().is_none_or(|at| now.saturating_duration_since(at) >= Self::LIMIT_LOG_EVERY)
        {
            self.limit_logged.set(Some(now));
            tracing::warn!(%listener, "at max_connections: further connections wait in the backlog");
        }
    }
}
