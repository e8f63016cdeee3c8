//! `[pools.NAME]`

use std::num::NonZeroU8;

use lb_model::Algorithm;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Located, OffOr, RawBackend, RawPassiveHealth, RawQueue, Text, Whole, Word};
use crate::duration::Period;
use crate::{default, text};

/// Backends that serve the same thing, and how connections are spread over them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table with the keys of a pool")]
#[schemars(
    rename = "pool",
    extend("x-example" = "[pools.web]\nbalance = \"least_connections\"\nbackends = [\"10.0.0.1:80\", { address = \"10.0.0.2:80\", weight = 3 }]\nconnect_timeout = \"2s\"\n")
)]
pub(crate) struct RawPool {
    /// How a backend is chosen for a connection, always in proportion to the weights. `hash`: by client and listener
    /// address and port, so that several instances choose alike and a changed pool moves few flows. `round_robin`: in
    /// turn. `least_connections`: where there are fewest, for connections that last long.
    #[schemars(extend("default" = text::algorithm(default::ALGORITHM)))]
    pub(crate) balance: Option<Located<Word<RawAlgorithm>>>,
    /// The backends: each an address, or a table with more settings. 1 to 4096.
    #[schemars(required, length(min = 1, max = 4096))]
    pub(crate) backends: Option<Located<Vec<Located<RawBackend>>>>,
    /// How long one attempt to connect to a backend may take. Lower it to move on to the next backend sooner.
    #[schemars(extend("default" = text::duration(default::CONNECT_TIMEOUT)))]
    pub(crate) connect_timeout: Option<Located<Text<Period>>>,
    /// How many different backends are tried for one connection before the client is refused.
    #[schemars(extend("default" = default::CONNECT_TRIES))]
    pub(crate) connect_tries: Option<Located<Whole<NonZeroU8, 8>>>,
    /// After this much silence the kernel probes whether the backend is still there. Whole seconds, at most 32767. Worth
    /// it where a firewall between Sluice and the backends forgets idle connections.
    #[schemars(extend("default" = text::duration_or_off(default::BACKEND_KEEPALIVE)))]
    pub(crate) keepalive: Option<Located<OffOr<Period>>>,
    /// Where connections wait while every backend is at its `max_connections`.
    pub(crate) queue: Option<RawQueue>,
    /// When a backend that does not accept connections is left alone, and for how long.
    pub(crate) passive_health: Option<RawPassiveHealth>,
}

/// How a backend is chosen.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum RawAlgorithm {
    Hash,
    RoundRobin,
    LeastConnections,
}

impl From<RawAlgorithm> for Algorithm {
    fn from(raw: RawAlgorithm) -> Self {
        match raw {
            RawAlgorithm::Hash => Self::Hash,
            RawAlgorithm::RoundRobin => Self::RoundRobin,
            RawAlgorithm::LeastConnections => Self::LeastConnections,
        }
    }
}
