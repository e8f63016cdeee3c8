//! Which listener is served.

use std::sync::Arc;

use lb_model::ListenerName;
use lb_runtime::{ListenerSlot, Runtime, View};

/// One listener, for those who serve it. What its settings are, each connection and flow finds in the view of its moment, so
/// that a reload needs no other service.
#[derive(Debug, Clone)]
pub struct Served {
    /// Its name.
    pub name: ListenerName,
    /// Where views come from.
    pub runtime: Arc<Runtime>,
    slot: ListenerSlot,
    former: Option<Former>,
}

impl Served {
    /// The listener called `name`.
    pub fn new(name: ListenerName, runtime: Arc<Runtime>) -> Self {
        Self { slot: runtime.slot(&name), former: None, name, runtime }
    }

    /// The same, for sockets of the listener called `former`, whose settings hold until a view has those of the new one.
    pub fn in_place_of(self, former: &ListenerName) -> Self {
        let until_after = self.runtime.view().snapshot.generation;
        let former = Former { slot: self.runtime.slot(former), until_after };
        Self { former: Some(former), ..self }
    }

    /// Where `view` has the settings.
    pub fn slot(&self, view: &View) -> ListenerSlot {
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
