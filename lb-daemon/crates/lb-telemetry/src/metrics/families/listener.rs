//! What listeners tell.

use lb_model::{DropReason, Protocol, Termination};

use crate::metrics::ListenerSheet;
use crate::metrics::families::{Family, Kind};
use crate::metrics::report::{ListenerReport, Report};
use crate::metrics::sheets::{LIFETIME, WAIT};

pub(super) static FAMILIES: [Family; 11] = [
    Family {
        name: "sluice_listener_connections_total",
        kind: Kind::Counter,
        help: "Client connections accepted, or flows of datagrams begun.",
        labels: &["listener"],
        samples: |report, out| {
            for listener in &report.listeners {
                out.put(&[listener.name], listener.sheets.total(|sheet| &sheet.connections));
            }
        },
    },
    Family {
        name: "sluice_listener_ended_total",
        kind: Kind::Counter,
        help: "Client connections that ended, by the reason of the access record.",
        labels: &["listener", "reason"],
        samples: |report, out| {
            for listener in &report.listeners {
                for reason in Termination::ALL {
                    let ended = listener.sheets.total(|sheet| sheet.ended(reason));
                    out.put(&[listener.name, reason.label()], ended);
                }
            }
        },
    },
    Family {
        name: "sluice_listener_active_connections",
        kind: Kind::Gauge,
        help: "Client connections that are open.",
        labels: &["listener"],
        samples: |report, out| {
            for listener in &report.listeners {
                out.put(&[listener.name], listener.sheets.iter().map(ListenerSheet::active).sum::<u64>());
            }
        },
    },
    Family {
        name: "sluice_listener_connection_limit",
        kind: Kind::Gauge,
        help: "Most client connections at once (max_connections); absent where there is no limit.",
        labels: &["listener"],
        samples: |report, out| {
            for listener in &report.listeners {
                if let Some(limit) = listener.connection_limit {
                    out.put(&[listener.name], limit);
                }
            }
        },
    },
    Family {
        name: "sluice_listener_in_bytes_total",
        kind: Kind::Counter,
        help: "Bytes from clients to backends.",
        labels: &["listener"],
        samples: |report, out| {
            for listener in &report.listeners {
                out.put(&[listener.name], listener.sheets.total(|sheet| &sheet.bytes_in));
            }
        },
    },
    Family {
        name: "sluice_listener_out_bytes_total",
        kind: Kind::Counter,
        help: "Bytes from backends to clients.",
        labels: &["listener"],
        samples: |report, out| {
            for listener in &report.listeners {
                out.put(&[listener.name], listener.sheets.total(|sheet| &sheet.bytes_out));
            }
        },
    },
    Family {
        name: "sluice_listener_in_datagrams_total",
        kind: Kind::Counter,
        help: "Datagrams from clients that were sent to backends; of UDP listeners.",
        labels: &["listener"],
        samples: |report, out| {
            for listener in of_datagrams(report) {
                out.put(&[listener.name], listener.sheets.total(|sheet| &sheet.datagrams_in));
            }
        },
    },
    Family {
        name: "sluice_listener_out_datagrams_total",
        kind: Kind::Counter,
        help: "Datagrams from backends that were sent to clients; of UDP listeners.",
        labels: &["listener"],
        samples: |report, out| {
            for listener in of_datagrams(report) {
                out.put(&[listener.name], listener.sheets.total(|sheet| &sheet.datagrams_out));
            }
        },
    },
    Family {
        name: "sluice_listener_dropped_datagrams_total",
        kind: Kind::Counter,
        help: "Datagrams that were dropped, by reason; of UDP listeners.",
        labels: &["listener", "reason"],
        samples: |report, out| {
            for listener in of_datagrams(report) {
                for reason in DropReason::ALL {
                    let dropped = listener.sheets.total(|sheet| sheet.dropped(reason));
                    out.put(&[listener.name, reason.label()], dropped);
                }
            }
        },
    },
    Family {
        name: "sluice_listener_connection_duration_seconds",
        kind: Kind::Histogram(&LIFETIME),
        help: "How long client connections lived, counted when they end.",
        labels: &["listener"],
        samples: |report, out| {
            for listener in &report.listeners {
                out.put_histogram(&[listener.name], listener.sheets, |sheet| &sheet.duration);
            }
        },
    },
    Family {
        name: "sluice_listener_queue_wait_seconds",
        kind: Kind::Histogram(&WAIT),
        help: "How long connections waited for a backend, of those that had to.",
        labels: &["listener"],
        samples: |report, out| {
            for listener in &report.listeners {
                out.put_histogram(&[listener.name], listener.sheets, |sheet| &sheet.queued);
            }
        },
    },
];

fn of_datagrams<'r>(report: &'r Report<'_>) -> impl Iterator<Item = &'r ListenerReport<'r>> {
    report.listeners.iter().filter(|listener| listener.protocol == Protocol::Udp)
}
