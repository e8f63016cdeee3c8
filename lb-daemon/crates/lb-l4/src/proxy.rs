//! Which listener is served.

use std::net::IpAddr;
use std::sync::Arc;

use lb_model::{Listener, ListenerName};
use lb_net::{ClientPlace, ClientPlaces};
use lb_runtime::{ListenerSlot, Runtime, View};
use lb_telemetry::metrics::{ListenerSheet, PerWorker};

/// One listener, for those who serve it. What its settings are, each connection and flow finds in the view of its moment, so
/// that a reload needs no other service.
#[derive(Debug, Clone)]
pub struct Proxy {
    pub(crate) name: ListenerName,
    slot: ListenerSlot,
    former: Option<Former>,
    pub(crate) runtime: Arc<Runtime>,
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
        Self { slot: runtime.slot(&name), former: None, name, runtime, metrics, clients }
    }

    /// The same, for sockets of the listener called `former`, whose settings hold until a view has those of the new one.
    pub fn in_place_of(self, former: &ListenerName) -> Self {
        let until_after = self.runtime.view().snapshot.generation;
        let former = Former { slot: self.runtime.slot(former), until_after };
        Self { former: Some(former), ..self }
    }

    /// A client's place for one connection more; `None` where nobody counts. An error: it has all that it may have.
    pub(crate) fn place(&self, listener: &Listener, client: IpAddr) -> Result<Option<ClientPlace>, AtLimit> {
        let Some(max) = listener.max_connections_per_client else { return Ok(None) };
        self.clients.take(client, max).map(Some).ok_or(AtLimit)
    }

    /// Where `view` has the settings.
    pub(crate) fn slot(&self, view: &View) -> ListenerSlot {
        let former = self.former.filter(|former| view.snapshot.generation <= former.until_after);
        former.map_or(self.slot, |former| former.slot)
    }
}

/// A client has as many connections as it may.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AtLimit;

/// Whose sockets a service has taken over, and until when that one's settings hold for them: for as long as views have the
/// configuration of that moment.
#[derive(Debug, Clone, Copy)]
struct Former {
    slot: ListenerSlot,
    until_after: u64,
}
