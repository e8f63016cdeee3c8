//! `[listeners.NAME]`

use std::num::{NonZeroU16, NonZeroU32};

use lb_model::{Bind, HeaderName, Http, PoolName, Protocol};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Located, OffOr, RawAccessLog, RawRoute, RawSniRoute, ShortOr, Text, Whole, Word};
use crate::duration::Period;
use crate::network::Network;
use crate::rate::Rate;
use crate::size::Size;
use crate::{default, text};

/// What clients connect to: addresses, ports and a protocol, and the pool that serves them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table with the keys of a listener")]
#[schemars(
    rename = "listener",
    extend("anyOf" = [{ "required": ["pool"] }, { "required": ["sni"] }, { "required": ["routes"] }]),
    extend("x-example" = "[listeners.web]\nbind = [\"0.0.0.0:8080\", \"[::]:8080\"]\nprotocol = \"tcp\"\npool = \"web\"\nmax_connections = 10000\nallow = [\"10.0.0.0/8\", \"2001:db8::/32\"]\n")
)]
pub(crate) struct RawListener {
    /// Where to listen: `ADDRESS:PORT`, or `ADDRESS:FIRST-LAST` for a range of ports. `0.0.0.0` is every IPv4 address of
    /// the host, `[::]` every IPv6 address (and only those), `*` both. No two binds of a configuration may overlap; a
    /// single address and a wildcard do not, the single address wins, and `udp` has ports of its own.
    #[schemars(required, length(min = 1))]
    pub(crate) bind: Option<Located<Vec<Located<Text<Bind>>>>>,
    /// What is spoken. `tcp` relays bytes without looking at them. `tls` relays TLS without decrypting it; the name that a
    /// client asks for (SNI) chooses the pool. `udp` relays datagrams, in flows by client and local address and port. `http`
    /// takes HTTP/1.1 requests and sends each by itself to a backend; host and path choose the pool.
    #[schemars(required)]
    pub(crate) protocol: Option<Located<Word<RawProtocol>>>,
    /// Who serves the connections: the NAME of a `[pools.NAME]`. For `tls`, those that no route in `sni` is for; for `http`,
    /// the requests that none in `routes` is for.
    #[schemars(extend("x-unset" = "required; for `tls` with `sni` and `http` with `routes`: none, others are refused"))]
    pub(crate) pool: Option<Located<Text<PoolName>>>,
    /// `tls`: who serves which names.
    #[schemars(extend("default" = []))]
    pub(crate) sni: Option<Located<Vec<Located<RawSniRoute>>>>,
    /// `http`: who serves which requests.
    #[schemars(extend("default" = []))]
    pub(crate) routes: Option<Located<Vec<Located<RawRoute>>>>,
    /// `tcp`, `tls`, `http`: networks and single addresses of proxies in front of Sluice. Connections from these must begin with a
    /// PROXY protocol header (v1 or v2); `allow`, `deny`, logs and hashing then go by the client that it names. From others
    /// no header is taken.
    #[schemars(extend("default" = []))]
    pub(crate) accept_proxy: Option<Located<Vec<Located<Text<Network>>>>>,
    /// `tcp`, `tls`, `http`: how long a client may take for what has to be read before a backend is chosen: the header of
    /// `accept_proxy`, the first message (ClientHello) of `tls`, and the whole head of a request of `http`.
    #[schemars(extend("x-unset" = format!("`{:?}`; for `http` `{:?}`", text::duration(default::HEADER_TIMEOUT), text::duration(default::REQUEST_HEADER_TIMEOUT))))]
    pub(crate) header_timeout: Option<Located<Text<Period>>>,
    /// `http`: most bytes of the head of a request, from its first line to the empty one, and of a response's. Larger ones of
    /// requests are refused with 431. From 1KiB to 1MiB.
    #[schemars(extend("default" = Size(Http::DEFAULT_MAX_HEADER_BYTES.into()).to_string()))]
    pub(crate) max_header_bytes: Option<Located<Text<Size>>>,
    /// `http`: most headers of a request, and of a response. More of a request are refused with 431.
    #[schemars(extend("default" = Http::DEFAULT_MAX_HEADER_COUNT))]
    pub(crate) max_header_count: Option<Located<Whole<NonZeroU16, 10_000>>>,
    /// `http`: most bytes of the URI in a request's first line, query included. Longer ones are refused with 414. Not more
    /// than `max_header_bytes`.
    #[schemars(extend("x-unset" = format!("`{:?}`, or `max_header_bytes` if that is less", Size(Http::DEFAULT_MAX_URI_BYTES.into()).to_string())))]
    pub(crate) max_uri_bytes: Option<Located<Text<Size>>>,
    /// `http`: most bytes of the body of a request. Larger ones are refused with 413, at once if the request says its
    /// length. Bodies are passed on as they come and never kept, so a large one costs no memory here.
    #[schemars(extend("x-unset" = "no limit"))]
    pub(crate) max_body_bytes: Option<Located<Text<Size>>>,
    /// `http`: how long a client may send nothing in the midst of a request's body, before it gets a 408.
    #[schemars(extend("default" = text::duration(Http::DEFAULT_BODY_TIMEOUT)))]
    pub(crate) body_timeout: Option<Located<OffOr<Period>>>,
    /// `http`: how much of a request's body a client has to send on average. Only the time counts in which Sluice waits for
    /// the client. Slower ones get a 408: they only hold a place.
    #[schemars(extend("default" = Http::DEFAULT_MIN_RATE.to_string()))]
    pub(crate) min_body_rate: Option<Located<OffOr<Rate>>>,
    /// `http`: how much of a response a client has to take on average. Only the time counts in which Sluice waits for the
    /// client. Connections of slower ones are reset.
    #[schemars(extend("default" = Http::DEFAULT_MIN_RATE.to_string()))]
    pub(crate) min_response_rate: Option<Located<OffOr<Rate>>>,
    /// `http`: how long at the beginning of each body and response the two rates do not hold.
    #[schemars(extend("default" = text::duration(Http::DEFAULT_MIN_RATE_GRACE)))]
    pub(crate) min_rate_grace: Option<Located<Text<Period>>>,
    /// `http`: how long a connection may wait for its next request before it is closed. (`keepalive` is about TCP: whether
    /// the client is still there.)
    #[schemars(extend("default" = text::duration(Http::DEFAULT_KEEPALIVE_TIMEOUT)))]
    pub(crate) keepalive_timeout: Option<Located<Text<Period>>>,
    /// `http`: a connection is closed after this many requests. With 1 none has a second.
    #[schemars(extend("x-unset" = "no limit"))]
    pub(crate) max_requests_per_connection: Option<Located<Whole<NonZeroU32, { u32::MAX as u64 }>>>,
    /// `http`: networks and single addresses of proxies in front of Sluice. What these say in `X-Forwarded-For`,
    /// `X-Forwarded-Proto`, `X-Forwarded-Host` and the header of `request_id_header` is believed and passed on; what others
    /// say is replaced.
    #[schemars(extend("default" = []))]
    pub(crate) trusted_proxies: Option<Located<Vec<Located<Text<Network>>>>>,
    /// `http`: the header in which backends get the id of each request, such as `X-Request-Id`. The access log and error
    /// responses have it in any case.
    #[schemars(extend("x-unset" = "none"))]
    pub(crate) request_id_header: Option<Located<Text<HeaderName>>>,
    /// `http`: where each request leaves a line: `"off"`, a format (to standard output), or a table.
    #[schemars(extend("x-unset" = format!("`{:?}` if `access` in `[log]` is true, else `\"off\"`", text::access_log_format(default::ACCESS_LOG.format))))]
    pub(crate) access_log: Option<Located<ShortOr<RawAccessLog>>>,
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
    /// forgotten; `"off"` is not possible. For `http` this is for what no other timeout is for: connections that were upgraded
    /// (WebSocket), and responses that a client does not take.
    #[schemars(extend("x-unset" = format!("`{:?}`; for `udp` `{:?}`", text::duration_or_off(default::IDLE_TIMEOUT), text::duration(default::FLOW_IDLE_TIMEOUT))))]
    pub(crate) idle_timeout: Option<Located<OffOr<Period>>>,
    /// `tcp`, `tls`, `http`: after this much silence the kernel probes whether the client is still there, and ends the connection
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
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum RawProtocol {
    Tcp,
    Tls,
    Udp,
    Http,
}

impl From<RawProtocol> for Protocol {
    fn from(raw: RawProtocol) -> Self {
        match raw {
            RawProtocol::Tcp => Self::Tcp,
            RawProtocol::Tls => Self::Tls,
            RawProtocol::Udp => Self::Udp,
            RawProtocol::Http => Self::Http,
        }
    }
}
