//! The access record: one log event per connection, written when it ends, however it ends.

use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lb_model::{ListenerName, PoolName, Termination};
use lb_net::{Counts, Permit, Worker, clock};
use lb_runtime::Backend;

/// What is known of a connection. Dropping it writes the record.
#[derive(Debug)]
pub(crate) struct Record {
    pub(crate) client: SocketAddr,
    pub(crate) local: SocketAddr,
    pub(crate) counts: Counts,
    pub(crate) backend: Option<Arc<Backend>>,
    /// Backends that were tried.
    pub(crate) tries: u8,
    /// Spent waiting in the pool's queue.
    pub(crate) queued: Duration,
    /// Spent connecting, vain tries included.
    pub(crate) connecting: Duration,
    /// `None` until the connection ends in a way that the code foresees.
    termination: Option<Termination>,
    accepted: Instant,
    names: Rc<Names>,
    pub(crate) worker: Rc<Worker>,
    _permits: [Permit; 2],
}

/// What all records of a listener have in common.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) listener: ListenerName,
    pub(crate) pool: PoolName,
}

impl Record {
    pub(crate) fn new(
        names: &Rc<Names>,
        worker: &Rc<Worker>,
        client: SocketAddr,
        local: SocketAddr,
        permits: [Permit; 2],
    ) -> Self {
        Self {
            client,
            local,
            counts: Counts::default(),
            backend: None,
            tries: 0,
            queued: Duration::ZERO,
            connecting: Duration::ZERO,
            termination: None,
            accepted: clock::now(),
            names: Rc::clone(names),
            worker: Rc::clone(worker),
            _permits: permits,
        }
    }

    /// The connection ended in a way that the code foresees.
    pub(crate) fn end(mut self, termination: Termination) {
        self.termination = Some(termination);
    }
}

impl Drop for Record {
    fn drop(&mut self) {
        let cut_off = if self.worker.is_cut() { Termination::Shutdown } else { Termination::Internal };
        let reason = self.termination.unwrap_or(cut_off);
        let micros = |duration: Duration| u64::try_from(duration.as_micros()).unwrap_or(u64::MAX);
        tracing::info!(
            target: "access",
            listener = self.names.listener.as_str(),
            client = %self.client,
            local = %self.local,
            pool = self.names.pool.as_str(),
            backend = self.backend.as_ref().map(|backend| backend.name.as_str()),
            bytes_in = self.counts.to_backend.get(),
            bytes_out = self.counts.to_client.get(),
            duration_us = micros(clock::now().saturating_duration_since(self.accepted)),
            connect_us = micros(self.connecting),
            queue_us = micros(self.queued),
            tries = self.tries,
            reason = reason.label(),
            "connection"
        );
    }
}
