//! What a scrape tells: sheets, and what else is known at that moment.

mod xdp;

use std::time::Duration;

use lb_model::{Health, Protocol, Standing};

use crate::metrics::{BackendSheet, ListenerSheet, PerWorker, Process, WorkerSheet};

pub use xdp::{FlowStates, FlowTableReport, XdpBackendReport, XdpCounts, XdpListenerReport, XdpReport};

/// The state of the whole process at a scrape.
#[derive(Debug)]
pub struct Report<'a> {
    /// Which Sluice this is.
    pub version: &'a str,
    /// When it started, since the Unix epoch.
    pub started: Duration,
    /// The process as the kernel sees it.
    pub process: Process,
    /// Log lines that were dropped.
    pub log_lines_dropped: u64,
    /// Lines of access logs that were lost, because their destination was too slow or failed.
    pub access_log_lines_lost: u64,
    /// The configuration in force.
    pub configuration: Configuration,
    /// The workers.
    pub workers: &'a PerWorker<WorkerSheet>,
    /// The listeners, names unique.
    pub listeners: Vec<ListenerReport<'a>>,
    /// The pools, names unique.
    pub pools: Vec<PoolReport<'a>>,
    /// The DNS names that backends come from, unique in their pool.
    pub discoveries: Vec<DiscoveryReport<'a>>,
    /// The XDP data path, if there is one.
    pub xdp: Option<XdpReport<'a>>,
}

/// The configuration in force and how it got there.
#[derive(Debug, Clone, Copy)]
pub struct Configuration {
    /// Which one it is: 1 is the first of this process.
    pub generation: u64,
    /// Configurations that somebody still reads.
    pub snapshots: u64,
    /// The number of the view that is made from it and from what is observed.
    pub epoch: u64,
    /// When it was put into force, since the Unix epoch.
    pub applied_at: Duration,
    /// Warnings that reading it gave.
    pub warnings: u64,
    /// Reloads that were put into force.
    pub reloads_applied: u64,
    /// Reloads that were refused because the files have errors, or failed.
    pub reloads_refused: u64,
    /// How the last reload went. [`ReloadResult::Applied`] before there was one.
    pub last_reload: ReloadResult,
}

/// How a reload went.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReloadResult {
    /// The files are in force.
    Applied,
    /// The files have errors, or could not be put into force: the configuration before them stays.
    Refused,
}

/// A listener.
#[derive(Debug)]
pub struct ListenerReport<'a> {
    /// Its name.
    pub name: &'a str,
    /// What workers counted.
    pub sheets: &'a PerWorker<ListenerSheet>,
    /// Most connections at once.
    pub connection_limit: Option<u32>,
    /// What it speaks.
    pub protocol: Protocol,
}

/// A pool and its backends.
#[derive(Debug)]
pub struct PoolReport<'a> {
    /// Its name.
    pub name: &'a str,
    /// Connections that wait for a place.
    pub queued: u64,
    /// Most connections that may wait at once.
    pub queue_limit: u32,
    /// Whether so few backends are healthy that all are used regardless of their health.
    pub panic: bool,
    /// Its backends, names unique.
    pub backends: Vec<BackendReport<'a>>,
}

/// A backend.
#[derive(Debug)]
pub struct BackendReport<'a> {
    /// Its name.
    pub name: &'a str,
    /// What workers counted.
    pub sheets: &'a PerWorker<BackendSheet>,
    /// Connections that it has now, those being made included.
    pub active: u32,
    /// Most connections at once.
    pub connection_limit: Option<u32>,
    /// Its share of new connections: as configured or overridden, without what tiers, zones and slow start make of it.
    pub weight: u32,
    /// Whether it takes new connections, and if not, why.
    pub state: Standing,
    /// What its health checks say, if it has any.
    pub health: Option<Health>,
    /// How long its last health check took.
    pub check_duration: Option<Duration>,
}

impl BackendReport<'_> {
    /// Whether the backend itself is fit for connections, whatever operators want of it.
    pub(crate) fn is_up(&self) -> bool {
        let state_is_up = match self.state {
            Standing::Active | Standing::Standby | Standing::Draining | Standing::Disabled => true,
            Standing::Unhealthy | Standing::BackingOff => false,
        };
        state_is_up && self.health != Some(Health::Unhealthy)
    }
}

/// A DNS name that backends come from.
#[derive(Debug)]
pub struct DiscoveryReport<'a> {
    /// The pool's name.
    pub pool: &'a str,
    /// What is asked.
    pub query: &'a str,
    /// Backends that the last good answer named.
    pub answers: u64,
    /// For how long it has had no good answer, if it has none.
    pub failing: Option<Duration>,
}
