//! Model values as the file format writes them: for [`effective`](crate::effective) and for the defaults in the schema.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use lb_model::{AccessLogFormat, Algorithm, DiscoveryQuery, IpFamilies, LogFormat, LogLevel, Zones};

use crate::duration::Period;

pub(crate) fn duration(duration: Duration) -> String {
    Period(duration).to_string()
}

pub(crate) fn duration_or_off(duration: Option<Duration>) -> String {
    duration.map_or_else(|| "off".to_owned(), self::duration)
}

/// Any text in quotes, so that it reads back as it is: escaped for TOML, and without references to the environment.
pub(crate) fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' => quoted.push_str("\\\""),
            '\\' => quoted.push_str("\\\\"),
            '$' => quoted.push_str("$$"),
            c if c.is_control() => {
                write!(quoted, "\\u{:04X}", u32::from(c)).expect("a String takes everything")
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// Words as a sentence lists them: `a, b and c`.
pub(crate) fn enumeration<'w>(words: impl Iterator<Item = &'w str>) -> String {
    let words: Vec<_> = words.collect();
    match words.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, rest)) => format!("{} and {last}", rest.join(", ")),
        None => String::new(),
    }
}

/// A path in quotes. What is not UTF-8 in it is lost: paths come from configurations, which are.
pub(crate) fn path(path: &Path) -> String {
    quoted(&path.to_string_lossy())
}

/// The name that is looked up, with its port where it has one.
pub(crate) fn query(query: &DiscoveryQuery) -> String {
    match query {
        DiscoveryQuery::Addresses { name, port: Some(port) } => format!("{name}:{port}"),
        DiscoveryQuery::Addresses { name, port: None } | DiscoveryQuery::Services { name } => {
            name.to_string()
        }
    }
}

pub(crate) fn algorithm(algorithm: Algorithm) -> &'static str {
    match algorithm {
        Algorithm::Hash => "hash",
        Algorithm::RoundRobin => "round_robin",
        Algorithm::IpHash => "ip_hash",
        Algorithm::LeastConnections => "least_connections",
        Algorithm::LeastResponseTime => "least_response_time",
        Algorithm::Random => "random",
    }
}

pub(crate) fn zones(zones: Zones) -> &'static str {
    match zones {
        Zones::Ignore => "ignore",
        Zones::PreferLocal => "prefer_local",
    }
}

pub(crate) fn ip_families(families: IpFamilies) -> &'static str {
    match families {
        IpFamilies::Both => "both",
        IpFamilies::Ipv4 => "ipv4",
        IpFamilies::Ipv6 => "ipv6",
    }
}

pub(crate) fn access_log_format(format: AccessLogFormat) -> &'static str {
    match format {
        AccessLogFormat::Json => "json",
        AccessLogFormat::Combined => "combined",
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
