//! What the API says about the process: its state, its listeners, its pools and their backends.
//!
//! The comments are the OpenAPI document's descriptions.

use lb_model::Standing;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Everything that is known about the process at one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Status {
    /// The version of Sluice.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// When it started, in seconds since 1970.
    pub started_at: u64,
    /// How long it has been running, in seconds.
    pub uptime_seconds: u64,
    /// Counts the configurations that have been in force; the first is 1.
    pub generation: u64,
    /// Counts the views that the data paths have been given: grows with every change of a backend's state, too.
    pub epoch: u64,
    /// The configuration's file.
    pub config_file: String,
    /// When the configuration in force was loaded, in seconds since 1970.
    pub loaded_at: u64,
    /// How the last attempt to reload ended; absent if there was none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_reload: Option<LastReload>,
    /// Whether it takes connections.
    pub state: Readiness,
    /// How many worker threads it has.
    pub workers: u32,
    /// The listeners, sorted by name.
    pub listeners: Vec<Listener>,
    /// The pools, sorted by name.
    pub pools: Vec<Pool>,
    /// What operators have set, over the configuration.
    pub overrides: Overrides,
    /// The names that backends are discovered by.
    pub discovery: Vec<Discovery>,
}

/// Whether the process takes connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Readiness {
    /// Not yet.
    Starting,
    /// Yes.
    Ready,
    /// Not any more: it waits for its connections to end, then ends.
    Draining,
}

impl Readiness {
    /// The state as the API writes it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Draining => "draining",
        }
    }
}

/// An attempt to reload the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LastReload {
    /// When, in seconds since 1970.
    pub at: u64,
    /// Whether the files were good. If not, the configuration from before stays in force.
    pub ok: bool,
    /// What is wrong with them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Addresses that clients connect to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Listener {
    /// Its name.
    pub name: String,
    /// The addresses and ports, as configured.
    pub bind: Vec<String>,
    /// What is spoken, for example `tcp`.
    pub protocol: String,
    /// The names of the pools that serve it: first the one for all clients, if there is one, then those that routes choose.
    pub pools: Vec<String>,
    /// How its bytes are moved, for example `splice`.
    pub datapath: String,
    /// Why no faster datapath is used.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datapath_reason: Option<String>,
    /// Connections that it has now.
    pub connections: u64,
    /// Most connections at once; absent without a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<u64>,
    /// Connections accepted since the process started.
    pub connections_total: u64,
    /// Bytes from clients since the process started.
    pub bytes_in: u64,
    /// Bytes to clients since the process started.
    pub bytes_out: u64,
}

/// Backends that serve the same thing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Pool {
    /// Its name.
    pub name: String,
    /// How a backend is chosen, as configured, for example `hash`.
    pub balance: String,
    /// Whether so few backends are healthy that all are used regardless.
    pub panic: bool,
    /// Connections that wait for a backend with room.
    pub queued: u64,
    /// The backends: the configured ones in file order, then the discovered ones.
    pub backends: Vec<Backend>,
}

/// One server of a pool.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Backend {
    /// Its name, unique in its pool.
    pub name: String,
    /// Where it is.
    pub address: String,
    /// The DNS name that it was discovered by; absent for a backend that is configured by address.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub discovered_by: Option<String>,
    /// Whether it gets new connections.
    pub state: BackendState,
    /// For how long it has been in this state, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub since_seconds: Option<u64>,
    /// Why it is in this state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// What its health checks say.
    pub health: Health,
    /// Its share of new connections now: with an override and during its slow start not the configured one.
    pub weight: u16,
    /// Its share of new connections as configured.
    pub configured_weight: u16,
    /// What an operator has set; absent if nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub r#override: Option<Override>,
    /// Its tier: higher ones stand by.
    pub tier: u8,
    /// The failure domain that it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Connections that it has now.
    pub connections: u64,
    /// Most connections at once; absent without a limit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_connections: Option<u64>,
    /// Connections made to it since the process started.
    pub connections_total: u64,
    /// Attempts to connect to it that failed since the process started.
    pub connect_failures_total: u64,
    /// Bytes to it since the process started.
    pub bytes_in: u64,
    /// Bytes from it since the process started.
    pub bytes_out: u64,
    /// How long it takes to connect and to send the first byte, in milliseconds, smoothed; absent where it is not
    /// measured.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response_time_ms: Option<f64>,
}

/// Whether a backend gets new connections, and why not.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum BackendState {
    /// It does.
    Active,
    /// It would, but backends of a lower tier or a nearer zone do.
    Standby,
    /// An operator has taken it out; its connections go on.
    Draining,
    /// Its weight is 0.
    Disabled,
    /// Its health checks fail.
    Unhealthy,
    /// It did not accept connections and is left alone for a while.
    BackingOff,
}

impl BackendState {
    /// The state as the API writes it.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Standby => "standby",
            Self::Draining => "draining",
            Self::Disabled => "disabled",
            Self::Unhealthy => "unhealthy",
            Self::BackingOff => "backing_off",
        }
    }
}

impl From<Standing> for BackendState {
    fn from(standing: Standing) -> Self {
        match standing {
            Standing::Active => Self::Active,
            Standing::Standby => Self::Standby,
            Standing::Draining => Self::Draining,
            Standing::Disabled => Self::Disabled,
            Standing::Unhealthy => Self::Unhealthy,
            Standing::BackingOff => Self::BackingOff,
        }
    }
}

/// What health checks say about a backend.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Health {
    /// The verdict.
    pub status: HealthStatus,
    /// How it is checked, for example `http`; absent if it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// How the last check ended; absent before the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<String>,
    /// How long the last check took, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<f64>,
    /// When the next check is due, in milliseconds from now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next_in_ms: Option<u64>,
}

/// The verdict of health checks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum HealthStatus {
    /// There are no checks.
    Unchecked,
    /// There is no verdict yet.
    Unknown,
    /// It can be used.
    Healthy,
    /// It cannot.
    Unhealthy,
}

impl From<lb_model::Health> for HealthStatus {
    fn from(health: lb_model::Health) -> Self {
        match health {
            lb_model::Health::Unknown => Self::Unknown,
            lb_model::Health::Healthy => Self::Healthy,
            lb_model::Health::Unhealthy => Self::Unhealthy,
        }
    }
}

/// What an operator has set for a backend, over the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Override {
    /// Whether it is drained.
    pub drain: bool,
    /// Its weight; absent for the configured one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u16>,
}

/// What operators have set, over the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Overrides {
    /// Whether they survive a restart.
    pub persisted: bool,
    /// Why they do not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// The overrides, by pool and backend.
    pub overrides: Vec<OverrideOf>,
}

/// What an operator has set for a pool or a backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct OverrideOf {
    /// The name of the pool.
    pub pool: String,
    /// The name of the backend; absent for all of the pool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<String>,
    /// Whether it is drained: false excepts a backend from the draining of its pool. Absent if neither was said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain: Option<bool>,
    /// Its weight; absent for the configured one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub weight: Option<u16>,
    /// When the first of them was set, in seconds since 1970.
    pub set_at: u64,
    /// Whether there is such a pool or backend. If not, the override holds for one of that name that comes back.
    pub exists: bool,
}

/// A name that backends of a pool are discovered by.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Discovery {
    /// The name of the pool.
    pub pool: String,
    /// What is asked for, for example `api.internal:8080` or `_http._tcp.example.com`.
    pub query: String,
    /// How many backends the last good answer had.
    pub answers: u32,
    /// How the resolution stands: when the next is due, or what went wrong.
    pub state: String,
}
