//! How a request ended.

use std::fmt;

/// The closed set of ways in which a request ends: the `reason` of its access record and, as is, a metric label. Who is to
/// blame is part of the name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestEnd {
    /// A backend's response was delivered whole.
    Served,
    /// A filter has answered it.
    Answered,
    /// The connection was handed to another protocol, which has ended.
    Upgraded,
    /// The client sent something that is no request, or a body that is not framed as it says.
    BadRequest,
    /// The client sent no whole head within `header_timeout`.
    HeaderTimeout,
    /// The client was silent in the midst of its body for `body_timeout`, or slower than `min_body_rate`.
    BodyTimeout,
    /// The body is longer than `max_body_bytes`.
    BodyTooLarge,
    /// No route is for its host and path.
    NoRoute,
    /// The client went away before its response was delivered.
    ClientGone,
    /// The client took its response slower than `min_response_rate`, or nothing of it for `idle_timeout`.
    ClientTooSlow,
    /// The pool has no backend that may take the request.
    NoBackend,
    /// Every backend that was tried refused, reset or was unreachable.
    ConnectFailed,
    /// The last backend that was tried did not answer within `connect_timeout`.
    ConnectTimeout,
    /// All backends were at their `max_connections` and the queue was full.
    QueueFull,
    /// The request waited in the queue for its whole `timeout`.
    QueueTimeout,
    /// The backend closed its connection before its response was whole.
    BackendClosed,
    /// The backend sent something that is no response.
    BadResponse,
    /// The backend did not begin its response within the first-byte timeout.
    FirstByteTimeout,
    /// The backend was silent in the midst of its response, or of taking the request, for the idle timeout.
    BackendIdle,
    /// The request took longer than the total timeout.
    TotalTimeout,
    /// This host ran out of file descriptors, ports or memory.
    LocalResources,
    /// The drain deadline passed, or a second signal came, before the request ended.
    Shutdown,
    /// A bug in Sluice: please report it.
    Internal,
}

impl RequestEnd {
    /// Every way, in documentation order.
    pub const ALL: [Self; 23] = [
        Self::Served,
        Self::Answered,
        Self::Upgraded,
        Self::BadRequest,
        Self::HeaderTimeout,
        Self::BodyTimeout,
        Self::BodyTooLarge,
        Self::NoRoute,
        Self::ClientGone,
        Self::ClientTooSlow,
        Self::NoBackend,
        Self::ConnectFailed,
        Self::ConnectTimeout,
        Self::QueueFull,
        Self::QueueTimeout,
        Self::BackendClosed,
        Self::BadResponse,
        Self::FirstByteTimeout,
        Self::BackendIdle,
        Self::TotalTimeout,
        Self::LocalResources,
        Self::Shutdown,
        Self::Internal,
    ];

    /// The stable snake_case label.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::Answered => "answered",
            Self::Upgraded => "upgraded",
            Self::BadRequest => "bad_request",
            Self::HeaderTimeout => "header_timeout",
            Self::BodyTimeout => "body_timeout",
            Self::BodyTooLarge => "body_too_large",
            Self::NoRoute => "no_route",
            Self::ClientGone => "client_gone",
            Self::ClientTooSlow => "client_too_slow",
            Self::NoBackend => "no_backend",
            Self::ConnectFailed => "connect_failed",
            Self::ConnectTimeout => "connect_timeout",
            Self::QueueFull => "queue_full",
            Self::QueueTimeout => "queue_timeout",
            Self::BackendClosed => "backend_closed",
            Self::BadResponse => "bad_response",
            Self::FirstByteTimeout => "first_byte_timeout",
            Self::BackendIdle => "backend_idle",
            Self::TotalTimeout => "total_timeout",
            Self::LocalResources => "local_resources",
            Self::Shutdown => "shutdown",
            Self::Internal => "internal",
        }
    }
}

impl fmt::Display for RequestEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.label())
    }
}
