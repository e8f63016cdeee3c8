//! The metrics of a scrape.

use std::time::Duration;

use lb_runtime::{BackendView, PoolView};
use lb_telemetry::metrics::{
    BackendReport, Configuration, DiscoveryReport, ListenerReport, PoolReport, Process, ReloadResult, Report,
    render,
};

use crate::daemon::Daemon;
use crate::discovery::failing_since;
use crate::look::Look;
use crate::status::last_latency;

/// Everything in the text format of Prometheus.
pub(crate) fn of(daemon: &Daemon) -> String {
    let look = Look::at(daemon);
    let queries: Vec<_> = look.names.iter().map(|(_, status)| status.wanted.query.to_string()).collect();
    let discoveries = look.names.iter().zip(&queries).map(|((pool, status), query)| DiscoveryReport {
        pool: pool.as_str(),
        query,
        answers: status.endpoints as u64,
        failing: failing_since(status).map(|since| look.now.saturating_duration_since(since)),
    });
    let listeners = look.listeners().map(|(listener, held)| ListenerReport {
        protocol: listener.protocol,
        name: listener.name.as_str(),
        sheets: &held.metrics,
        connection_limit: listener.max_connections.map(Into::into),
    });
    render(&Report {
        version: env!("CARGO_PKG_VERSION"),
        started: Duration::from_secs(look.history.started_at),
        process: Process::read(),
        log_lines_dropped: daemon.logging.dropped_lines(),
        access_log_lines_lost: daemon.listeners.access_logs().lost(),
        configuration: configuration(daemon, &look),
        workers: &daemon.workers,
        listeners: listeners.collect(),
        pools: look.view.pools().map(|pool| self::pool(&look, pool)).collect(),
        discoveries: discoveries.collect(),
        xdp: None,
    })
}

fn configuration(daemon: &Daemon, look: &Look) -> Configuration {
    let history = &look.history;
    let refused = history.last_reload.as_ref().is_some_and(|reload| !reload.ok);
    Configuration {
        generation: look.view.snapshot.generation,
        snapshots: daemon.runtime.snapshots_alive() as u64,
        epoch: look.view.epoch,
        applied_at: Duration::from_secs(history.loaded_at),
        warnings: history.warnings,
        reloads_applied: history.reloads_applied,
        reloads_refused: history.reloads_refused,
        last_reload: if refused { ReloadResult::Refused } else { ReloadResult::Applied },
    }
}

fn pool<'a>(look: &Look, pool: &'a PoolView) -> PoolReport<'a> {
    PoolReport {
        name: pool.settings.name.as_str(),
        queued: pool.queued(),
        queue_limit: pool.settings.queue.limit,
        panic: pool.is_panic(),
        backends: pool.backend_views().map(|view| backend(look, view)).collect(),
    }
}

fn backend<'a>(look: &Look, view: BackendView<'a>) -> BackendReport<'a> {
    let checked = look.checked(view);
    let state = &view.backend.state;
    BackendReport {
        name: view.backend.name.as_str(),
        sheets: &state.metrics,
        active: state.in_flight(),
        connection_limit: state.limit(),
        weight: look.weight(view).0.into(),
        state: view.standing,
        health: checked.map(|checked| checked.health),
        check_duration: checked.and_then(last_latency),
    }
}
