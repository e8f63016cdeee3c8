//! `[listeners.NAME]`

use std::num::{NonZeroU16, NonZeroU32};

use lb_model::{Bind, PoolName, Protocol};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Located, OffOr, RawSniRoute, Text, Whole, Word};
use crate::duration::Period;
use crate::network::Network;
use crate::{default, text};

/// What clients connect to: addresses, ports and a protocol, and the pool that serves them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table with the keys of a listener")]
#[schemars(
    rename = "listener",
    extend("anyOf" = [{ "required": ["pool"] }, { "required": ["sni"] }]),
    extend("x-example" = "[listeners.web]\nbind = [\"0.0.0.0:8080\", \"[::]:8080\"]\nprotocol = \"tcp\"\npool = \"web\"\nmax_connections = 10000\nallow = [\"10.0.0.0/8\", \"2001:db8::/32\"]\n")
)]
pub(crate) struct RawListener {
    /// Where to listen: `ADDRESS:PORT`, or `ADDRESS:FIRST-LAST` for a range of ports. `0.0.0.0` is every IPv4 address of
    /// the host, `[::]` every IPv6 address (and only those), `*` both. No two binds of a configuration may overlap; a
    /// single address and a wildcard do not, the single address wins, and `udp` has ports of its own.
    #[schemars(required, length(min = 1))]
    pub(crate) bind: Option<Located<Vec<Located<Text<Bind>>>>>,
    /// What is spoken. `tcp` relays bytes without looking at them. `tls` relays TLS without decrypting it; the name that a
    /// client asks for (SNI) chooses the pool. `udp` relays datagrams, in flows by client and local address and port.
    #[schemars(required)]
    pub(crate) protocol: Option<Located<Word<RawProtocol>>>,
    /// Who serves the connections: the NAME of a `[pools.NAME]`. For `tls`, those that no route in `sni` is for.
    #[schemars(extend("x-unset" = "required; for `tls` with `sni`: none, others are refused"))]
    pub(crate) pool: Option<Located<Text<PoolName>>>,
    /// `tls`: who serves which names.
    #[schemars(extend("default" = []))]
    pub(crate) sni: Option<Located<Vec<Located<RawSniRoute>>>>,
    /// `tcp`, `tls`: networks and single addresses of proxies in front of Sluice. Connections from these must begin with a
    /// PROXY protocol header (v1 or v2); `allow`, `deny`, logs and hashing then go by the client that it names. From others
    /// no header is taken.
    #[schemars(extend("default" = []))]
    pub(crate) accept_proxy: Option<Located<Vec<Located<Text<Network>>>>>,
    /// `tcp`, `tls`: how long a client may take for what has to be read before a backend is chosen: the header of
    /// `accept_proxy`, and the first message (ClientHello) of `tls`.
    #[schemars(extend("default" = text::duration(default::HEADER_TIMEOUT)))]
    pub(crate) header_timeout: Option<Located<Text<Period>>>,
    /// `udp`: a flow ends with this many datagrams from its backend. 1 is for questions with one answer each, such as DNS:
    /// such flows make room at once.
    #[schemars(extend("x-unset" = "flows end by `idle_timeout` only"))]
    pub(crate) replies: Option<Located<Whole<NonZeroU16, { u16::MAX as u64 }>>>,
    /// Most connections of this listener at once, over all workers. Further clients wait in the kernel's accept queue. For
    /// `udp`, most flows: the datagrams of further ones are dropped.
    #[schemars(extend("x-unset" = "no limit; for `udp` as many as file descriptors allow"))]
    pub(crate) max_connections: Option<Located<Whole<NonZeroU32, { u32::MAX as u64 }>>>,
    /// Most connections at once from one client, over all workers: one IPv4 address, or one IPv6 network of 64 bits. Further
    /// ones are reset; for `udp`, datagrams of further flows are dropped. One client cannot take all places then.
    #[schemars(extend("x-unset" = "no limit"))]
    pub(crate) max_connections_per_client: Option<Located<Whole<NonZeroU32, { u32::MAX as u64 }>>>,
    /// A connection on which no byte moves for this long, in either direction, is reset. Raise it for protocols that are
    /// silent for long, such as database pools or remote shells. For `udp`: a flow without datagrams for this long is
    /// forgotten; `"off"` is not possible.
    #[schemars(extend("x-unset" = format!("`{:?}`; for `udp` `{:?}`", text::duration_or_off(default::IDLE_TIMEOUT), text::duration(default::FLOW_IDLE_TIMEOUT))))]
    pub(crate) idle_timeout: Option<Located<OffOr<Period>>>,
    /// `tcp`, `tls`: after this much silence the kernel probes whether the client is still there, and ends the connection
    /// if it is not. Whole seconds, at most 32767.
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
    Tls,
    Udp,
}

impl From<RawProtocol> for Protocol {
    fn from(raw: RawProtocol) -> Self {
        match raw {
            RawProtocol::Tcp => Self::Tcp,
            RawProtocol::Tls => Self::Tls,
            RawProtocol::Udp => Self::Udp,
        }
    }
}
