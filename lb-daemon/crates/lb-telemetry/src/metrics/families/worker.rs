//! What workers tell: whether the kernel spreads connections evenly over them, and whether they keep up.

use crate::metrics::families::{Family, Kind};
use crate::metrics::sheets::LAG;

pub(super) static FAMILIES: [Family; 4] = [
    Family {
        name: "sluice_worker_connections_total",
        kind: Kind::Counter,
        help: "Client connections that the worker accepted.",
        labels: &["worker"],
        samples: |report, out| {
            for (worker, sheet) in report.workers.iter().enumerate() {
                out.put(&[&worker.to_string()], sheet.connections.get());
            }
        },
    },
    Family {
        name: "sluice_worker_loop_lag_seconds",
        kind: Kind::Histogram(&LAG),
        help: "How late the worker's timers fire, which is what its connections wait while it is busy with others.",
        labels: &["worker"],
        samples: |report, out| {
            for (worker, sheet) in report.workers.iter().enumerate() {
                out.put_distribution(&[&worker.to_string()], &sheet.loop_lag.read());
            }
        },
    },
    Family {
        name: "sluice_worker_pipes",
        kind: Kind::Gauge,
        help: "Pipes in use for splicing.",
        labels: &["worker"],
        samples: |report, out| {
            for (worker, sheet) in report.workers.iter().enumerate() {
                out.put(&[&worker.to_string()], sheet.pipes.get());
            }
        },
    },
    Family {
        name: "sluice_worker_pipes_refused_total",
        kind: Kind::Counter,
        help: "Times that bytes were copied because there was no pipe to splice them through.",
        labels: &["worker"],
        samples: |report, out| {
            for (worker, sheet) in report.workers.iter().enumerate() {
                out.put(&[&worker.to_string()], sheet.pipes_refused.get());
            }
        },
    },
];
