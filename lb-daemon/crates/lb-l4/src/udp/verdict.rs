//! What the shell is to do.

use std::net::SocketAddr;
use std::time::Duration;

use lb_model::{DropReason, Termination};

use super::{FlowId, Payload, Traffic};

/// What is to be done with datagrams of a client.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum FromClient<L> {
    /// Send them on the flow's socket.
    Forward(FlowId),
    /// Pick a backend that the flow has not [tried](super::FlowTable::tried), connect a socket, tell
    /// [`opened`](super::FlowTable::opened) or [`open_failed`](super::FlowTable::open_failed), then send them.
    Open {
        /// The flow. All its earlier ids are void.
        flow: FlowId,
        /// The way to the backend that the flow has left: to be dropped first, because that makes room.
        former: Option<L>,
    },
    /// Drop and count them.
    Drop(DropReason),
}

/// What is to be done with datagrams of a backend.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum FromBackend<P, L> {
    /// Send them to the client.
    Reply(Reply),
    /// The same, and the flow has ended.
    LastReply(Reply, Ended<P, L>),
    /// Drop and count them.
    Drop(DropReason),
}

/// Datagrams for a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reply {
    /// To whom.
    pub(crate) client: SocketAddr,
    /// From which address: where the client's datagrams went.
    pub(crate) local: SocketAddr,
    /// How much of what was received. The rest was more than was asked for, and is to be dropped.
    pub(crate) payload: Payload,
    /// How long the backend took, if it is its first answer to this flow: it works.
    pub(crate) first_after: Option<Duration>,
}

/// What a backend's error has led to.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum BackendError<P, L> {
    /// A failure of the backend, which the flow leaves with its client's next datagram.
    Moves,
    /// A failure of the backend, and one too many for the flow.
    Ended(Ended<P, L>),
    /// Nothing: the flow is gone, or it is the same failure again.
    Known,
}

/// What a failure to open a flow has led to.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub(crate) enum OpenFailed<P, L> {
    /// Pick again, among those not [tried](super::FlowTable::tried): they are others now.
    TryAnother,
    /// The flow has ended. Its datagrams are to be dropped, for this reason.
    Ended(Ended<P, L>, DropReason),
    /// The flow had ended before.
    Gone,
}

/// A flow that has ended. Whatever the shell still holds of it is to be dropped.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ended<P, L> {
    /// The id that it had last.
    pub(crate) flow: FlowId,
    /// Its client.
    pub(crate) client: SocketAddr,
    /// Where the client's datagrams went.
    pub(crate) local: SocketAddr,
    /// What it was admitted with.
    pub(crate) permit: P,
    /// The way to its backend, if it had one at the end.
    pub(crate) link: Option<L>,
    /// How many backends it had, or tried to have.
    pub(crate) tries: u32,
    /// Why it has ended.
    pub(crate) reason: Termination,
    /// What its client sent.
    pub(crate) from_client: Traffic,
    /// What its backends answered.
    pub(crate) from_backend: Traffic,
    /// From its first datagram until now.
    pub(crate) lasted: Duration,
}
