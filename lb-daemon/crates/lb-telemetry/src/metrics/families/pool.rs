//! What pools tell, and the names that their backends come from.

use lb_model::Standing;

use crate::metrics::families::{Family, Kind};

pub(super) static FAMILIES: [Family; 6] = [
    Family {
        name: "sluice_pool_backends",
        kind: Kind::Gauge,
        help: "Backends in each state. Those that are active or standby can take connections.",
        labels: &["pool", "state"],
        samples: |report, out| {
            for pool in &report.pools {
                for state in Standing::ALL {
                    let backends = pool.backends.iter().filter(|backend| backend.state == state);
                    out.put(&[pool.name, state.label()], u64::try_from(backends.count()).unwrap_or(u64::MAX));
                }
            }
        },
    },
    Family {
        name: "sluice_pool_panic",
        kind: Kind::Gauge,
        help: "1 while so few backends are healthy that all are used regardless of their health (panic_threshold).",
        labels: &["pool"],
        samples: |report, out| {
            for pool in &report.pools {
                out.put(&[pool.name], pool.panic);
            }
        },
    },
    Family {
        name: "sluice_pool_queue_length",
        kind: Kind::Gauge,
        help: "Connections that wait because every backend is at its max_connections.",
        labels: &["pool"],
        samples: |report, out| {
            for pool in &report.pools {
                out.put(&[pool.name], pool.queued);
            }
        },
    },
    Family {
        name: "sluice_pool_queue_limit",
        kind: Kind::Gauge,
        help: "Most connections that may wait at once (queue.limit).",
        labels: &["pool"],
        samples: |report, out| {
            for pool in &report.pools {
                out.put(&[pool.name], pool.queue_limit);
            }
        },
    },
    Family {
        name: "sluice_discovery_answers",
        kind: Kind::Gauge,
        help: "Backends that the last good answer to a DNS query named.",
        labels: &["pool", "query"],
        samples: |report, out| {
            for discovery in &report.discoveries {
                out.put(&[discovery.pool, discovery.query], discovery.answers);
            }
        },
    },
    Family {
        name: "sluice_discovery_failing_seconds",
        kind: Kind::Gauge,
        help: "For how long a DNS query has had no good answer, and backends of an earlier one are kept; 0 while it has.",
        labels: &["pool", "query"],
        samples: |report, out| {
            for discovery in &report.discoveries {
                out.put(&[discovery.pool, discovery.query], discovery.failing.unwrap_or_default());
            }
        },
    },
];
