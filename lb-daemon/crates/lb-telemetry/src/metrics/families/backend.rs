//! What backends tell.

use lb_model::{Health, Standing, Termination};

use crate::metrics::exposition::{Samples, Value};
use crate::metrics::families::{Family, Kind};
use crate::metrics::sheets::{LATENCY, STATUS_CLASSES};
use crate::metrics::{BackendReport, BackendSheet, Counter, Report};

/// What each family has at least.
const LABELS: &[&str] = &["pool", "backend"];

pub(super) static FAMILIES: [Family; 14] = [
    Family {
        name: "sluice_backend_up",
        kind: Kind::Gauge,
        help: "1 if the backend is fit for connections, 0 if its health checks fail or it backs off. Draining it or \
               giving it weight 0 does not change this.",
        labels: LABELS,
        samples: |report, out| each(report, out, |backend| Some(backend.is_up().into())),
    },
    Family {
        name: "sluice_backend_state",
        kind: Kind::Gauge,
        help: "1 for the state that the backend is in, 0 for the others.",
        labels: &["pool", "backend", "state"],
        samples: |report, out| {
            for (pool, backend) in backends(report) {
                for state in Standing::ALL {
                    out.put(&[pool, backend.name, state.label()], backend.state == state);
                }
            }
        },
    },
    Family {
        name: "sluice_backend_check_success",
        kind: Kind::Gauge,
        help: "1 if health checks say that the backend is healthy, 0 if not; absent where there are none, or none \
               has ended.",
        labels: LABELS,
        samples: |report, out| {
            each(report, out, |backend| match backend.health {
                None | Some(Health::Unknown) => None,
                Some(Health::Healthy) => Some(true.into()),
                Some(Health::Unhealthy) => Some(false.into()),
            });
        },
    },
    Family {
        name: "sluice_backend_check_duration_seconds",
        kind: Kind::Gauge,
        help: "How long the last health check took.",
        labels: LABELS,
        samples: |report, out| each(report, out, |backend| backend.check_duration.map(Value::from)),
    },
    Family {
        name: "sluice_backend_weight",
        kind: Kind::Gauge,
        help: "The weight in force, as configured or overridden.",
        labels: LABELS,
        samples: |report, out| each(report, out, |backend| Some(backend.weight.into())),
    },
    Family {
        name: "sluice_backend_active_connections",
        kind: Kind::Gauge,
        help: "Connections to the backend, those being made included.",
        labels: LABELS,
        samples: |report, out| each(report, out, |backend| Some(backend.active.into())),
    },
    Family {
        name: "sluice_backend_connection_limit",
        kind: Kind::Gauge,
        help: "Most connections at once (max_connections); absent where there is no limit.",
        labels: LABELS,
        samples: |report, out| each(report, out, |backend| backend.connection_limit.map(Value::from)),
    },
    Family {
        name: "sluice_backend_connections_total",
        kind: Kind::Counter,
        help: "Connections established.",
        labels: LABELS,
        samples: |report, out| count(report, out, |sheet| &sheet.connections),
    },
    Family {
        name: "sluice_backend_connect_failures_total",
        kind: Kind::Counter,
        help: "Connects that failed: connect_failed if refused, reset or unreachable, connect_timeout if unanswered. A \
               client connection may try several backends.",
        labels: &["pool", "backend", "reason"],
        samples: |report, out| {
            for (pool, backend) in backends(report) {
                let mut put = |reason: Termination, failures| {
                    out.put(&[pool, backend.name, reason.label()], failures);
                };
                put(Termination::ConnectFailed, backend.sheets.total(|sheet| &sheet.connect_failures));
                put(Termination::ConnectTimeout, backend.sheets.total(|sheet| &sheet.connect_timeouts));
            }
        },
    },
    Family {
        name: "sluice_backend_in_bytes_total",
        kind: Kind::Counter,
        help: "Bytes from clients to the backend.",
        labels: LABELS,
        samples: |report, out| count(report, out, |sheet| &sheet.bytes_in),
    },
    Family {
        name: "sluice_backend_out_bytes_total",
        kind: Kind::Counter,
        help: "Bytes from the backend to clients.",
        labels: LABELS,
        samples: |report, out| count(report, out, |sheet| &sheet.bytes_out),
    },
    Family {
        name: "sluice_backend_connect_seconds",
        kind: Kind::Histogram(&LATENCY),
        help: "How long connects took that succeeded.",
        labels: LABELS,
        samples: |report, out| {
            for (pool, backend) in backends(report) {
                out.put_histogram(&[pool, backend.name], backend.sheets, |sheet| &sheet.connect);
            }
        },
    },
    Family {
        name: "sluice_backend_first_byte_seconds",
        kind: Kind::Histogram(&LATENCY),
        help: "From the connection being established, or the request being sent, to the backend's first byte.",
        labels: LABELS,
        samples: |report, out| {
            for (pool, backend) in backends(report) {
                out.put_histogram(&[pool, backend.name], backend.sheets, |sheet| &sheet.first_byte);
            }
        },
    },
    Family {
        name: "sluice_backend_responses_total",
        kind: Kind::Counter,
        help: "HTTP responses of the backend, by class of their status.",
        labels: &["pool", "backend", "class"],
        samples: |report, out| {
            for (pool, backend) in backends(report) {
                for (status, class) in STATUS_CLASSES {
                    let responses = backend.sheets.total(|sheet| sheet.responses(status));
                    out.put(&[pool, backend.name, class], responses);
                }
            }
        },
    },
];

/// Every backend, with its pool's name.
fn backends<'r>(report: &'r Report<'_>) -> impl Iterator<Item = (&'r str, &'r BackendReport<'r>)> {
    report.pools.iter().flat_map(|pool| pool.backends.iter().map(|backend| (pool.name, backend)))
}

/// A sample of every backend that has a value.
fn each(report: &Report<'_>, out: &mut Samples<'_>, value: impl Fn(&BackendReport<'_>) -> Option<Value>) {
    for (pool, backend) in backends(report) {
        if let Some(value) = value(backend) {
            out.put(&[pool, backend.name], value);
        }
    }
}

/// A sample of every backend: the sum of a counter.
fn count(report: &Report<'_>, out: &mut Samples<'_>, counter: impl Fn(&BackendSheet) -> &Counter) {
    each(report, out, |backend| Some(backend.sheets.total(&counter).into()));
}
