//! Model values as the file format writes them: for [`effective`](crate::effective) and for the defaults in the schema.

use std::time::Duration;

use lb_model::{Algorithm, LogFormat, LogLevel, Protocol};

use crate::duration::Period;

pub(crate) fn duration(duration: Duration) -> String {
    Period(duration).to_string()
}

pub(crate) fn duration_or_off(duration: Option<Duration>) -> String {
    duration.map_or_else(|| "off".to_owned(), self::duration)
}

pub(crate) fn algorithm(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Hash => "hash",
        Algorithm::RoundRobin => "round_robin",
        Algorithm::LeastConnections => "least_connections",
    }
}

pub(crate) fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp => "tcp",
    }
}

pub(crate) fn log_level(level: LogLevel) -> &'static str {
    match level {
        LogLevel::Error => "error",
        LogLevel::Warn => "warn",
        LogLevel::Info => "info",
        LogLevel::Debug => "debug",
        LogLevel::Trace => "trace",
    }
}

pub(crate) fn log_format(format: LogFormat) -> &'static str {
    match format {
        LogFormat::Human => "human",
        LogFormat::Json => "json",
    }
}
