//! What the rest of the process asks of a worker.

use std::net::{SocketAddr, TcpListener};
use std::os::fd::OwnedFd;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use crate::accept::MakeService;
use crate::limit::Limit;
use crate::listen::ListenOptions;
use crate::udp::MakeUdpService;

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

/// How connections to addresses that a worker listens on are served from now on.
pub struct Changing {
    /// The name of the listener that the addresses belong to from now on, for the log.
    pub listener: String,
    /// The addresses, as their sockets have them.
    pub addresses: Vec<SocketAddr>,
    /// Limits of the listener and of the process.
    pub limits: [Limit; 2],
    /// Who serves the connections.
    pub service: Arc<dyn MakeService>,
    /// What accepted connections inherit. The kernel passes it on when a connection begins: those that it has queued keep
    /// what there was.
    pub options: ListenOptions,
}

/// What a worker needs in order to receive datagrams: its own socket for each address.
pub struct Receiving {
    /// The listener's name, for the log.
    pub listener: String,
    /// This worker's sockets, of [`bind_udp_all`](crate::bind_udp_all).
    pub sockets: Vec<Arc<OwnedFd>>,
    /// Who serves them.
    pub service: Arc<dyn MakeUdpService>,
}

/// A worker that takes no more commands: its thread has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("worker {worker} has ended")]
pub struct WorkerGone {
    /// Which worker, from 0.
    pub worker: usize,
}

/// Sends commands to one worker; clones send to the same one.
///
/// Every command returns when the worker has carried it out, or as soon as its thread is gone. All of them wait
/// their turn: for room in a bounded channel, then for the commands before them. So a worker that hangs makes its
/// callers wait, and who must not wait for ever needs a timeout. A command that was sent is carried out even if its
/// caller no longer waits.
#[derive(Debug, Clone)]
pub struct WorkerCommands {
    worker: usize,
    requests: mpsc::Sender<Request>,
}

impl WorkerCommands {
    /// How many requests may wait: there are but a few control tasks.
    const PENDING: usize = 16;

    pub(crate) fn channel(worker: usize) -> (Self, mpsc::Receiver<Request>) {
        let (requests, received) = mpsc::channel(Self::PENDING);
        (Self { worker, requests }, received)
    }

    /// Accepts from a listener's sockets from now on. For an address that the worker listens on already, the new
    /// socket takes over and the old one is [closed](Self::close). A worker that drains closes the sockets.
    pub async fn accept(&self, accepting: Accepting) -> Result<(), WorkerGone> {
        self.request(Command::Accept(accepting)).await
    }

    /// Serves connections to these addresses in another way from now on, those too that the kernel has queued.
    /// Sockets and connections stay. Addresses that the worker does not listen on are left out.
    pub async fn change(&self, changing: Changing) -> Result<(), WorkerGone> {
        self.request(Command::Change(changing)).await
    }

    /// Closes the ports of these addresses; when it returns, this worker no longer keeps them from being bound.
    /// What the kernel had queued is served as before, and connections stay. Addresses that the worker does not
    /// listen on are left out.
    pub async fn close(&self, addresses: Vec<SocketAddr>) -> Result<(), WorkerGone> {
        self.request(Command::Close(addresses)).await
    }

    /// Receives datagrams from now on. Where flows are left of an address that was [closed](Self::close_udp), they end. A
    /// worker that drains closes the sockets.
    pub async fn receive(&self, receiving: Receiving) -> Result<(), WorkerGone> {
        self.request(Command::Receive(receiving)).await
    }

    /// Has everybody who serves datagrams look at their settings, which have changed.
    pub async fn refresh_udp(&self) -> Result<(), WorkerGone> {
        self.request(Command::RefreshUdp).await
    }

    /// Begins no more flows at these addresses, whose sockets stay open until the flows that there are have ended. Addresses
    /// that the worker does not receive at are left out.
    pub async fn close_udp(&self, addresses: Vec<SocketAddr>) -> Result<(), WorkerGone> {
        self.request(Command::CloseUdp(addresses)).await
    }

    /// Closes all ports, once what the kernel has queued is accepted. The worker ends when its last connection has.
    pub async fn drain(&self) -> Result<(), WorkerGone> {
        self.request(Command::Drain).await
    }

    /// Returns when the worker has got to answering: whether it still turns. Answered while it drains, too.
    pub async fn ping(&self) -> Result<(), WorkerGone> {
        self.request(Command::Ping).await
    }

    async fn request(&self, command: Command) -> Result<(), WorkerGone> {
        let gone = WorkerGone { worker: self.worker };
        let (done, carried_out) = oneshot::channel();
        self.requests.send(Request { command, done }).await.map_err(|_closed| gone)?;
        tokio::select! {
            biased;
            result = carried_out => result.map_err(|_closed| gone),
            // A request that was sent while the worker ended may stay in the channel for ever.
            () = self.requests.closed() => Err(gone),
        }
    }
}

/// A command, and whom to tell when it has been carried out.
pub(crate) struct Request {
    pub(crate) command: Command,
    pub(crate) done: oneshot::Sender<()>,
}

pub(crate) enum Command {
    Accept(Accepting),
    Change(Changing),
    Close(Vec<SocketAddr>),
    Receive(Receiving),
    RefreshUdp,
    CloseUdp(Vec<SocketAddr>),
    Drain,
    Ping,
}
