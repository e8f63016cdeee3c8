//! The text of a configuration file, put together by a test.

use std::fmt;

use crate::Backend;

/// A configuration with four workers and a JSON log. Every listener is served by the pool of the same name.
#[derive(Debug, Clone, Default)]
pub struct Config {
    global: String,
    tables: String,
}

impl Config {
    /// Without listeners and pools.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds lines to `[global]`.
    pub fn global(mut self, lines: &str) -> Self {
        self.global += &format!("{lines}\n");
        self
    }

    /// Adds a listener that binds `bind` (an address, or what else a bind may be), with further `lines`.
    pub fn listener(self, name: &str, bind: impl fmt::Display, lines: &str) -> Self {
        self.listener_of("tcp", name, bind, lines)
    }

    /// The same, of datagrams.
    pub fn udp_listener(self, name: &str, bind: impl fmt::Display, lines: &str) -> Self {
        self.listener_of("udp", name, bind, lines)
    }

    /// The same, of HTTP.
    pub fn http_listener(self, name: &str, bind: impl fmt::Display, lines: &str) -> Self {
        self.listener_of("http", name, bind, lines)
    }

    fn listener_of(mut self, protocol: &str, name: &str, bind: impl fmt::Display, lines: &str) -> Self {
        self.tables += &format!(
            "[listeners.{name}]\nbind = [\"{bind}\"]\nprotocol = \"{protocol}\"\npool = \"{name}\"\n{lines}\n\n"
        );
        self
    }

    /// Adds a table as it is written, heading included.
    pub fn table(mut self, text: &str) -> Self {
        self.tables += &format!("{text}\n\n");
        self
    }

    /// Adds a pool of `backends` with further `lines`.
    pub fn pool<'a>(self, name: &str, backends: impl IntoIterator<Item = &'a Backend>, lines: &str) -> Self {
        let entries: Vec<_> = backends.into_iter().map(|backend| backend.entry("")).collect();
        self.pool_of(name, &entries, lines)
    }

    /// Adds a pool whose backends are written as in `entries`.
    pub fn pool_of(mut self, name: &str, entries: &[String], lines: &str) -> Self {
        self.tables += &format!("[pools.{name}]\nbackends = [{}]\n{lines}\n\n", entries.join(", "));
        self
    }
}

impl fmt::Display for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "version = 1\n[global]\nworkers = 4\n{}\n[log]\nformat = \"json\"\n\n", self.global)?;
        f.write_str(&self.tables)
    }
}
