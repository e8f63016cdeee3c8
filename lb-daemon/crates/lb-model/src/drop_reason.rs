//! Why a datagram was dropped.

use std::fmt;

/// The closed set of reasons for which datagrams are dropped: a metric label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// It would have begun a flow more than there may be.
    NewFlowShed,
    /// It would have begun a flow more than its client may have.
    ClientLimit,
    /// It would have begun a flow while the listener ends.
    Draining,
    /// It would have begun a flow for a client that the access list refuses.
    Denied,
    /// The pool has no backend that may take the flow.
    NoBackend,
    /// All backends are at their `max_connections`.
    BackendsFull,
    /// Every backend that was tried was unreachable.
    ConnectFailed,
    /// This host is out of file descriptors, ports, buffers or memory.
    LocalResources,
    /// It is larger than the way to its receiver allows, or than UDP does.
    TooBig,
    /// The kernel would not send it.
    SendFailed,
    /// It belongs to a flow that has ended, or is more than its client asked for.
    NoFlow,
}

impl DropReason {
    /// Every reason, in documentation order.
    pub const ALL: [Self; 11] = [
        Self::NewFlowShed,
        Self::ClientLimit,
        Self::Draining,
        Self::Denied,
        Self::NoBackend,
        Self::BackendsFull,
        Self::ConnectFailed,
        Self::LocalResources,
        Self::TooBig,
        Self::SendFailed,
        Self::NoFlow,
    ];

    /// The stable snake_case label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::NewFlowShed => "new_flow_shed",
            Self::ClientLimit => "client_limit",
            Self::Draining => "draining",
            Self::Denied => "denied",
            Self::NoBackend => "no_backend",
            Self::BackendsFull => "backends_full",
            Self::ConnectFailed => "connect_failed",
            Self::LocalResources => "local_resources",
            Self::TooBig => "too_big",
            Self::SendFailed => "send_failed",
            Self::NoFlow => "no_flow",
        }
    }
}

impl fmt::Display for DropReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}
