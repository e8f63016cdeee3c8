//! `[log]`

use lb_model::{LogFormat, LogLevel};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Located, Word};
use crate::{default, text};

/// What is logged, and how. Logs go to standard error.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
#[schemars(rename = "log", extend("x-example" = "[log]\nlevel = \"warn\"\nformat = \"json\"\naccess = false\n"))]
pub(crate) struct RawLog {
    /// Least severe level that is written. `debug` and `trace` show addresses of clients and slow Sluice down: for the
    /// search of an error only.
    #[schemars(extend("default" = text::log_level(default::LOG.level)))]
    pub(crate) level: Option<Located<Word<RawLogLevel>>>,
    /// `human` for a terminal or the journal, `json` (one object a line) for a log collector.
    #[schemars(extend("default" = text::log_format(default::LOG.format)))]
    pub(crate) format: Option<Located<Word<RawLogFormat>>>,
    /// Whether each connection leaves a record when it ends: client, listener, backend, bytes, durations and the reason
    /// why it ended. Switch it off where connections are many and short and nobody reads it. Requests of `http` leave theirs
    /// where their listener's `access_log` says; this is the default of that.
    #[schemars(extend("default" = default::LOG.access))]
    pub(crate) access: Option<Located<bool>>,
}

/// Severity of a log line.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum RawLogLevel {
    Error,
    Warn,
    Info,
    Debug,
    Trace,
}

impl From<RawLogLevel> for LogLevel {
    fn from(raw: RawLogLevel) -> Self {
        match raw {
            RawLogLevel::Error => Self::Error,
            RawLogLevel::Warn => Self::Warn,
            RawLogLevel::Info => Self::Info,
            RawLogLevel::Debug => Self::Debug,
            RawLogLevel::Trace => Self::Trace,
        }
    }
}

/// Shape of log lines.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum RawLogFormat {
    Human,
    Json,
}

impl From<RawLogFormat> for LogFormat {
    fn from(raw: RawLogFormat) -> Self {
        match raw {
            RawLogFormat::Human => Self::Human,
            RawLogFormat::Json => Self::Json,
        }
    }
}
