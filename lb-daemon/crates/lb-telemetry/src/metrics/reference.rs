//! The operator's reference page, from the table.

use std::fmt::Write as _;
use std::time::Duration;

use crate::metrics::exposition::Value;
use crate::metrics::families::{Family, Kind, SECTIONS};

const INTRODUCTION: &str = "\
# Metrics reference

<!-- Generated from lb-telemetry/src/metrics/families: edit those. -->

`GET /metrics` of the admin API answers in the Prometheus text format 0.0.4. Counters start at 0 with the process and
survive reloads. The series of a listener, pool or backend go away with it. Times are in seconds, sizes in bytes. A scrape
reads what workers count, it does not stop them: numbers of one scrape may be a few connections apart.

The series `sluice_xdp_*` are there while packets go through the XDP data path. It sees what clients send, not what backends
answer.

A histogram `NAME` has the series `NAME_bucket` (with the label `le`), `NAME_sum` and `NAME_count`.

Files to go with them: [alerts](../../deploy/prometheus/alerts.yml) and a
[Grafana dashboard](../../deploy/grafana/sluice.json).
";

/// The reference of the metrics as Markdown.
pub fn reference_markdown() -> String {
    let mut page = INTRODUCTION.to_owned();
    for section in &SECTIONS {
        let _infallible = write!(
            page,
            "\n## {}\n\n| metric | type | labels | meaning |\n| --- | --- | --- | --- |\n",
            section.title
        );
        for family in section.families {
            let Family { name, kind, help, .. } = family;
            let labels: Vec<_> = family.labels.iter().map(|label| format!("`{label}`")).collect();
            let bounds = bounds(*kind);
            let _infallible =
                writeln!(page, "| `{name}` | {kind} | {} | {help}{bounds} |", labels.join(", "));
        }
    }
    page
}

/// The bounds of a histogram's buckets, as a sentence.
fn bounds(kind: Kind) -> String {
    match kind {
        Kind::Counter | Kind::Gauge => String::new(),
        Kind::Histogram(bounds) => {
            let seconds = bounds.iter().map(|&micros| Value::from(Duration::from_micros(micros)).to_string());
            format!(" Buckets: {}.", seconds.collect::<Vec<_>>().join(", "))
        }
    }
}
