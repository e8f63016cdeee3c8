//! The service of a listener whose clients speak HTTP.

use std::cell::{Cell, OnceCell, RefCell};
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lb_dial::Served;
use lb_model::{AccessLog, Listener, ListenerName, Termination};
use lb_net::{Accepted, ClientPlace, ClientPlaces, MakeService, Service, Timers, Wire, Worker, clock};
use lb_runtime::Runtime;
use lb_telemetry::access_log::{AccessLogs, Lines, Waiting};
use lb_telemetry::metrics::{ListenerSheet, PerWorker};

use crate::client::{Client, Expects};
use crate::conn::Connection;
use crate::local::Local;
use crate::terms::Terms;

/// One HTTP listener: what all of its workers share.
#[derive(Debug, Clone)]
pub struct Gateway {
    served: Served,
    metrics: Arc<PerWorker<ListenerSheet>>,
    clients: ClientPlaces,
    logs: Arc<AccessLogs>,
}

impl Gateway {
    /// A gateway for the listener called `name`, which counts into `metrics`, and its clients in `clients`. Its access log
    /// has to be open in `logs`.
    pub fn new(
        name: ListenerName,
        runtime: Arc<Runtime>,
        metrics: Arc<PerWorker<ListenerSheet>>,
        clients: ClientPlaces,
        logs: Arc<AccessLogs>,
    ) -> Self {
        Self { served: Served::new(name, runtime), metrics, clients, logs }
    }

    /// The same, for sockets of the listener called `former`, whose settings hold until a view has those of the new one.
    pub fn in_place_of(self, former: &ListenerName) -> Self {
        Self { served: self.served.in_place_of(former), ..self }
    }
}

impl MakeService for Gateway {
    fn make(&self, worker: &Rc<Worker>) -> Rc<dyn Service> {
        Rc::new(OnWorker {
            gateway: self.clone(),
            local: Local::of(worker),
            terms: RefCell::default(),
            last: OnceCell::new(),
            lines: RefCell::default(),
            hands_over: Cell::new(false),
            // Workers take turns from different places: the first requests shall not all go to the same backend.
            turn: Cell::new(u32::try_from(worker.index).unwrap_or(0)),
            timers: Rc::clone(worker.timers()),
        })
    }
}

/// The service on one worker.
#[derive(Debug)]
pub(crate) struct OnWorker {
    gateway: Gateway,
    pub(crate) local: Rc<Local>,
    /// Those of the last request: the next one's, unless there is another view since.
    terms: RefCell<Option<Rc<Terms>>>,
    /// Once the listener is removed.
    last: OnceCell<Option<Rc<Terms>>>,
    /// Where the last line of the access log went, with what is still to be written.
    lines: RefCell<Option<Lines>>,
    /// Whether a task is about to.
    hands_over: Cell<bool>,
    turn: Cell<u32>,
    timers: Rc<Timers>,
}

impl Service for OnWorker {
    fn serve(self: Rc<Self>, worker: &Rc<Worker>, accepted: Accepted) {
        let begun = clock::now();
        self.sheet(worker).connections.add(1);
        // There are some: a listener is closed before the view that no longer has it is published.
        let Some(terms) = self.terms() else { return self.count_end(worker, begun, Termination::NoRoute) };
        // Whoever trusts a peer's PROXY headers to say who the client is, does not mean the peer's own address.
        let client = accepted.client.ip();
        let is_proxy = terms.listener.accept_proxy.iter().any(|network| network.contains(&client));
        let admitted = if is_proxy {
            (Expects::ProxyHeader, None)
        } else {
            match self.admit(&terms.listener, client) {
                Ok(place) => (Expects::Request, place),
                Err(termination) => {
                    Wire::accepted(accepted.stream).reset();
                    return self.count_end(worker, begun, termination);
                }
            }
        };
        worker.spawn(Connection::new(Client::new(accepted, begun, admitted, (self, worker), &terms)));
    }

    fn closing(&self) {
        let _ = self.last.set(self.terms());
        self.timers.wake_all();
    }
}

impl OnWorker {
    /// What holds at this moment; `None` if the listener is gone.
    pub(crate) fn terms(&self) -> Option<Rc<Terms>> {
        if let Some(last) = self.last.get() {
            return last.clone();
        }
        let view = self.gateway.served.runtime.view();
        let mut known = self.terms.borrow_mut();
        if let Some(terms) = known.as_ref().filter(|terms| terms.epoch == view.epoch) {
            return Some(Rc::clone(terms));
        }
        let terms = Terms::of(&view, self.gateway.served.slot(&view), known.as_deref());
        *known = terms.map(Rc::new);
        known.clone()
    }

    /// Whether connections take no more requests than those that are under way.
    pub(crate) fn is_over(&self, worker: &Worker) -> bool {
        worker.is_draining() || self.last.get().is_some()
    }

    /// Asks the access list, and for a place where those are counted.
    pub(crate) fn admit(
        &self,
        listener: &Listener,
        client: IpAddr,
    ) -> Result<Option<ClientPlace>, Termination> {
        if !listener.access.permits(client) {
            return Err(Termination::Denied);
        }
        let Some(max) = listener.max_connections_per_client else { return Ok(None) };
        self.gateway.clients.take(client, max).map(Some).ok_or(Termination::ClientLimit)
    }

    /// A count for the algorithms that take turns.
    pub(crate) fn next_turn(&self) -> u32 {
        self.turn.replace(self.turn.get().wrapping_add(1))
    }

    pub(crate) fn runtime(&self) -> &Runtime {
        &self.gateway.served.runtime
    }

    pub(crate) fn listener(&self) -> &ListenerName {
        &self.gateway.served.name
    }

    /// Counts a connection that is over.
    pub(crate) fn count_end(&self, worker: &Worker, begun: Instant, termination: Termination) {
        let sheet = self.sheet(worker);
        sheet.ended(termination).add(1);
        sheet.duration.observe(clock::now().saturating_duration_since(begun));
    }

    pub(crate) fn sheet(&self, worker: &Worker) -> &ListenerSheet {
        self.gateway.metrics.of(worker.index)
    }

    /// Has `write` write a line to the access log of `terms`, if there is one.
    pub(crate) fn log(
        self: &Rc<Self>,
        worker: &Worker,
        terms: &Terms,
        write: impl FnOnce(&AccessLog, &mut Vec<u8>),
    ) {
        let Some(wanted) = &terms.http().access_log else { return };
        let mut lines = self.lines.borrow_mut();
        if lines.as_ref().is_none_or(|lines| !lines.go_to(&wanted.destination)) {
            *lines = self.gateway.logs.lines(&wanted.destination);
        }
        let Some(lines) = &mut *lines else { return };
        let waiting = lines.add(|line| write(wanted, line));
        if waiting == Waiting::First && !self.hands_over.replace(true) {
            worker.run_beside(Rc::clone(self).hand_over());
        }
    }

    /// Hands over the lines that wait, soon.
    async fn hand_over(self: Rc<Self>) {
        /// Who follows a log is not kept waiting for long.
        const SOON: Duration = Duration::from_millis(200);

        self.timers.timer().sleep(SOON).await;
        self.hands_over.set(false);
        self.lines.borrow_mut().iter_mut().for_each(Lines::hand_over);
    }
}
