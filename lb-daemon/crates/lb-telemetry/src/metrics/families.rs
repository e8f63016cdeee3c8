//! The table of all metrics: each family's name, type, explanation and labels, and where its samples come from.

mod backend;
mod configuration;
mod http;
mod listener;
mod pool;
mod process;
mod worker;
mod xdp;

use std::fmt;

use crate::metrics::Report;
use crate::metrics::exposition::Samples;

/// A metric and its samples.
pub(crate) struct Family {
    /// Its name.
    pub(crate) name: &'static str,
    /// Its type.
    pub(crate) kind: Kind,
    /// What it says, in one line without a backslash.
    pub(crate) help: &'static str,
    /// The names of its labels.
    pub(crate) labels: &'static [&'static str],
    /// Writes what there is of it in a report.
    pub(crate) samples: fn(&Report<'_>, &mut Samples<'_>),
}

/// The type of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// It only grows, until the process restarts.
    Counter,
    /// It rises and falls.
    Gauge,
    /// A distribution, with the bounds of its buckets in microseconds.
    Histogram(&'static [u64]),
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram(_) => "histogram",
        })
    }
}

/// Families that belong together.
pub(crate) struct Section {
    /// What they are about.
    pub(crate) title: &'static str,
    /// The families.
    pub(crate) families: &'static [Family],
}

/// The whole table, in the order of the reference page.
pub(crate) static SECTIONS: [Section; 8] = [
    Section { title: "Listeners", families: &listener::FAMILIES },
    Section { title: "HTTP listeners", families: &http::FAMILIES },
    Section { title: "Pools", families: &pool::FAMILIES },
    Section { title: "Backends", families: &backend::FAMILIES },
    Section { title: "XDP data path", families: &xdp::FAMILIES },
    Section { title: "Workers", families: &worker::FAMILIES },
    Section { title: "Configuration", families: &configuration::FAMILIES },
    Section { title: "Process", families: &process::FAMILIES },
];

/// Every family.
pub(crate) fn all() -> impl Iterator<Item = &'static Family> {
    SECTIONS.iter().flat_map(|section| section.families)
}
