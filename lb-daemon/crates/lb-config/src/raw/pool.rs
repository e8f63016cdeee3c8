//! `[pools.NAME]`

use std::num::NonZeroU8;

use lb_model::{Algorithm, HttpUpstream, Percent, Zones};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{
    Located, OffOr, RawBackend, RawDiscovery, RawHealthCheck, RawPassiveHealth, RawQueue, RawSendProxy,
    ShortOr, Text, Whole, Word,
};
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
    /// How a backend is chosen for a connection, or for each request of `http`, always in proportion to the weights. `hash`: by client and listener
    /// address and port, so that several instances choose alike and a changed pool moves few flows. `round_robin`: in
    /// turn. `ip_hash`: by the client's address alone, so that a client stays with its backend. `least_connections`: where
    /// there are fewest, for connections that last long. `least_response_time`: of two chosen by chance, the one that
    /// connects and answers sooner, for backends of uneven speed. `random`: of two chosen by chance, the one with fewer
    /// connections.
    #[schemars(extend("x-unset" = format!("`{:?}`; `{:?}` if a listener with `protocol = \"http\"` uses it", text::algorithm(default::ALGORITHM), text::algorithm(default::HTTP_ALGORITHM))))]
    pub(crate) balance: Option<Located<Word<RawAlgorithm>>>,
    /// The backends: each an address or a DNS name, or a table with more settings. 1 to 4096.
    #[schemars(required, length(min = 1, max = 4096))]
    pub(crate) backends: Option<Located<Vec<Located<ShortOr<RawBackend>>>>>,
    /// How the backends are checked. Keys in a backend's own `health_check` go first.
    #[schemars(extend("default" = "off"))]
    pub(crate) health_check: Option<Located<ShortOr<RawHealthCheck>>>,
    /// How the backends that are DNS names are looked up. A name is asked for again when its answer's TTL has passed;
    /// backends come and go with the answers.
    pub(crate) discovery: Option<Located<RawDiscovery>>,
    /// How long a backend that is new, or healthy again, takes to get its full share of connections, in ten steps. For
    /// servers that begin with cold caches.
    #[schemars(extend("default" = text::duration_or_off(default::SLOW_START)))]
    pub(crate) slow_start: Option<Located<OffOr<Period>>>,
    /// Where fewer than this share of the backends are healthy, all are used whatever their health, as the few would be
    /// overrun. With `"0%"` that is only where none is.
    #[schemars(extend("default" = default::PANIC_THRESHOLD.to_string()))]
    pub(crate) panic_threshold: Option<Located<Text<Percent>>>,
    /// What the `zone` of a backend means. `ignore`: nothing. `prefer_local`: backends in the zone of this instance (`zone`
    /// in `[global]`) get all connections until they are short of capacity.
    #[schemars(extend("default" = text::zones(default::ZONES)))]
    pub(crate) zones: Option<Located<Word<RawZones>>>,
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
    /// The PROXY protocol header that backends get first on each connection, so that they know the client's address: they
    /// have to expect it. Not for pools of listeners with `protocol = "udp"`, nor with `"http"`, whose connections to backends
    /// are shared by clients: there `X-Forwarded-For` has the client.
    #[schemars(extend("default" = "off"))]
    pub(crate) send_proxy: Option<Located<ShortOr<RawSendProxy>>>,
    /// Where connections wait while every backend is at its `max_connections`. Listeners with `protocol = "udp"` have no
    /// queue: datagrams that no backend can take are dropped.
    pub(crate) queue: Option<RawQueue>,
    /// When a backend that does not accept connections is left alone, and for how long.
    pub(crate) passive_health: Option<RawPassiveHealth>,
    /// `http`: how long a backend may take for the first byte of its response, from the end of the request on. Then the
    /// client gets a 504.
    #[schemars(extend("default" = text::duration_or_off(HttpUpstream::DEFAULT.first_byte_timeout)))]
    pub(crate) first_byte_timeout: Option<Located<OffOr<Period>>>,
    /// `http`: how long a backend may take nothing in the midst of a request, or send nothing in the midst of a response.
    /// Raise it for streams that are silent for long, such as server-sent events.
    #[schemars(extend("default" = text::duration_or_off(HttpUpstream::DEFAULT.idle_timeout)))]
    pub(crate) idle_timeout: Option<Located<OffOr<Period>>>,
    /// `http`: how long a request may take altogether, from the choice of a backend to the last byte of the response.
    #[schemars(extend("default" = text::duration_or_off(HttpUpstream::DEFAULT.total_timeout)))]
    pub(crate) total_timeout: Option<Located<OffOr<Period>>>,
    /// `http`: most connections to each backend, over all workers, that are kept open for further requests. With 0 each is
    /// closed after its response.
    #[schemars(extend("default" = HttpUpstream::DEFAULT.max_idle_connections))]
    pub(crate) max_idle_connections: Option<Located<Whole<u32, { u32::MAX as u64 }>>>,
    /// `http`: how long such a connection is kept without a request. Shorter than the backends keep theirs, so that none is
    /// closed there while a request is on its way.
    #[schemars(extend("default" = text::duration(HttpUpstream::DEFAULT.idle_connection_timeout)))]
    pub(crate) idle_connection_timeout: Option<Located<Text<Period>>>,
}

/// How a backend is chosen.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum RawAlgorithm {
    Hash,
    RoundRobin,
    IpHash,
    LeastConnections,
    LeastResponseTime,
    Random,
}

impl From<RawAlgorithm> for Algorithm {
    fn from(raw: RawAlgorithm) -> Self {
        match raw {
            RawAlgorithm::Hash => Self::Hash,
            RawAlgorithm::RoundRobin => Self::RoundRobin,
            RawAlgorithm::IpHash => Self::IpHash,
            RawAlgorithm::LeastConnections => Self::LeastConnections,
            RawAlgorithm::LeastResponseTime => Self::LeastResponseTime,
            RawAlgorithm::Random => Self::Random,
        }
    }
}

/// What the zones of backends mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum RawZones {
    Ignore,
    PreferLocal,
}

impl From<RawZones> for Zones {
    fn from(raw: RawZones) -> Self {
        match raw {
            RawZones::Ignore => Self::Ignore,
            RawZones::PreferLocal => Self::PreferLocal,
        }
    }
}
