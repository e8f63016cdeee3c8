//! Which listener is served.

use std::net::IpAddr;
use std::sync::Arc;

use lb_dial::Served;
use lb_model::{Listener, ListenerName};
use lb_net::{ClientPlace, ClientPlaces};
use lb_runtime::Runtime;
use lb_telemetry::metrics::{ListenerSheet, PerWorker};

/// One listener, for those who serve it: what all of its workers share.
#[derive(Debug, Clone)]
pub struct Proxy {
    pub(crate) served: Served,
    pub(crate) metrics: Arc<PerWorker<ListenerSheet>>,
    clients: ClientPlaces,
}

impl Proxy {
    /// A proxy for the listener called `name`, which counts into `metrics`, and its clients in `clients`.
    pub fn new(
        name: ListenerName,
        runtime: Arc<Runtime>,
        metrics: Arc<PerWorker<ListenerSheet>>,
        clients: ClientPlaces,
    ) -> Self {
        Self { served: Served::new(name, runtime), metrics, clients }
    }

    /// The same, for sockets of the listener called `former`, whose settings hold until a view has those of the new one.
    pub fn in_place_of(self, former: &ListenerName) -> Self {
        Self { served: self.served.in_place_of(former), ..self }
    }

    /// A client's place for one connection more; `None` where nobody counts. An error: it has all that it may have.
    pub(crate) fn place(&self, listener: &Listener, client: IpAddr) -> Result<Option<ClientPlace>, AtLimit> {
        let Some(max) = listener.max_connections_per_client else { return Ok(None) };
        self.clients.take(client, max).map(Some).ok_or(AtLimit)
    }
}

/// A client has as many connections as it may.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AtLimit;
