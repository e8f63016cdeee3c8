//! Which listener is served.

use std::sync::Arc;

use lb_model::ListenerName;
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
}

impl Proxy {
    /// A proxy for the listener called `name`, which counts into `metrics`.
    pub fn new(name: ListenerName, runtime: Arc<Runtime>, metrics: Arc<PerWorker<ListenerSheet>>) -> Self {
        Self { slot: runtime.slot(&name), former: None, name, runtime, metrics }
    }

    /// As [`new`](Self::new), for sockets of the listener called `former`, whose settings hold until a view has those of the
    /// new one.
    pub fn in_place_of(
        former: &ListenerName,
        name: ListenerName,
        runtime: Arc<Runtime>,
        metrics: Arc<PerWorker<ListenerSheet>>,
    ) -> Self {
        let generation = runtime.view().snapshot.generation;
        let former = Former { slot: runtime.slot(former), until_after: generation };
        Self { former: Some(former), ..Self::new(name, runtime, metrics) }
    }

    /// Where `view` has the settings.
    pub(crate) fn slot(&self, view: &View) -> ListenerSlot {
        let former = self.former.filter(|former| view.snapshot.generation <= former.until_after);
        former.map_or(self.slot, |former| former.slot)
    }
}

/// Whose sockets a service has taken over, and until when that one's settings hold for them: for as long as views have the
/// configuration of that moment.
#[derive(Debug, Clone, Copy)]
struct Former {
    slot: ListenerSlot,
    until_after: u64,
}
