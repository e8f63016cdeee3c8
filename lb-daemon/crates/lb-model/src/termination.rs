//! Why a connection ended.

use std::fmt;

/// The closed set of reasons for which a client's connection ends: the `reason` of its access record and, as is, a
/// metric label. Who is to blame is part of the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Termination {
    /// Both sides closed in order: nothing was lost.
    Finished,
    /// The access list refuses this client.
    Denied,
    /// The client has as many connections as `max_connections_per_client` allows.
    ClientLimit,
    /// The client sent no whole PROXY header or ClientHello within `header_timeout`.
    HeaderTimeout,
    /// The client sent something else than the PROXY header or ClientHello that has to come first.
    BadHeader,
    /// No pool is for the name (SNI) and protocol (ALPN) that the client asks for.
    NoRoute,
    /// The client went away while its connection waited for a backend.
    ClientGone,
    /// The client reset its connection.
    ClientReset,
    /// The client stopped answering (keepalive or retransmissions gave up), or its network failed.
    ClientLost,
    /// The backend reset its connection.
    BackendReset,
    /// The backend stopped answering, or its network failed.
    BackendLost,
    /// Nothing moved in either direction for the listener's `idle_timeout`.
    IdleTimeout,
    /// The pool has no backend that may take the connection.
    NoBackend,
    /// Every backend that was tried refused, reset or was unreachable.
    ConnectFailed,
    /// The last backend that was tried did not answer within `connect_timeout`.
    ConnectTimeout,
    /// All backends were at their `max_connections` and the queue was full.
    QueueFull,
    /// The connection waited in the queue for its whole `timeout`.
    QueueTimeout,
    /// This host ran out of file descriptors, ports or memory.
    LocalResources,
    /// The drain deadline passed, or a second signal came, before the connection ended.
    Shutdown,
    /// A bug in Sluice: please report it.
    Internal,
}

impl Termination {
    /// Every reason, in documentation order.
    pub const ALL: [Self; 20] = [
        Self::Finished,
        Self::Denied,
        Self::ClientLimit,
        Self::HeaderTimeout,
        Self::BadHeader,
        Self::NoRoute,
        Self::ClientGone,
        Self::ClientReset,
        Self::ClientLost,
        Self::BackendReset,
        Self::BackendLost,
        Self::IdleTimeout,
        Self::NoBackend,
        Self::ConnectFailed,
        Self::ConnectTimeout,
        Self::QueueFull,
        Self::QueueTimeout,
        Self::LocalResources,
        Self::Shutdown,
        Self::Internal,
    ];

    /// The stable snake_case label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Denied => "denied",
            Self::ClientLimit => "client_limit",
            Self::HeaderTimeout => "header_timeout",
            Self::BadHeader => "bad_header",
            Self::NoRoute => "no_route",
            Self::ClientGone => "client_gone",
            Self::ClientReset => "client_reset",
            Self::ClientLost => "client_lost",
            Self::BackendReset => "backend_reset",
            Self::BackendLost => "backend_lost",
            Self::IdleTimeout => "idle_timeout",
            Self::NoBackend => "no_backend",
            Self::ConnectFailed => "connect_failed",
            Self::ConnectTimeout => "connect_timeout",
            Self::QueueFull => "queue_full",
            Self::QueueTimeout => "queue_timeout",
            Self::LocalResources => "local_resources",
            Self::Shutdown => "shutdown",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for Termination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}
