//! What a scrape is told, in the names of the configuration.

use lb_common::flow::Line;
use lb_common::{BackendIndex, DropReason, Family, FlowEvent, ListenerId, PassReason};
use lb_telemetry::metrics::{
    FlowStates, FlowTableReport, XdpBackendReport, XdpCounts, XdpListenerReport, XdpReport,
};

use crate::counters::{Counters, CountersError, Counts};
use crate::reconcile::{BackendName, Reconciler};
use crate::sweep::{Fill, Swept};

impl Reconciler {
    /// What was counted, and the state of the flow tables at their last sweep.
    pub fn report(&self, counters: &dyn Counters) -> Result<XdpReport<'_>, CountersError> {
        let listeners = self.listener_accounts.totals(|number| counters.listener(ListenerId(number)))?;
        let backends = self.backend_accounts.totals(|number| counters.backend(BackendIndex(number)))?;
        let listeners =
            listeners.into_iter().map(|(name, counts)| XdpListenerReport { name, counts: counts.into() });
        let backends = backends.into_iter().map(|(BackendName { pool, name }, counts)| XdpBackendReport {
            pool,
            name,
            counts: counts.into(),
        });
        let tables = [Family::V4, Family::V6].into_iter().zip(&self.swept);
        Ok(XdpReport {
            listeners: listeners.collect(),
            backends: backends.collect(),
            passed: each(PassReason::ALL, |reason| counters.passed(reason))?,
            dropped: each(DropReason::ALL, |reason| counters.dropped(reason))?,
            flow_events: each(FlowEvent::ALL, |event| counters.flow_event(event))?,
            flow_tables: tables.map(|(family, swept)| self.flow_table(family, swept)).collect(),
        })
    }

    fn flow_table(&self, family: Family, swept: &Swept) -> FlowTableReport {
        let flows = |Fill { new, confirmed, closing, .. }| FlowStates { new, confirmed, closing };
        FlowTableReport {
            family,
            bytes: self.capacity.flow_bytes(family),
            ways: u64::from(self.capacity.flow_lines(family)) * u64::from(Line::WAYS),
            swept: swept.forgotten,
            flows: swept.last.map(flows),
        }
    }
}

/// The count of each of `all`.
fn each<R: Copy>(
    all: impl IntoIterator<Item = R>,
    count: impl Fn(R) -> Result<u64, CountersError>,
) -> Result<Vec<(R, u64)>, CountersError> {
    all.into_iter().map(|reason| Ok((reason, count(reason)?))).collect()
}

impl From<Counts> for XdpCounts {
    fn from(Counts { packets, bytes, flows }: Counts) -> Self {
        Self { packets, bytes, flows }
    }
}

#[cfg(test)]
mod tests;
