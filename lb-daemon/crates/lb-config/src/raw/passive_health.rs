//! `[pools.NAME.passive_health]`

use std::num::NonZeroU32;

use lb_model::Percent;
use schemars::JsonSchema;
use serde::Deserialize;

use super::{Located, Text, Whole};
use crate::duration::Period;
use crate::{default, text};

/// When a backend that refuses connections or does not answer is left alone, and for how long.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
#[schemars(
    rename = "passive_health",
    extend("x-example" = "[pools.web.passive_health]\nfailures = 3\nbackoff = \"500ms\"\nmax_backoff = \"10s\"\nmax_ejected = \"50%\"\n")
)]
pub(crate) struct RawPassiveHealth {
    /// How many attempts to connect must fail in a row before the backend gets no new connections. Raise it where single
    /// attempts fail now and then.
    #[schemars(extend("default" = default::PASSIVE_HEALTH.failures))]
    pub(crate) failures: Option<Located<Whole<NonZeroU32, { u32::MAX as u64 }>>>,
    /// How long it is left alone then. Each further failure doubles the time.
    #[schemars(extend("default" = text::duration(default::PASSIVE_HEALTH.backoff)))]
    pub(crate) backoff: Option<Located<Text<Period>>>,
    /// The longest time that it is left alone; not shorter than `backoff`. Lower it to find out sooner that a backend is
    /// back.
    #[schemars(extend("default" = text::duration(default::PASSIVE_HEALTH.max_backoff)))]
    pub(crate) max_backoff: Option<Located<Text<Period>>>,
    /// At most this share of the pool's backends is left alone at once (but always one may be, unless it is `"0%"`):
    /// trouble that all of them have is rarely theirs.
    #[schemars(extend("default" = default::PASSIVE_HEALTH.max_ejected.to_string()))]
    pub(crate) max_ejected: Option<Located<Text<Percent>>>,
}
