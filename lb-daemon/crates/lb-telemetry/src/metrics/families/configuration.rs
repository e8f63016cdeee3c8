//! What the configuration in force tells.

use crate::metrics::ReloadResult;
use crate::metrics::families::{Family, Kind};

pub(super) static FAMILIES: [Family; 7] = [
    Family {
        name: "sluice_config_reloads_total",
        kind: Kind::Counter,
        help: "Reloads, by result: applied, or refused because of errors, in which case the old configuration stays.",
        labels: &["result"],
        samples: |report, out| {
            out.put(&["applied"], report.configuration.reloads_applied);
            out.put(&["refused"], report.configuration.reloads_refused);
        },
    },
    Family {
        name: "sluice_config_last_reload_success",
        kind: Kind::Gauge,
        help: "0 if the last reload was refused.",
        labels: &[],
        samples: |report, out| {
            out.put(&[], report.configuration.last_reload == ReloadResult::Applied);
        },
    },
    Family {
        name: "sluice_config_generation",
        kind: Kind::Gauge,
        help: "Which configuration is in force: 1 is the first since the start.",
        labels: &[],
        samples: |report, out| out.put(&[], report.configuration.generation),
    },
    Family {
        name: "sluice_config_snapshots",
        kind: Kind::Gauge,
        help: "Configurations in memory: the one in force, and for moments those before it that somebody still reads.",
        labels: &[],
        samples: |report, out| out.put(&[], report.configuration.snapshots),
    },
    Family {
        name: "sluice_config_applied_timestamp_seconds",
        kind: Kind::Gauge,
        help: "When the configuration was put into force, in seconds since 1970.",
        labels: &[],
        samples: |report, out| out.put(&[], report.configuration.applied_at),
    },
    Family {
        name: "sluice_config_warnings",
        kind: Kind::Gauge,
        help: "Warnings that the configuration in force gives; sluice check shows them.",
        labels: &[],
        samples: |report, out| out.put(&[], report.configuration.warnings),
    },
    Family {
        name: "sluice_view_epoch",
        kind: Kind::Gauge,
        help: "Grows with every change that data paths see: of the configuration, or of a backend's state.",
        labels: &[],
        samples: |report, out| out.put(&[], report.configuration.epoch),
    },
];
