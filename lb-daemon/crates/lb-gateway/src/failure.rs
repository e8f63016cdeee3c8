//! Why a request gets no response from a backend, and which status says so to its client: the one place for both.

use lb_http::Fault;
use lb_model::Termination;
use lb_telemetry::metrics::RequestEnd;

/// Why a request fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) end: RequestEnd,
    /// What the client gets if nothing of a response has gone to it yet. `None`: nothing, its connection is reset.
    pub(crate) status: Option<u16>,
    /// What is wrong with what was sent.
    pub(crate) fault: Option<Fault>,
}

impl Failure {
    /// The client's request is none.
    pub(crate) fn bad_request(fault: Fault) -> Self {
        Self { end: RequestEnd::BadRequest, status: Some(fault.status()), fault: Some(fault) }
    }

    /// The backend's response is none.
    pub(crate) fn bad_response(fault: Fault) -> Self {
        Self { fault: Some(fault), ..RequestEnd::BadResponse.into() }
    }
}

impl Failure {
    /// How a client's connection ends that has to be reset because of it.
    pub(crate) fn connection_end(self) -> Termination {
        match self.end {
            RequestEnd::ClientGone => Termination::ClientReset,
            RequestEnd::ClientTooSlow
            | RequestEnd::HeaderTimeout
            | RequestEnd::BodyTimeout
            | RequestEnd::BackendIdle
            | RequestEnd::FirstByteTimeout
            | RequestEnd::TotalTimeout => Termination::IdleTimeout,
            RequestEnd::BadRequest | RequestEnd::BodyTooLarge => Termination::BadHeader,
            RequestEnd::Shutdown => Termination::Shutdown,
            RequestEnd::LocalResources => Termination::LocalResources,
            RequestEnd::Served
            | RequestEnd::Answered
            | RequestEnd::Upgraded
            | RequestEnd::NoRoute
            | RequestEnd::NoBackend
            | RequestEnd::ConnectFailed
            | RequestEnd::ConnectTimeout
            | RequestEnd::QueueFull
            | RequestEnd::QueueTimeout
            | RequestEnd::BackendClosed
            | RequestEnd::BadResponse
            | RequestEnd::Internal => Termination::BackendLost,
        }
    }
}

impl From<RequestEnd> for Failure {
    fn from(end: RequestEnd) -> Self {
        Self { end, status: status(end), fault: None }
    }
}

/// What a client is told of a request that ended so.
fn status(end: RequestEnd) -> Option<u16> {
    match end {
        RequestEnd::BadRequest => Some(400),
        RequestEnd::NoRoute => Some(404),
        RequestEnd::HeaderTimeout | RequestEnd::BodyTimeout => Some(408),
        RequestEnd::BodyTooLarge => Some(413),
        RequestEnd::ConnectFailed | RequestEnd::BackendClosed | RequestEnd::BadResponse => Some(502),
        RequestEnd::NoBackend
        | RequestEnd::QueueFull
        | RequestEnd::QueueTimeout
        | RequestEnd::LocalResources
        | RequestEnd::Internal => Some(503),
        RequestEnd::ConnectTimeout
        | RequestEnd::FirstByteTimeout
        | RequestEnd::BackendIdle
        | RequestEnd::TotalTimeout => Some(504),
        RequestEnd::Served
        | RequestEnd::Answered
        | RequestEnd::Upgraded
        | RequestEnd::ClientGone
        | RequestEnd::ClientTooSlow
        | RequestEnd::Shutdown => None,
    }
}

impl From<Termination> for Failure {
    /// Why no backend could be connected to.
    fn from(why: Termination) -> Self {
        let end = match why {
            Termination::NoBackend => RequestEnd::NoBackend,
            Termination::ConnectFailed => RequestEnd::ConnectFailed,
            Termination::ConnectTimeout => RequestEnd::ConnectTimeout,
            Termination::QueueFull => RequestEnd::QueueFull,
            Termination::QueueTimeout => RequestEnd::QueueTimeout,
            Termination::LocalResources => RequestEnd::LocalResources,
            Termination::NoRoute => RequestEnd::NoRoute,
            Termination::ClientGone | Termination::ClientReset | Termination::ClientLost => {
                RequestEnd::ClientGone
            }
            Termination::Finished
            | Termination::Denied
            | Termination::ClientLimit
            | Termination::HeaderTimeout
            | Termination::BadHeader
            | Termination::BackendReset
            | Termination::BackendLost
            | Termination::IdleTimeout
            | Termination::Shutdown
            | Termination::Internal => RequestEnd::Internal,
        };
        end.into()
    }
}
