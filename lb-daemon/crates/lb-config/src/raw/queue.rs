//! `[pools.NAME.queue]`

use schemars::JsonSchema;
use serde::Deserialize;

use super::{Located, Text, Whole};
use crate::duration::Period;
use crate::{default, text};

/// Where connections wait while every backend is at its `max_connections`. Of no effect in a pool where a backend has no
/// such limit.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
#[schemars(rename = "queue", extend("x-example" = "[pools.web.queue]\nlimit = 100\ntimeout = \"2s\"\n"))]
pub(crate) struct RawQueue {
    /// Most connections that wait at once, over all workers; further ones are refused. 0 lets none wait.
    #[schemars(extend("default" = default::QUEUE.limit))]
    pub(crate) limit: Option<Located<Whole<u32, { u32::MAX as u64 }>>>,
    /// How long a connection waits before it is refused.
    #[schemars(extend("default" = text::duration(default::QUEUE.timeout)))]
    pub(crate) timeout: Option<Located<Text<Period>>>,
}
