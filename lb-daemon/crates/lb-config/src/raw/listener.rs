//! `[listeners.NAME]`

use std::num::NonZeroU32;

use lb_model::{Bind, PoolName, Protocol};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Located, OffOr, Text, Whole, Word};
use crate::duration::Period;
use crate::network::Network;
use crate::{default, text};

/// What clients connect to: addresses, ports and a protocol, and the pool that serves them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table with the keys of a listener")]
#[schemars(
    rename = "listener",
    extend("x-example" = "[listeners.web]\nbind = [\"0.0.0.0:8080\", \"[::]:8080\"]\nprotocol = \"tcp\"\npool = \"web\"\nmax_connections = 10000\nallow = [\"10.0.0.0/8\", \"2001:db8::/32\"]\n")
)]
pub(crate) struct RawListener {
    /// Where to listen: `ADDRESS:PORT`, or `ADDRESS:FIRST-LAST` for a range of ports. `0.0.0.0` is every IPv4 address of
    /// the host, `[::]` every IPv6 address (and only those), `*` both. No two binds of a configuration may overlap; a
    /// single address and a wildcard do not, the single address wins.
    #[schemars(required, length(min = 1))]
    pub(crate) bind: Option<Located<Vec<Located<Text<Bind>>>>>,
    /// What is spoken. `tcp` relays bytes without looking at them.
    #[schemars(required)]
    pub(crate) protocol: Option<Located<Word<RawProtocol>>>,
    /// Who serves the connections: the NAME of a `[pools.NAME]`.
    #[schemars(required)]
    pub(crate) pool: Option<Located<Text<PoolName>>>,
    /// Most connections of this listener at once, over all workers. Further clients wait in the kernel's accept queue.
    #[schemars(extend("x-unset" = "no limit"))]
    pub(crate) max_connections: Option<Located<Whole<NonZeroU32, { u32::MAX as u64 }>>>,
    /// A connection on which no byte moves for this long, in either direction, is reset. Raise it for protocols that are
    /// silent for long, such as database pools or remote shells.
    #[schemars(extend("default" = text::duration_or_off(default::IDLE_TIMEOUT)))]
    pub(crate) idle_timeout: Option<Located<OffOr<Period>>>,
    /// After this much silence the kernel probes whether the client is still there, and ends the connection if it is
    /// not. Whole seconds, at most 32767.
    #[schemars(extend("default" = text::duration_or_off(default::CLIENT_KEEPALIVE)))]
    pub(crate) keepalive: Option<Located<OffOr<Period>>>,
    /// Who may connect: networks and single addresses. An empty list lets everybody in.
    #[schemars(extend("default" = []))]
    pub(crate) allow: Option<Vec<Located<Text<Network>>>>,
    /// Who may not connect; wins over `allow`.
    #[schemars(extend("default" = []))]
    pub(crate) deny: Option<Vec<Located<Text<Network>>>>,
}

/// What a listener speaks.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum RawProtocol {
    Tcp,
}

impl From<RawProtocol> for Protocol {
    fn from(raw: RawProtocol) -> Self {
        match raw {
            RawProtocol::Tcp => Self::Tcp,
        }
    }
}
