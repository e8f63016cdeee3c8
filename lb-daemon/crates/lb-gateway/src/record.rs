//! What is known of a request: counted while it lasts, and written as one line when it ends, however it ends.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use lb_dial::Trail;
use lb_http::Persistence;
use lb_net::clock;
use lb_runtime::Lease;
use lb_telemetry::metrics::RequestEnd;

use crate::forwarded::Named;
use crate::request_id::RequestId;

/// What is known of a request.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) id: RequestId,
    /// Whether that is what it is called.
    pub(crate) named: Named,
    /// The client, as far as it is known behind trusted proxies.
    pub(crate) client: IpAddr,
    /// When its head was whole.
    pub(crate) begun: Instant,
    /// When the request was on its way to the backend that was tried last.
    pub(crate) sent: Option<Instant>,
    /// From then until the first byte of the response.
    pub(crate) first_byte: Option<Duration>,
    /// The way to its backend.
    pub(crate) trail: Trail,
    /// Times that it was sent again.
    pub(crate) repeats: u32,
    /// Of the response; 0 if there is none.
    pub(crate) status: u16,
    /// Bytes sent to backends.
    pub(crate) bytes_in: u64,
    /// Bytes sent to the client.
    pub(crate) bytes_out: u64,
    /// Whether the client's connection goes on.
    pub(crate) persistence: Persistence,
    /// `None` until it ends in a way that the code foresees.
    pub(crate) end: Option<RequestEnd>,
    /// What was wrong with what somebody has sent.
    pub(crate) fault: Option<lb_http::Fault>,
}

impl Record {
    pub(crate) fn new(id: RequestId, client: IpAddr) -> Self {
        Self {
            id,
            named: Named::Here,
            client,
            begun: clock::now(),
            sent: None,
            first_byte: None,
            trail: Trail::default(),
            repeats: 0,
            status: 0,
            bytes_in: 0,
            bytes_out: 0,
            persistence: Persistence::Close,
            end: None,
            fault: None,
        }
    }

    /// The backend has answered.
    pub(crate) fn answered(&mut self, lease: &Lease, worker: usize) {
        let Some(sent) = self.sent else { return };
        let now = clock::now();
        let after = now.saturating_duration_since(sent);
        self.first_byte = Some(after);
        let backend = lease.backend();
        backend.state.metrics.of(worker).first_byte.observe(after);
        backend.observe_answer(after, || now);
    }
}
