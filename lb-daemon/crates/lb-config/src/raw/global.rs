//! `[global]`

use std::num::{NonZeroU16, NonZeroU32};

use lb_model::{Watch, ZoneName};
use schemars::JsonSchema;
use serde::Deserialize;

use super::{AutoOr, Located, Text, Whole};
use crate::duration::Period;
use crate::endpoint::NameServer;
use crate::file_path::FilePath;
use crate::{default, text};

/// Settings of the process.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, expecting = "a table")]
#[schemars(
    rename = "global",
    extend("x-example" = "[global]\nworkers = 4\nmax_connections = 200000\ndrain_timeout = \"1m\"\nzone = \"a\"\nwatch = true\n")
)]
pub(crate) struct RawGlobal {
    /// Worker threads. `"auto"` is one for each core that the process may use: CPU affinity and the cgroup's `cpu.max`
    /// count. Set it to leave cores to other programs.
    #[schemars(extend("default" = "auto"))]
    pub(crate) workers: Option<Located<AutoOr<Whole<NonZeroU16, 1024>>>>,
    /// Most client connections at once, over all listeners and workers. Further clients wait in the kernel's accept
    /// queue. `"auto"` is as many as the limit of open files (`RLIMIT_NOFILE`) allows.
    #[schemars(extend("default" = "auto"))]
    pub(crate) max_connections: Option<Located<AutoOr<Whole<NonZeroU32, { u32::MAX as u64 }>>>>,
    /// How long connections may take to end by themselves after SIGTERM; then they are cut. `"0s"` cuts them at once.
    /// Choose it shorter than the stop timeout of the service manager.
    #[schemars(extend("default" = text::duration(default::GLOBAL.drain_timeout)))]
    pub(crate) drain_timeout: Option<Located<Text<Period>>>,
    /// Seed of `balance = "hash"`. Instances with the same seed and the same backends choose the same backend for a
    /// connection, so give all instances behind one ECMP route the same one.
    #[schemars(extend("default" = default::GLOBAL.hash_seed))]
    pub(crate) hash_seed: Option<Located<Whole<u32, { u32::MAX as u64 }>>>,
    /// The zone (rack, data centre) that this instance is in: for pools with `zones = "prefer_local"`.
    #[schemars(extend("x-unset" = "none"))]
    pub(crate) zone: Option<Located<Text<ZoneName>>>,
    /// The directory for what has to survive a restart: drains and weights that were set with `sluice drain` and its like. A
    /// relative path is relative to this file.
    #[schemars(extend("x-unset" = "the service manager's `$STATE_DIRECTORY`, else overrides do not survive a restart"))]
    pub(crate) state_dir: Option<Located<Text<FilePath>>>,
    /// Whether the configuration is reloaded as soon as one of its files changes, not only by `sluice reload` or SIGHUP.
    #[schemars(extend("default" = matches!(default::GLOBAL.watch, Watch::On)))]
    pub(crate) watch: Option<Located<bool>>,
    /// The DNS servers that are asked for backends that are DNS names: IP addresses, with a port unless that is 53.
    #[schemars(extend("x-unset" = "those of `/etc/resolv.conf`"))]
    pub(crate) nameservers: Option<Vec<Located<Text<NameServer>>>>,
}
