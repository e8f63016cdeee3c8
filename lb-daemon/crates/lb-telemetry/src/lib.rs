//! What operators see of the process: its log lines and its metrics.
//!
//! [`install`] sends everything that other crates say through `tracing` to standard error. [`metrics`] has the
//! counters that data paths write, and the Prometheus text that is made of them at a scrape. [`access_log`] writes a line
//! for each HTTP request, off the workers.
#![forbid(unsafe_code)]

pub mod access_log;
mod logging;
pub mod metrics;

pub use logging::{InstallError, Logging, install};
