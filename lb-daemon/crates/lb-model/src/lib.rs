//! The validated configuration as plain types.
//!
//! Whoever holds a [`Config`] holds a configuration that can be run: names resolve, ranges are sane, nothing overlaps.
//! `lb-config` is the only producer for files; tests build it by hand. Pure on purpose: no serde (the file format is
//! `lb-config`'s business), no tokio, no clock, no random source.
#![forbid(unsafe_code)]

mod access;
mod address;
mod config;
mod listener;
mod name;
mod pool;
mod termination;

pub use access::AccessList;
pub use address::{BackendAddress, Bind, BindHost, InvalidAddress, InvalidPortRange, PortRange};
pub use config::{Config, Global, Log, LogFormat, LogLevel, MaxConnections, Workers};
pub use listener::{Listener, Protocol};
pub use name::{BackendName, InvalidName, ListenerName, PoolName};
pub use pool::{Algorithm, Backend, PassiveHealth, Pool, PoolId, Queue, Weight};
pub use termination::Termination;
