//! The validated configuration as plain types.
//!
//! Whoever holds a [`Config`] holds a configuration that can be run: names resolve, ranges are sane, nothing overlaps.
//! `lb-config` is the only producer for files; tests build it by hand. Pure on purpose: no serde (the file format is
//! `lb-config`'s business), no tokio, no clock, no random source.
#![forbid(unsafe_code)]

mod access;
mod address;
mod admin;
mod alpn;
mod config;
mod discovery;
mod drop_reason;
mod duration;
mod health;
mod http;
mod listener;
mod name;
mod percent;
mod pool;
mod server_name;
mod size;
mod sni;
mod standing;
mod termination;

pub use access::{AccessList, Networks};
pub use address::{BackendAddress, Bind, BindHost, InvalidAddress, InvalidPortRange, PortRange};
pub use admin::{Admin, AdminSocket, AdminTcp, AdminTls};
pub use alpn::{AlpnProtocol, InvalidAlpnProtocol};
pub use config::{Config, Global, Log, LogFormat, LogLevel, MaxConnections, Watch, Workers};
pub use discovery::{Discovery, DiscoveryQuery, DiscoverySettings, IpFamilies};
pub use drop_reason::DropReason;
pub use duration::DurationText;
pub use health::{
    BodyMatch, DnsName, DnsProbe, ExecProbe, HealthCheck, HttpHost, HttpMethod, HttpPath, HttpProbe,
    InvalidJitter, InvalidProbeText, InvalidRecordType, InvalidStatusRanges, Jitter, Probe, RecordType,
    StatusRanges, TlsProbe, TlsServerName, TlsVerification, UdpAnswer, UdpProbe,
};
pub use http::{
    AccessLog, AccessLogDestination, AccessLogFormat, ByteRate, HeaderEdit, HeaderName, HeaderValue, Http,
    HttpUpstream, InvalidHeaderName, InvalidHeaderValue, InvalidPathPrefix, InvalidRouteHost, PathPrefix,
    Route, RouteHost, RouteId, RouteTable,
};
pub use listener::{Listener, Protocol};
pub use name::{BackendName, InvalidName, ListenerName, PoolName, ZoneName};
pub use percent::{InvalidPercent, Percent};
pub use pool::{
    Algorithm, Backend, Include, PassiveHealth, Pool, PoolId, ProxyTlvs, Queue, SendProxy, Weight, Zones,
};
pub use server_name::{
    InvalidServerName, InvalidServerNamePattern, ServerName, ServerNameMap, ServerNamePattern,
};
pub use size::SizeText;
pub use sni::{NoRoute, SniRoute, SniRoutes};
pub use standing::{Health, Standing};
pub use termination::Termination;
