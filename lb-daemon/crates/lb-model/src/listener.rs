//! What clients connect to.

use std::collections::HashSet;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use ipnet::IpNet;

use crate::{AccessList, Bind, Http, ListenerName, PoolId, SniRoutes};

/// Addresses, ports and a protocol that clients connect to, and the pool that serves them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Unique name.
    pub name: ListenerName,
    /// Where to listen; never empty, no two overlap in one configuration.
    pub bind: Vec<Bind>,
    /// What is spoken.
    pub protocol: Protocol,
    /// Who serves it. `None` only for [`Protocol::Tls`] and [`Protocol::Http`], where it serves those that no route of
    /// [`sni`](Self::sni) or [`Http::routes`] is for.
    pub pool: Option<PoolId>,
    /// For [`Protocol::Tls`]: who serves which names. Empty for others.
    pub sni: SniRoutes,
    /// For [`Protocol::Http`], and only for that: all that is about requests.
    pub http: Option<Http>,
    /// Networks whose connections begin with a PROXY protocol header (v1 or v2), which says who the client is. From others no
    /// header is taken. Empty: nobody's do. Always empty for [`Protocol::Udp`].
    pub accept_proxy: Vec<IpNet>,
    /// How long a client may take for what has to be read before a backend is chosen: the PROXY header, the TLS
    /// ClientHello, the head of an HTTP request. Never zero.
    pub header_timeout: Duration,
    /// For [`Protocol::Udp`]: a flow ends with this many datagrams from its backend, as DNS's do with one. `None`: it ends by
    /// `idle_timeout` only.
    pub replies: Option<NonZeroU16>,
    /// Most connections at once over all workers; further ones wait in the kernel's accept queue. For [`Protocol::Udp`] most
    /// flows: the datagrams of further ones are dropped, those that there are go on.
    pub max_connections: Option<NonZeroU32>,
    /// Most connections or flows at once from one client, over all workers: an IPv4 address, or an IPv6 network of 64 bits.
    /// Further ones are reset, their datagrams dropped.
    pub max_connections_per_client: Option<NonZeroU32>,
    /// A connection on which nothing moves for this long is reset, a flow is forgotten. `None`: never (not for UDP). For
    /// [`Protocol::Http`] this is for what no other timeout is for: upgraded connections, and responses that a client does
    /// not take.
    pub idle_timeout: Option<Duration>,
    /// After this much silence the kernel probes whether the client is still there. `None`: never.
    pub keepalive: Option<Duration>,
    /// Which clients may connect.
    pub access: AccessList,
}

impl Listener {
    /// The pools that serve it, each once: first [`pool`](Self::pool), then those of its routes in order.
    pub fn pools(&self) -> Vec<PoolId> {
        let mut known = HashSet::new();
        let of_requests = self.http.iter().flat_map(|http| http.routes.iter().map(|route| route.pool));
        let all = self.pool.into_iter().chain(self.sni.iter().map(|route| route.pool)).chain(of_requests);
        all.filter(|pool| known.insert(*pool)).collect()
    }
}

/// What a listener speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// Bytes, relayed untouched.
    Tcp,
    /// TLS connections, relayed untouched; the name that the client asks for (SNI) chooses the pool.
    Tls,
    /// Datagrams, in flows by client and local address and port.
    Udp,
    /// HTTP/1.1 requests, each sent to a backend by itself.
    Http,
}

impl Protocol {
    /// The name as configured and shown.
    pub const fn label(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Udp => "udp",
            Self::Http => "http",
        }
    }
}
