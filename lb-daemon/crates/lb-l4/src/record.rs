//! What is known of a connection: counted while it lasts, and written as one log event when it ends, however it ends.

use std::fmt::Display;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lb_dial::Trail;
use lb_model::{ListenerName, PoolName, ServerName, Termination};
use lb_net::sniff::client_hello::ClientHello;
use lb_net::{ClientPlace, Counts, Permit, RelayObserver, Worker, clock};
use lb_runtime::Backend;
use lb_telemetry::metrics::{BackendSheet, ListenerSheet, PerWorker};
use tracing::field::{DisplayValue, display};

use crate::tcp::Preface;
use crate::udp::Traffic;

/// What is known of a connection. Dropping it writes the record.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) client: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) counts: Counts,
    /// The way to its backend.
    pub(crate) trail: Trail,
    /// Of those connections that have any: most have not, and pay nothing for them.
    pub(crate) details: Option<Box<Details>>,
    /// `None` until the connection ends in a way that the code foresees.
    termination: Option<Termination>,
    accepted: Instant,
    common: Rc<Common>,
    pub(crate) worker: Rc<Worker>,
    _permits: [Permit; 2],
}

/// What is known of some connections only.
#[derive(Debug, Default)]
pub(crate) struct Details {
    /// What it began with.
    pub(crate) preface: Option<Preface>,
    /// What backends are told that it is called.
    pub(crate) unique_id: Option<Box<[u8]>>,
    /// Its client's place, where those are counted.
    pub(crate) place: Option<ClientPlace>,
    /// What was wrong with what it began with.
    pub(crate) error: Option<Box<str>>,
}

/// What all records of a listener and its pool have in common.
#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) listener: ListenerName,
    /// `None` until it is chosen.
    pub(crate) pool: Option<PoolName>,
    pub(crate) metrics: Arc<PerWorker<ListenerSheet>>,
}

impl Record {
    pub(crate) fn new(
        common: &Rc<Common>,
        worker: &Rc<Worker>,
        client: SocketAddr,
        local: SocketAddr,
        permits: [Permit; 2],
    ) -> Self {
        common.metrics.of(worker.index).connections.add(1);
        Self {
            client,
            local,
            counts: Counts::default(),
            trail: Trail::default(),
            details: None,
            termination: None,
            accepted: clock::now(),
            common: Rc::clone(common),
            worker: Rc::clone(worker),
            _permits: permits,
        }
    }

    /// The pool is chosen.
    pub(crate) fn belongs_to(&mut self, common: &Rc<Common>) {
        self.common = Rc::clone(common);
    }

    /// The backend has been told: a header may take kilobytes, and the connection may last for days.
    pub(crate) fn forget_header(&mut self) {
        let preface = self.details.as_mut().and_then(|details| details.preface.as_mut());
        if let Some(proxied) = preface.and_then(|preface| preface.proxied.as_mut()) {
            proxied.header = Box::default();
        }
    }

    /// The ClientHello that it began with, if that was read.
    pub(crate) fn hello(&self) -> Option<&ClientHello> {
        self.details.as_ref()?.preface.as_ref()?.hello.as_ref()
    }

    /// Keeps the client's place for as long as the connection lasts.
    pub(crate) fn hold(&mut self, place: Option<ClientPlace>) {
        if let Some(place) = place {
            self.details().place = Some(place);
        }
    }

    /// What is known of some connections only, to be added to.
    pub(crate) fn details(&mut self) -> &mut Details {
        self.details.get_or_insert_default()
    }

    /// The connection ended in a way that the code foresees.
    pub(crate) fn end(mut self, termination: Termination) {
        self.termination = Some(termination);
    }

    /// What is counted of the backend on this worker.
    pub(crate) fn backend_sheet(&self) -> Option<&BackendSheet> {
        Some(self.trail.backend.as_ref()?.state.metrics.of(self.worker.index))
    }
}

impl RelayObserver for Record {
    fn answered(&self, after: Duration) {
        if let (Some(backend), Some(sheet)) = (&self.trail.backend, self.backend_sheet()) {
            sheet.first_byte.observe(after);
            backend.observe_answer(after, clock::now);
        }
    }

    fn moved(&self, to_backend: u64, to_client: u64) {
        let sheet = self.common.metrics.of(self.worker.index);
        sheet.bytes_in.add(to_backend);
        sheet.bytes_out.add(to_client);
        if let Some(sheet) = self.backend_sheet() {
            sheet.bytes_in.add(to_backend);
            sheet.bytes_out.add(to_client);
        }
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        // Before it is told: whoever learns that the connection is over may use the place.
        drop(self.details.as_mut().and_then(|details| details.place.take()));
        let cut_off = if self.worker.is_cut() { Termination::Shutdown } else { Termination::Internal };
        let reason = self.termination.unwrap_or(cut_off);
        let duration = clock::now().saturating_duration_since(self.accepted);
        let sheet = self.common.metrics.of(self.worker.index);
        sheet.ended(reason).add(1);
        sheet.duration.observe(duration);
        if self.trail.queued > Duration::ZERO {
            sheet.queued.observe(self.trail.queued);
        }
        let details = self.details.as_deref();
        tracing::info!(
            target: "access",
            listener = self.common.listener.as_str(),
            client = %self.client,
            local = %self.local,
            proxied_by = details.and_then(|details| details.proxied_by()),
            server_name = details.and_then(|details| details.server_name()),
            unique_id = details.and_then(|details| details.unique_id_text()),
            pool = self.common.pool.as_ref().map(PoolName::as_str),
            backend = self.trail.backend.as_ref().map(|backend| backend.name.as_str()),
            bytes_in = self.counts.to_backend.get(),
            bytes_out = self.counts.to_client.get(),
            duration_us = micros(duration),
            connect_us = micros(self.trail.connecting),
            queue_us = micros(self.trail.queued),
            tries = self.trail.tries,
            reason = reason.label(),
            error = details.and_then(|details| details.error.as_deref()),
            "connection"
        );
    }
}

/// The record of a flow of datagrams that has ended.
pub(crate) struct FlowRecord<'a> {
    pub(crate) listener: &'a ListenerName,
    pub(crate) client: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) backend: Option<&'a Backend>,
    pub(crate) tries: u32,
    pub(crate) from_client: Traffic,
    pub(crate) from_backend: Traffic,
    pub(crate) lasted: Duration,
    pub(crate) reason: Termination,
}

impl FlowRecord<'_> {
    pub(crate) fn write(self) {
        tracing::info!(
            target: "access",
            listener = self.listener.as_str(),
            client = %self.client,
            local = %self.local,
            pool = self.backend.map(|backend| backend.pool.as_str()),
            backend = self.backend.map(|backend| backend.name.as_str()),
            bytes_in = self.from_client.bytes,
            bytes_out = self.from_backend.bytes,
            datagrams_in = self.from_client.datagrams,
            datagrams_out = self.from_backend.datagrams,
            duration_us = micros(self.lasted),
            tries = self.tries,
            reason = self.reason.label(),
            "flow"
        );
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl Details {
    fn proxied_by(&self) -> Option<DisplayValue<SocketAddr>> {
        self.preface.as_ref()?.proxied.as_ref().map(|proxied| display(proxied.by))
    }

    fn server_name(&self) -> Option<&str> {
        self.preface.as_ref()?.hello.as_ref()?.server_name.as_ref().map(ServerName::as_str)
    }

    /// Others may have chosen it: what does not print is escaped.
    fn unique_id_text(&self) -> Option<DisplayValue<impl Display>> {
        self.unique_id.as_ref().map(|id| display(id.escape_ascii()))
    }
}
