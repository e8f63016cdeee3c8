//! `[listeners.NAME.access_log]`

use lb_model::AccessLogFormat;
use schemars::JsonSchema;
use serde::Deserialize;

use super::short_or::LongForm;
use super::{Located, Text, Word};
use crate::file_path::FilePath;
use crate::{default, text};

/// Where each request leaves a line when it has ended.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table such as { format = \"combined\" }")]
#[schemars(
    rename = "access_log",
    extend("x-example" = "[listeners.site.access_log]\nformat = \"combined\"\npath = \"/var/log/sluice/access.log\"\n")
)]
pub(crate) struct RawAccessLog {
    /// `json`: an object a line with all that is known, phases and reason included. `combined`: the format of that name of
    /// Apache and nginx.
    #[schemars(extend("default" = text::access_log_format(default::ACCESS_LOG.format)))]
    pub(crate) format: Option<Located<Word<RawAccessLogFormat>>>,
    /// A file, to the end of which lines are written, or `stdout` or `stderr`. Listeners can share one.
    #[schemars(extend("default" = "stdout"))]
    pub(crate) path: Option<Located<Text<FilePath>>>,
}

impl LongForm for RawAccessLog {
    type Short = Word<RawAccessLogWord>;

    const EXPECTED: &'static str = "\"off\", \"json\", \"combined\" or a table such as \
        { format = \"combined\", path = \"/var/log/sluice/access.log\" }";
}

/// Which log, where nothing more is to be said.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum RawAccessLogWord {
    Off,
    Json,
    Combined,
}

/// Shape of access log lines.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
#[schemars(inline)]
pub(crate) enum RawAccessLogFormat {
    Json,
    Combined,
}

impl From<RawAccessLogFormat> for AccessLogFormat {
    fn from(raw: RawAccessLogFormat) -> Self {
        match raw {
            RawAccessLogFormat::Json => Self::Json,
            RawAccessLogFormat::Combined => Self::Combined,
        }
    }
}
