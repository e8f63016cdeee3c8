//! Everybody is accounted for.

use std::collections::BTreeMap;
use std::fmt;
use std::net::SocketAddr;

use lb_model::Termination;
use lb_tests::{AccessRecord, Daemon, eventually};

use super::PATIENCE;
use super::visitors::Visit;
use crate::metrics::Scrape;

/// A visitor who was not served: what he saw, and what the daemon says about it.
#[derive(Debug)]
pub(super) struct Lost {
    error: anyhow::Error,
    pub(super) record: AccessRecord,
}

impl fmt::Display for Lost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}; {:?}", self.error, self.record)
    }
}

/// How a drill came out.
#[derive(Debug)]
pub(super) struct Books {
    pub(super) served: Vec<AccessRecord>,
    pub(super) lost: Vec<Lost>,
}

impl Books {
    /// Closes the books over everybody who ever came to the listener `web`, which has its pool of that name to itself.
    ///
    /// Each visitor has exactly one access record. Whoever was served is in it with every byte and as finished. The
    /// metrics are the sums of the records, and no connect to a backend is in one of them only.
    #[track_caller]
    pub(super) fn close(daemon: &Daemon, visits: Vec<Visit>) -> Self {
        let of_web = || daemon.access_records().into_iter().filter(|record| record.listener == "web");
        let what = format!("{} visitors have their records", visits.len());
        eventually(PATIENCE, &what, || of_web().count() >= visits.len());
        let mut records = BTreeMap::new();
        for record in of_web() {
            let twice = records.insert(record.client, record);
            assert!(twice.is_none(), "two records of one client: {twice:?}");
        }
        assert_eq!(records.len(), visits.len(), "as many records as visitors");
        assert_metrics_agree(daemon, &records);

        let mut books = Self { served: vec![], lost: vec![] };
        for Visit { client, outcome } in visits {
            let record = records.remove(&client).unwrap_or_else(|| panic!("no record of {client}"));
            match outcome {
                Ok(exchanged) => {
                    assert_eq!(record.reason, Termination::Finished, "he was served: {record:?}");
                    let bytes = (exchanged.bytes_in, exchanged.bytes_out);
                    assert_eq!((record.bytes_in, record.bytes_out), bytes, "{record:?}");
                    books.served.push(record);
                }
                Err(error) => books.lost.push(Lost { error, record }),
            }
        }
        assert!(!books.served.is_empty(), "somebody is served in any drill");
        books
    }

    /// Asserts that everybody was served.
    #[track_caller]
    pub(super) fn assert_nobody_is_lost(&self) {
        if let Some(lost) = self.lost.first() {
            panic!("{} lost, {} served; the first: {lost}", self.lost.len(), self.served.len());
        }
    }

    /// Asserts that those who were lost were connected to this backend, and that their records give one of these reasons.
    #[track_caller]
    pub(super) fn assert_lost_with(&self, backend: &str, reasons: &[Termination]) {
        for lost in &self.lost {
            assert_eq!(lost.record.backend.as_deref(), Some(backend), "{lost}");
            assert!(reasons.contains(&lost.record.reason), "{lost}");
        }
    }
}

#[track_caller]
fn assert_metrics_agree(daemon: &Daemon, records: &BTreeMap<SocketAddr, AccessRecord>) {
    let active = |scrape: &Scrape| scrape.count("sluice_listener_active_connections{listener=\"web\"}");
    eventually(PATIENCE, "nobody is there any more", || active(&Scrape::of(daemon)) == 0);
    let scrape = Scrape::of(daemon);
    let sum = |number: fn(&AccessRecord) -> u64| records.values().map(number).sum::<u64>();
    let of_listener = |metric: &str| scrape.count(&format!("sluice_listener_{metric}{{listener=\"web\"}}"));
    assert_eq!(of_listener("connections_total"), sum(|_| 1));
    assert_eq!(of_listener("in_bytes_total"), sum(|record| record.bytes_in));
    assert_eq!(of_listener("out_bytes_total"), sum(|record| record.bytes_out));
    for reason in Termination::ALL {
        let series = format!("sluice_listener_ended_total{{listener=\"web\",reason=\"{reason}\"}}");
        let recorded = records.values().filter(|record| record.reason == reason).count();
        assert_eq!(scrape.count(&series), recorded as u64, "{reason}");
    }
    let backends =
        daemon.status().pools.into_iter().filter(|pool| pool.name == "web").flat_map(|pool| pool.backends);
    let connects: u64 =
        backends.map(|backend| backend.connections_total + backend.connect_failures_total).sum();
    assert_eq!(connects, sum(|record| record.tries), "each connect succeeded or failed");
}
