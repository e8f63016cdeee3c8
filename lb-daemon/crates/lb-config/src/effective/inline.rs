//! Inline tables.

use std::fmt;

/// A table in one line.
#[derive(Debug, Default)]
pub(super) struct Inline {
    entries: Vec<String>,
}

impl Inline {
    /// Adds a key with a value that is TOML already.
    pub(super) fn set(&mut self, key: &str, value: impl fmt::Display) {
        self.entries.push(format!("{key} = {value}"));
    }
}

impl fmt::Display for Inline {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.entries.is_empty() {
            return f.write_str("{}");
        }
        write!(f, "{{ {} }}", self.entries.join(", "))
    }
}
