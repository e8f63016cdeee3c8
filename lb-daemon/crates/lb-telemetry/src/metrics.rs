//! Metrics: what data paths count, and the Prometheus text that is made of it at a scrape.
//!
//! Hot counters hang in *sheets* off the objects they describe, one sheet per worker ([`PerWorker`]), so that counting
//! is a plain add to memory that nobody else writes. At a scrape the composition root fills a [`Report`] with borrowed
//! sheets and what else is known, and [`render`] sums and writes it. There is no registry: a backend that is gone from
//! the report is gone from the metrics. Names, types and explanations are in one table (`families/`), which the
//! reference page is made from.

mod counter;
mod exposition;
mod families;
mod histogram;
mod per_worker;
mod process;
mod reference;
mod report;
mod request_end;
mod sheets;

pub use counter::{Counter, Gauge};
pub use exposition::{CONTENT_TYPE, render};
pub use histogram::Histogram;
pub use per_worker::PerWorker;
pub use process::Process;
pub use reference::reference_markdown;
pub use report::{
    BackendReport, Configuration, DiscoveryReport, FlowStates, FlowTableReport, ListenerReport, PoolReport,
    ReloadResult, Report, XdpBackendReport, XdpCounts, XdpListenerReport, XdpReport,
};
pub use request_end::RequestEnd;
pub use sheets::{BackendSheet, HttpSheet, ListenerSheet, WorkerSheet};

#[cfg(test)]
mod tests;
