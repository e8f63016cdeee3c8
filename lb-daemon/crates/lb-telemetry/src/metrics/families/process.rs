//! What the process tells, under the names that Prometheus clients have agreed on where there are such.

use crate::metrics::exposition::{Samples, Value};
use crate::metrics::families::{Family, Kind};

pub(super) static FAMILIES: [Family; 10] = [
    Family {
        name: "sluice_build_info",
        kind: Kind::Gauge,
        help: "Always 1; the label says which Sluice this is.",
        labels: &["version"],
        samples: |report, out| out.put(&[report.version], true),
    },
    Family {
        name: "sluice_log_dropped_lines_total",
        kind: Kind::Counter,
        help: "Log lines that were dropped because standard error did not keep up.",
        labels: &[],
        samples: |report, out| out.put(&[], report.log_lines_dropped),
    },
    Family {
        name: "sluice_access_log_lost_lines_total",
        kind: Kind::Counter,
        help: "Lines of access logs that were lost because their destination did not keep up, or failed.",
        labels: &[],
        samples: |report, out| out.put(&[], report.access_log_lines_lost),
    },
    Family {
        name: "process_start_time_seconds",
        kind: Kind::Gauge,
        help: "When the process started, in seconds since 1970.",
        labels: &[],
        samples: |report, out| out.put(&[], report.started),
    },
    Family {
        name: "process_cpu_seconds_total",
        kind: Kind::Counter,
        help: "Time on a CPU, user and system.",
        labels: &[],
        samples: |report, out| known(out, report.process.cpu),
    },
    Family {
        name: "process_open_fds",
        kind: Kind::Gauge,
        help: "Open file descriptors.",
        labels: &[],
        samples: |report, out| known(out, report.process.open_fds),
    },
    Family {
        name: "process_max_fds",
        kind: Kind::Gauge,
        help: "Most open file descriptors.",
        labels: &[],
        samples: |report, out| known(out, report.process.max_fds),
    },
    Family {
        name: "process_resident_memory_bytes",
        kind: Kind::Gauge,
        help: "Bytes in memory.",
        labels: &[],
        samples: |report, out| known(out, report.process.resident_bytes),
    },
    Family {
        name: "process_virtual_memory_bytes",
        kind: Kind::Gauge,
        help: "Bytes of address space.",
        labels: &[],
        samples: |report, out| known(out, report.process.virtual_bytes),
    },
    Family {
        name: "process_threads",
        kind: Kind::Gauge,
        help: "Threads.",
        labels: &[],
        samples: |report, out| known(out, report.process.threads),
    },
];

/// A sample, if the kernel told the value.
fn known(out: &mut Samples<'_>, value: Option<impl Into<Value>>) {
    if let Some(value) = value {
        out.put(&[], value);
    }
}
