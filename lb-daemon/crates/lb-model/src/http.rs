//! What HTTP listeners do with clients, and with the pools that serve them.

mod header;
mod host;
mod path_prefix;
mod route;

pub use header::{HeaderEdit, HeaderName, HeaderValue, InvalidHeaderName, InvalidHeaderValue};
pub use host::{InvalidRouteHost, RouteHost};
pub use path_prefix::{InvalidPathPrefix, PathPrefix};
pub use route::{Route, RouteId, RouteTable};

use std::fmt;
use std::num::{NonZeroU16, NonZeroU32};
use std::ops::RangeInclusive;
use std::path::PathBuf;
use std::time::Duration;

use crate::{Networks, SizeText};

/// The settings that only listeners of [`Protocol::Http`](crate::Protocol::Http) have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Http {
    /// Who serves which requests.
    pub routes: RouteTable,
    /// Most bytes of a head, request line and header fields together; of responses' heads, too. In
    /// [`Self::HEADER_BYTES`].
    pub max_header_bytes: u32,
    /// Most header fields of a head, and of trailers.
    pub max_header_count: NonZeroU16,
    /// Most bytes of a request's target; not more than [`max_header_bytes`](Self::max_header_bytes).
    pub max_uri_bytes: u32,
    /// Most bytes of a request's body, without its framing. `None`: any number.
    pub max_body_bytes: Option<u64>,
    /// How long a client may be silent in the midst of a request's body. `None`: no matter.
    pub body_timeout: Option<Duration>,
    /// What a client has to send of a body on average, while it is waited for. `None`: no matter.
    pub min_body_rate: Option<ByteRate>,
    /// What a client has to take of a response on average, while it is waited for. `None`: no matter.
    pub min_response_rate: Option<ByteRate>,
    /// For how long of each body and response the rates do not hold.
    pub min_rate_grace: Duration,
    /// How long a connection may wait for its next request. Never zero.
    pub keepalive_timeout: Duration,
    /// After this many requests a connection is closed. `None`: never for that.
    pub max_requests_per_connection: Option<NonZeroU32>,
    /// The proxies in front of this one whose `X-Forwarded-*` fields are believed.
    pub trusted_proxies: Networks,
    /// In which field backends get the id of a request, which is the client's where a trusted proxy sends one. `None`: in
    /// none.
    pub request_id_header: Option<HeaderName>,
    /// Where each request leaves a line when it has ended. `None`: nowhere.
    pub access_log: Option<AccessLog>,
}

impl Http {
    /// What [`max_header_bytes`](Self::max_header_bytes) may be. A head is kept in memory until its exchange has ended.
    pub const HEADER_BYTES: RangeInclusive<u32> = 1024..=1024 * 1024;
    /// What browsers and common servers agree on is 8 KiB to 16 KiB; single sign-on needs more.
    pub const DEFAULT_MAX_HEADER_BYTES: u32 = 32 * 1024;
    /// Envoy's and Apache's default.
    pub const DEFAULT_MAX_HEADER_COUNT: NonZeroU16 = NonZeroU16::new(100).unwrap();
    /// nginx's and Apache's default.
    pub const DEFAULT_MAX_URI_BYTES: u32 = 8 * 1024;
    /// Loss of a few packets is no reason to give up.
    pub const DEFAULT_BODY_TIMEOUT: Duration = Duration::from_secs(30);
    /// Kestrel's default, in bytes per second: slower than any modem, yet an end for who only holds a connection.
    pub const DEFAULT_MIN_RATE: ByteRate = ByteRate(NonZeroU32::new(240).unwrap());
    /// Kestrel's default.
    pub const DEFAULT_MIN_RATE_GRACE: Duration = Duration::from_secs(5);
    /// As long as most load balancers wait.
    pub const DEFAULT_KEEPALIVE_TIMEOUT: Duration = Duration::from_secs(60);

    /// `routes` with the default of everything else, which lets everything pass that is no attack, and logs nothing.
    pub fn new(routes: RouteTable) -> Self {
        Self {
            routes,
            max_header_bytes: Self::DEFAULT_MAX_HEADER_BYTES,
            max_header_count: Self::DEFAULT_MAX_HEADER_COUNT,
            max_uri_bytes: Self::DEFAULT_MAX_URI_BYTES,
            max_body_bytes: None,
            body_timeout: Some(Self::DEFAULT_BODY_TIMEOUT),
            min_body_rate: Some(Self::DEFAULT_MIN_RATE),
            min_response_rate: Some(Self::DEFAULT_MIN_RATE),
            min_rate_grace: Self::DEFAULT_MIN_RATE_GRACE,
            keepalive_timeout: Self::DEFAULT_KEEPALIVE_TIMEOUT,
            max_requests_per_connection: None,
            trusted_proxies: Networks::default(),
            request_id_header: None,
            access_log: None,
        }
    }
}

/// Bytes per second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ByteRate(pub NonZeroU32);

impl fmt::Display for ByteRate {
    /// As configurations write it: `240B/s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/s", SizeText(self.0.get().into()))
    }
}

/// Where each request leaves a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessLog {
    /// What the lines look like.
    pub format: AccessLogFormat,
    /// Where they go.
    pub destination: AccessLogDestination,
}

/// Shape of access log lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum AccessLogFormat {
    /// One JSON object a line, with everything that is known.
    Json,
    /// The combined log format of Apache and nginx.
    Combined,
}

/// Where an access log goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AccessLogDestination {
    /// Standard output.
    Stdout,
    /// Standard error, where the process's own log goes.
    Stderr,
    /// The end of this file.
    File(PathBuf),
}

/// What HTTP listeners do with a pool's backends; of no effect for other listeners.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpUpstream {
    /// From the last byte of a request until the first byte of its response. Never zero. `None`: as long as it takes.
    pub first_byte_timeout: Option<Duration>,
    /// How long a backend may take nothing in the midst of a request, or send nothing in the midst of a response. Never zero.
    /// `None`: as long as it likes.
    pub idle_timeout: Option<Duration>,
    /// From the request's way to a backend until the last byte of the response. Never zero. `None`: as long as it takes.
    pub total_timeout: Option<Duration>,
    /// Most connections to each backend that are kept open without a request, over all workers.
    pub max_idle_connections: u32,
    /// How long such a connection is kept. Never zero.
    pub idle_connection_timeout: Duration,
}

impl HttpUpstream {
    /// The defaults: nginx's and HAProxy's customary minute for whoever has to think, and connections that are few enough for
    /// backends with a thread for each, and not kept for longer than most servers keep them.
    pub const DEFAULT: Self = Self {
        first_byte_timeout: Some(Duration::from_secs(60)),
        idle_timeout: Some(Duration::from_secs(60)),
        total_timeout: None,
        max_idle_connections: 256,
        idle_connection_timeout: Duration::from_secs(30),
    };
}
