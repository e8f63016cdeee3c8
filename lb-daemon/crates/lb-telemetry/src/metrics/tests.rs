//! A report with everything in it, and what is made of it: the exposition, the reference page, and the files in
//! `deploy/` that rely on both.

mod deploy;
mod query;
mod render;
mod tools;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use lb_common::{Family, FlowEvent, PassReason};
use lb_model::{DropReason, Health, Protocol, Standing, Termination};

use super::*;

/// What the sheets of a [`Report`] belong to.
struct Sheets {
    workers: PerWorker<WorkerSheet>,
    web: PerWorker<ListenerSheet>,
    site: PerWorker<ListenerSheet>,
    a: PerWorker<BackendSheet>,
    b: PerWorker<BackendSheet>,
}

impl Sheets {
    /// Two workers have served a few connections.
    fn used() -> Self {
        let sheets = Self {
            workers: PerWorker::new(2),
            web: PerWorker::new(2),
            site: PerWorker::new(2),
            a: PerWorker::new(2),
            b: PerWorker::new(2),
        };
        for (worker, n) in [(0, 1), (1, 2)] {
            let sheet = sheets.workers.of(worker);
            sheet.connections.add(10 * n);
            sheet.loop_lag.observe(Duration::from_micros(1_500 * n));
            sheet.pipes.set(n);
            sheet.pipes_refused.add(n);
            let sheet = sheets.web.of(worker);
            sheet.connections.add(10 * n);
            sheet.ended(Termination::Finished).add(n);
            sheet.ended(Termination::ClientReset).add(1);
            sheet.bytes_in.add(100 * n);
            sheet.bytes_out.add(1000 * n);
            sheet.datagrams_in.add(2 * n);
            sheet.datagrams_out.add(3 * n);
            sheet.dropped(DropReason::NewFlowShed).add(n);
            sheet.duration.observe(Duration::from_millis(200 * n));
            sheet.queued.observe(Duration::from_millis(3));
            let sheet = &sheets.site.of(worker).http;
            sheet.requests.add(5 * n);
            sheet.repeats.add(n);
            sheet.ended(RequestEnd::Served).add(4 * n);
            sheet.responses(204).add(4 * n);
            sheet.duration.observe(Duration::from_millis(n));
            let sheet = sheets.a.of(worker);
            sheet.connections.add(n);
            sheet.responses(503).add(n);
            sheet.connect_failures.add(3);
            sheet.connect_timeouts.add(n);
            sheet.bytes_in.add(100 * n);
            sheet.bytes_out.add(1000 * n);
            sheet.connect.observe(Duration::from_micros(250));
            sheet.first_byte.observe(Duration::from_secs(60));
        }
        sheets
    }

    /// A report in which every value is known.
    fn report(&self) -> Report<'_> {
        let a = BackendReport {
            name: "a",
            sheets: &self.a,
            active: 7,
            connection_limit: Some(100),
            weight: 3,
            state: Standing::Active,
            health: Some(Health::Healthy),
            check_duration: Some(Duration::from_micros(1_250)),
        };
        let b = BackendReport {
            name: "b",
            sheets: &self.b,
            active: 0,
            connection_limit: None,
            weight: 1,
            state: Standing::Unhealthy,
            health: Some(Health::Unhealthy),
            check_duration: None,
        };
        Report {
            version: "0.1.0",
            started: Duration::from_millis(1_700_000_000_250),
            process: Process {
                cpu: Some(Duration::from_millis(1_500)),
                open_fds: Some(20),
                max_fds: Some(1024),
                resident_bytes: Some(4096),
                virtual_bytes: Some(8192),
                threads: Some(3),
            },
            log_lines_dropped: 5,
            access_log_lines_lost: 6,
            configuration: Configuration {
                generation: 2,
                snapshots: 1,
                epoch: 9,
                applied_at: Duration::from_secs(1_700_000_100),
                warnings: 1,
                reloads_applied: 1,
                reloads_refused: 4,
                last_reload: ReloadResult::Refused,
            },
            workers: &self.workers,
            listeners: [("web", &self.web, Protocol::Udp), ("site", &self.site, Protocol::Http)]
                .map(|(name, sheets, protocol)| ListenerReport {
                    name,
                    sheets,
                    connection_limit: Some(50),
                    protocol,
                })
                .into(),
            pools: vec![PoolReport {
                name: "servers",
                queued: 6,
                queue_limit: 1000,
                panic: true,
                backends: vec![a, b],
            }],
            discoveries: vec![DiscoveryReport {
                pool: "servers",
                query: "web.example.com:80",
                answers: 2,
                failing: Some(Duration::from_millis(2_500)),
            }],
            xdp: Some(xdp()),
        }
    }
}

/// Each number is another one.
fn xdp() -> XdpReport<'static> {
    let counts = |n: u64| XdpCounts { packets: 100 + n, bytes: 1000 + n, flows: 10 + n };
    let flows = |n: u64| FlowStates { new: 10 + n, confirmed: 20 + n, closing: 30 + n };
    let table = |family, n: u64| FlowTableReport {
        family,
        bytes: 4096 * n,
        ways: 256 * n,
        swept: 40 + n,
        flows: Some(flows(n)),
    };
    XdpReport {
        listeners: vec![
            XdpListenerReport { name: "dns", counts: counts(1) },
            XdpListenerReport { name: "web", counts: counts(2) },
        ],
        backends: vec![
            XdpBackendReport { pool: "servers", name: "a", counts: counts(3) },
            XdpBackendReport { pool: "servers", name: "b", counts: counts(4) },
        ],
        passed: (1..).zip(PassReason::ALL).map(|(n, reason)| (reason, n)).collect(),
        dropped: (10..).zip(lb_common::DropReason::ALL).map(|(n, reason)| (reason, n)).collect(),
        flow_events: (20..).zip(FlowEvent::ALL).map(|(n, event)| (event, n)).collect(),
        flow_tables: vec![table(Family::V4, 1), table(Family::V6, 2)],
    }
}

/// A file of the project.
fn project_file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../..").join(path)
}

#[test]
fn the_reference_is_what_the_table_says() {
    let path = project_file("docs/reference/metrics.md");
    if std::env::var_os("BLESS").is_some_and(|bless| bless == "1") {
        fs::write(&path, reference_markdown()).unwrap();
    }
    let page = fs::read_to_string(&path).unwrap();
    assert!(
        page == reference_markdown(),
        "docs/reference/metrics.md is stale: `BLESS=1 cargo test -p lb-telemetry reference`"
    );
}
