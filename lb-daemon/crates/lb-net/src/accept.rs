//! The accept loop: readable → permits → accept → service.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustix::net::{SocketFlags, acceptfrom_with};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::net::TcpStream;

use crate::limit::{Limit, Permit};
use crate::worker::Worker;

/// A client's connection.
#[derive(Debug)]
pub struct Accepted {
    /// The connection, TCP_NODELAY and keepalive set as on its listener.
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
}

/// Makes each worker its own service.
pub trait MakeService: Send + Sync {
    /// The service for `worker`, made on that worker's thread.
    fn make(&self, worker: &Rc<Worker>) -> Rc<dyn Service>;
}

/// What a worker needs in order to accept: its own sockets of one listener.
pub struct Accepting {
    /// The listener's name, for the log.
    pub listener: String,
    /// This worker's socket for each address.
    pub sockets: Vec<TcpListener>,
    /// Limits of the listener and of the process.
    pub limits: [Limit; 2],
    /// Who serves the connections.
    pub service: Arc<dyn MakeService>,
}

/// Accepts from one socket until the worker drains. What the kernel has queued by then is served too.
pub(crate) async fn accept_loop(
    worker: Rc<Worker>,
    socket: TcpListener,
    listener: Rc<str>,
    limits: [Limit; 2],
    service: Rc<dyn Service>,
) -> io::Result<()> {
    let bound = socket.local_addr()?;
    #[expect(unsafe_code, reason = "tokio's own listener cannot wait for a connection without accepting it")]
    // SAFETY: the `TcpListener` owns its descriptor and is itself owned by the `AsyncFd` until that is dropped; its
    // `as_raw_fd` returns that one descriptor every time.
    let socket = unsafe { AsyncFd::register_with_interest(socket, Interest::READABLE) }?;
    let mut state = Shortage::default();
    loop {
        tokio::select! {
            biased;
            ready = socket.readable() => ready?.retain_ready(),
            () = worker.draining() => break,
        }
        // Permits first: a connection that may not be served yet stays in the kernel's queue and costs nothing here.
        let permits = tokio::select! {
            biased;
            permits = acquire(&limits, &listener, &mut state) => permits,
            () = worker.draining() => break,
        };
        match socket.try_io(Interest::READABLE, |_| accept(socket.get_ref())) {
            Ok(pending) => {
                state.over(&listener);
                if let Err(error) = serve(&worker, &service, bound, pending, permits) {
                    state.begins(&listener, &error);
                }
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            // A connection that died in the queue.
            Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
            Err(error) => {
                state.begins(&listener, &error);
                drop(permits);
                worker.timers().timer().sleep(Shortage::PAUSE).await;
            }
        }
    }
    // Take what the kernel has queued, close the port, and only then wait for permits: whoever comes now is refused at once,
    // and can go elsewhere.
    let pending: Vec<_> = std::iter::from_fn(|| accept(socket.get_ref()).ok()).collect();
    drop(socket);
    for pending in pending {
        let permits = acquire(&limits, &listener, &mut state).await;
        if let Err(error) = serve(&worker, &service, bound, pending, permits) {
            state.begins(&listener, &error);
        }
    }
    Ok(())
}

/// A connection that the kernel has handed over.
struct Pending {
    stream: std::net::TcpStream,
    client: Option<SocketAddr>,
}

fn accept(socket: &TcpListener) -> io::Result<Pending> {
    let (fd, client) = acceptfrom_with(socket, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC)?;
    let client = client.and_then(|client| SocketAddr::try_from(client).ok());
    Ok(Pending { stream: fd.into(), client })
}

fn serve(
    worker: &Rc<Worker>,
    service: &Rc<dyn Service>,
    bound: SocketAddr,
    Pending { stream, client }: Pending,
    permits: [Permit; 2],
) -> io::Result<()> {
    let local = if bound.ip().is_unspecified() { stream.local_addr() } else { Ok(bound) };
    // Without addresses it is a client that is gone already.
    if let (Some(client), Ok(local)) = (client, local) {
        let stream = TcpStream::from_std(stream)?;
        Rc::clone(service).serve(worker, Accepted { stream, client, local, permits });
    }
    Ok(())
}

async fn acquire(limits: &[Limit; 2], listener: &str, state: &mut Shortage) -> [Permit; 2] {
    let [first, second] = limits;
    if let (Some(first), Some(second)) = (first.try_acquire(), second.try_acquire()) {
        return [first, second];
    }
    state.at_limit(listener);
    [first.acquire().await, second.acquire().await]
}

/// Tells the log when a shortage begins and ends, not for each connection in between.
#[derive(Debug, Default)]
struct Shortage {
    begun: bool,
    limit_logged: Option<std::time::Instant>,
}

impl Shortage {
    /// How long accepting pauses: no spinning, and nothing is lost that the backlog can hold.
    const PAUSE: Duration = Duration::from_millis(100);
    /// How often a listener at its limit says so.
    const LIMIT_LOG_EVERY: Duration = Duration::from_secs(10);

    fn begins(&mut self, listener: &str, error: &io::Error) {
        if !std::mem::replace(&mut self.begun, true) {
            tracing::error!(%listener, %error, "cannot accept, connections wait in the backlog: is RLIMIT_NOFILE too low?");
        }
    }

    fn over(&mut self, listener: &str) {
        if std::mem::replace(&mut self.begun, false) {
            tracing::info!(%listener, "accepting again");
        }
    }

    fn at_limit(&mut self, listener: &str) {
        let now = crate::clock::now();
        if self.limit_logged.is_none_or(|at| now.saturating_duration_since(at) >= Self::LIMIT_LOG_EVERY) {
            self.limit_logged = Some(now);
            tracing::warn!(%listener, "at max_connections: further connections wait in the backlog");
        }
    }
}
