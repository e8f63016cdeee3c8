//! What HTTP listeners tell of requests.

use lb_model::Protocol;

use crate::metrics::RequestEnd;
use crate::metrics::families::{Family, Kind};
use crate::metrics::report::{ListenerReport, Report};
use crate::metrics::sheets::{REQUEST, STATUS_CLASSES};

pub(super) static FAMILIES: [Family; 5] = [
    Family {
        name: "sluice_listener_requests_total",
        kind: Kind::Counter,
        help: "HTTP requests, those that were refused included.",
        labels: &["listener"],
        samples: |report, out| {
            for listener in of_http(report) {
                out.put(&[listener.name], listener.sheets.total(|sheet| &sheet.http.requests));
            }
        },
    },
    Family {
        name: "sluice_listener_responses_total",
        kind: Kind::Counter,
        help: "HTTP responses that clients got, by class of their status.",
        labels: &["listener", "class"],
        samples: |report, out| {
            for listener in of_http(report) {
                for (status, class) in STATUS_CLASSES {
                    let responses = listener.sheets.total(|sheet| sheet.http.responses(status));
                    out.put(&[listener.name, class], responses);
                }
            }
        },
    },
    Family {
        name: "sluice_listener_requests_ended_total",
        kind: Kind::Counter,
        help: "HTTP requests that ended, by the reason of the access record.",
        labels: &["listener", "reason"],
        samples: |report, out| {
            for listener in of_http(report) {
                for end in RequestEnd::ALL {
                    let ended = listener.sheets.total(|sheet| sheet.http.ended(end));
                    out.put(&[listener.name, end.label()], ended);
                }
            }
        },
    },
    Family {
        name: "sluice_listener_requests_repeated_total",
        kind: Kind::Counter,
        help: "Times that an HTTP request was sent again, because the backend had closed the connection that was kept.",
        labels: &["listener"],
        samples: |report, out| {
            for listener in of_http(report) {
                out.put(&[listener.name], listener.sheets.total(|sheet| &sheet.http.repeats));
            }
        },
    },
    Family {
        name: "sluice_listener_request_duration_seconds",
        kind: Kind::Histogram(&REQUEST),
        help: "How long HTTP requests took, from their head being whole to the end of the response.",
        labels: &["listener"],
        samples: |report, out| {
            for listener in of_http(report) {
                out.put_histogram(&[listener.name], listener.sheets, |sheet| &sheet.http.duration);
            }
        },
    },
];

fn of_http<'r>(report: &'r Report<'_>) -> impl Iterator<Item = &'r ListenerReport<'r>> {
    report.listeners.iter().filter(|listener| listener.protocol == Protocol::Http)
}
