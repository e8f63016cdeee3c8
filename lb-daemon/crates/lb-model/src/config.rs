//! The whole configuration.

use std::net::SocketAddr;
use std::num::{NonZeroU16, NonZeroU32};
use std::path::PathBuf;
use std::time::Duration;

use crate::{Admin, Listener, Pool, PoolId, ZoneName};

/// A complete, consistent configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Settings of the process.
    pub global: Global,
    /// What it logs.
    pub log: Log,
    /// Where it takes commands.
    pub admin: Admin,
    /// The listeners, sorted by name.
    pub listeners: Vec<Listener>,
    /// The pools, sorted by name; a [`PoolId`] is a place in here.
    pub pools: Vec<Pool>,
}

impl Config {
    /// The pool at `id`, which must come from this configuration.
    pub fn pool(&self, id: PoolId) -> Option<&Pool> {
        self.pools.get(id.index())
    }
}

/// Settings of the process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Global {
    /// Worker threads.
    pub workers: Workers,
    /// Most client connections at once over all listeners and workers.
    pub max_connections: MaxConnections,
    /// How long connections may take to end after SIGTERM before they are cut.
    pub drain_timeout: Duration,
    /// Seed of the hash that places flows in Maglev tables. Instances that share it choose alike.
    pub hash_seed: u32,
    /// The zone that this instance is in, for pools that prefer backends of the same zone.
    pub zone: Option<ZoneName>,
    /// The directory for what has to survive a restart (overrides). `None`: the service manager's `$STATE_DIRECTORY`,
    /// else nothing survives.
    pub state_dir: Option<PathBuf>,
    /// Whether the configuration is reloaded when its files change.
    pub watch: Watch,
    /// The DNS servers to ask for backends that are names. Empty: those of `/etc/resolv.conf`.
    pub nameservers: Vec<SocketAddr>,
}

/// Whether the configuration is reloaded when its files change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watch {
    /// Only when asked to: SIGHUP or `sluice reload`.
    Off,
    /// Also when one of its files changes.
    On,
}

/// How many worker threads to run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Workers {
    /// One per core that this process may use (affinity and cgroup `cpu.max`).
    Auto,
    /// This many.
    Count(NonZeroU16),
}

/// The process-wide connection limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaxConnections {
    /// As many as the file descriptor limit allows.
    Auto,
    /// This many.
    Count(NonZeroU32),
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Log {
    /// Least severe level that is written.
    pub level: LogLevel,
    /// For people or for machines.
    pub format: LogFormat,
    /// Whether each connection leaves a record when it ends.
    pub access: bool,
}

/// Severity of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Something failed that needs a person.
    Error,
    /// Something is off that Sluice copes with.
    Warn,
    /// Changes of state.
    Info,
    /// Details, client data included.
    Debug,
    /// Everything.
    Trace,
}

/// Shape of log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Human,
    /// One JSON object a line.
    Json,
}
