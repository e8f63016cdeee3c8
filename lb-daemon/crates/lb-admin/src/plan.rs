//! What a reload would change, and what it has changed.
//!
//! The comments are the OpenAPI document's descriptions.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The difference between the configuration in force and the files.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// Whether there is a difference.
    pub changed: bool,
    /// The listeners that differ.
    pub listeners: Vec<Change>,
    /// The pools that differ.
    pub pools: Vec<PoolChange>,
    /// The settings of the process that differ, one sentence each.
    pub global: Vec<String>,
    /// What takes effect at the next restart only, one sentence each.
    pub needs_restart: Vec<String>,
}

/// How something differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// The name of the listener or backend.
    pub name: String,
    /// Whether it is new, gone or different.
    pub kind: ChangeKind,
    /// What is different, a sentence each, for example `weight 1 -> 2`.
    pub details: Vec<String>,
}

/// How a pool differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct PoolChange {
    /// The name of the pool.
    pub name: String,
    /// Whether it is new, gone or different.
    pub kind: ChangeKind,
    /// What is different about the pool itself, a sentence each.
    pub details: Vec<String>,
    /// The backends that differ.
    pub backends: Vec<Change>,
    /// The share of clients, from 0 to 1, that go to another backend than before; absent where a client has no backend of
    /// its own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_share: Option<f64>,
}

/// The way in which something differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ChangeKind {
    /// It is in the files only.
    Added,
    /// It is in force only.
    Removed,
    /// It is in both, but not the same.
    Changed,
}

/// A reload that has been done.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reloaded {
    /// The generation in force now.
    pub generation: u64,
    /// Whether anything was different.
    pub changed: bool,
    /// What was.
    pub plan: Plan,
}
