//! The probes: one attempt to find out whether a backend is healthy.
//!
//! A probe's timeout covers all of it, and a probe that is over, for whatever reason (its future being dropped included),
//! leaves nothing behind: no socket, not even one in TIME_WAIT, and no process. What is read is bounded everywhere.

mod dns;
mod exec;
mod http;
mod tcp;
mod tls;
mod udp;

use std::future::Future;
use std::net::SocketAddr;
use std::time::Duration;

use lb_model::{BackendName, HealthCheck, Probe};
use tokio::time::Instant;

pub(crate) use self::tls::TrustStores;
use crate::error::{ProbeError, Step};
use crate::schedule::Target;

/// How long an answer took; `None` for a silence that counts as good.
pub(crate) type ProbeResult = Result<Option<Duration>, ProbeError>;

/// What is probed, and how. Targets with equal keys share a probe.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ProbeKey {
    /// Where the probe goes.
    pub(crate) address: SocketAddr,
    /// For commands alone: they are told the name, so backends with different names are different to them.
    pub(crate) name: Option<BackendName>,
    /// How; its `port` is in `address` already.
    pub(crate) check: HealthCheck,
    /// What a connection begins with.
    pub(crate) first: &'static [u8],
}

impl ProbeKey {
    pub(crate) fn new(Target { key, address: backend, check, first }: &Target) -> Self {
        let address = SocketAddr::new(backend.ip(), check.port.unwrap_or(backend.port()));
        let name = matches!(check.probe, Probe::Exec(_)).then(|| key.backend.clone());
        Self { address, name, check: HealthCheck { port: None, ..check.clone() }, first }
    }
}

/// Probes once.
pub(crate) async fn run(key: &ProbeKey, trust: &TrustStores) -> ProbeResult {
    let deadline = Deadline::after(key.check.timeout);
    match &key.check.probe {
        Probe::Tcp => tcp::probe(key.address, deadline).await?,
        // Boxed for its size: the others need a tenth of it.
        Probe::Http(http) => Box::pin(http::probe(key.address, key.first, http, trust, deadline)).await?,
        Probe::Udp(udp) => return udp::probe(key.address, udp, deadline).await,
        Probe::Dns(dns) => dns::probe(key.address, key.first, dns, deadline).await?,
        Probe::Exec(exec) => exec::probe(key.address, key.name.as_ref(), exec, deadline).await?,
    }
    Ok(Some(deadline.elapsed()))
}

/// When a probe has to be over.
#[derive(Debug, Clone, Copy)]
struct Deadline {
    started: Instant,
    timeout: Duration,
}

impl Deadline {
    fn after(timeout: Duration) -> Self {
        Self { started: Instant::now(), timeout }
    }

    fn elapsed(self) -> Duration {
        self.started.elapsed()
    }

    /// Waits for one step of the probe.
    async fn within<T>(self, step: Step, future: impl Future<Output = T>) -> Result<T, ProbeError> {
        let timed = tokio::time::timeout_at(self.started + self.timeout, future).await;
        timed.map_err(|_elapsed| ProbeError::TimedOut { step, timeout: self.timeout })
    }
}

#[cfg(test)]
mod tests;
