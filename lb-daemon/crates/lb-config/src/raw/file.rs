//! The top of a file.

use schemars::JsonSchema;
use serde::Deserialize;

use super::value::UnderName;
use super::{Located, Named, RawAdmin, RawGlobal, RawListener, RawLog, RawPool, Whole};

/// The top of a configuration file.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(
    rename = "Sluice configuration",
    extend("x-example" = "version = 1\ninclude = [\"conf.d/*.toml\"]\n")
)]
pub(crate) struct RawFile {
    /// Version of the file format: always 1. Files that are included may leave it out.
    #[schemars(extend("const" = 1, "x-unset" = "required in the main file"))]
    pub(crate) version: Option<Located<Whole<u32, { u32::MAX as u64 }>>>,
    /// Further files to read, as paths relative to this file; `*`, `?`, `[abc]` and `**` match as in a shell. Each file is
    /// read once. What is defined in two files is an error. Included files have the same tables, but cannot include
    /// others.
    #[schemars(extend("default" = []))]
    pub(crate) include: Option<Vec<Located<String>>>,
    /// Settings of the process.
    pub(crate) global: Option<RawGlobal>,
    /// What is logged, and how.
    pub(crate) log: Option<RawLog>,
    /// Where commands such as `sluice status`, and programs that fetch metrics, reach this instance.
    pub(crate) admin: Option<RawAdmin>,
    /// What clients connect to, by name.
    #[schemars(extend("x-unset" = "at least one in all files"))]
    pub(crate) listeners: Option<Named<RawListener>>,
    /// Groups of backends that serve the same thing, by name.
    #[schemars(extend("x-unset" = "at least one in all files"))]
    pub(crate) pools: Option<Named<RawPool>>,
}

impl UnderName for RawListener {
    const EXPECTED: &'static str = "a table for each name";
}

impl UnderName for RawPool {
    const EXPECTED: &'static str = "a table for each name";
}

impl RawFile {
    /// The listeners with the places of their names.
    pub(crate) fn listeners(&self) -> impl Iterator<Item = &(Located<String>, Located<RawListener>)> {
        self.listeners.iter().flat_map(|named| &named.0)
    }

    /// The pools with the places of their names.
    pub(crate) fn pools(&self) -> impl Iterator<Item = &(Located<String>, Located<RawPool>)> {
        self.pools.iter().flat_map(|named| &named.0)
    }
}
