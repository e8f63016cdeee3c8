//! What operators see of the process: its log lines and its metrics.
//!
//! [`install`] sends everything that other crates say through `tracing` to standard error. [`metrics`] has the
//! counters that data paths write, and the Prometheus text that is made of them at a scrape.
#![forbid(unsafe_code)]

mod logging;
pub mod metrics;

pub use logging::{InstallError, Logging, install};
