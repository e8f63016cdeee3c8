//! The metrics of a scrape, put together from everything that counts.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lb_discovery::Wanted;
use lb_health::TargetKey;
use lb_runtime::Standing;
use lb_telemetry::metrics::{
    BackendReport, BackendState, Configuration, DiscoveryReport, Health, ListenerReport, PoolReport, Process,
    ReloadResult, Report, render,
};

use crate::daemon::Daemon;
use crate::discovery::failing_since;
use crate::status::last_latency;

/// Everything in the text format of Prometheus.
pub(crate) fn of(daemon: &Daemon) -> String {
    let now = lb_net::clock::now();
    let view = Arc::clone(&daemon.runtime.view());
    let config = &view.snapshot.config;
    let history = daemon.history().clone();
    let held = daemon.listeners.held();
    let overrides = daemon.runtime.overrides();
    let checked: HashMap<_, _> =
        daemon.scheduler.snapshot().into_iter().map(|status| (status.target.clone(), status)).collect();

    let listener = |listener: &lb_model::Listener| {
        held.get(&listener.name).map(|held| (listener.name.clone(), held, listener.max_connections))
    };
    let listeners: Vec<_> = config.listeners.iter().filter_map(listener).collect();
    let names = names(daemon, config, now);
    let backend = |view: lb_runtime::BackendView<'_>| {
        let lb_runtime::BackendView { backend, settings, standing, share: _ } = view;
        let key = TargetKey { pool: backend.pool.clone(), backend: backend.name.clone() };
        let checked = checked.get(&key).filter(|_| settings.health_check.is_some());
        let set = overrides.effective(&backend.pool, &backend.name).weight;
        (standing, checked, set.map_or(settings.weight, |set| set.value))
    };
    let pools = view.pools().map(|pool| PoolReport {
        name: pool.settings.name.as_str(),
        queued: pool.queued(),
        queue_limit: pool.settings.queue.limit,
        panic: pool.is_panic(),
        backends: pool
            .backend_views()
            .map(|view| {
                let (standing, checked, weight) = backend(view);
                BackendReport {
                    name: view.backend.name.as_str(),
                    sheets: &view.backend.state.metrics,
                    active: view.backend.state.in_flight(),
                    connection_limit: view.backend.state.limit(),
                    weight: weight.0.into(),
                    state: state(standing),
                    health: checked.map_or(Health::Unchecked, |checked| health(checked.health)),
                    check_duration: checked.and_then(last_latency),
                }
            })
            .collect(),
    });
    render(&Report {
        version: env!("CARGO_PKG_VERSION"),
        started: Duration::from_secs(history.started_at),
        process: Process::read(),
        log_lines_dropped: daemon.logging.dropped_lines(),
        configuration: Configuration {
            generation: view.snapshot.generation,
            snapshots: daemon.runtime.snapshots_alive() as u64,
            epoch: view.epoch,
            applied_at: Duration::from_secs(history.loaded_at),
            warnings: history.warnings,
            reloads_applied: history.reloads_applied,
            reloads_refused: history.reloads_refused,
            last_reload: match &history.last_reload {
                Some(reload) if !reload.ok => ReloadResult::Refused,
                _ => ReloadResult::Applied,
            },
        },
        workers: &daemon.workers,
        listeners: listeners
            .iter()
            .map(|(name, held, limit)| ListenerReport {
                name: name.as_str(),
                sheets: &held.metrics,
                connection_limit: limit.map(Into::into),
            })
            .collect(),
        pools: pools.collect(),
        discoveries: names.iter().map(Name::report).collect(),
    })
}

/// A name that backends come from.
struct Name {
    pool: String,
    query: String,
    answers: u64,
    failing: Option<Duration>,
}

impl Name {
    fn report(&self) -> DiscoveryReport<'_> {
        let Self { pool, query, answers, failing } = self;
        DiscoveryReport { pool, query, answers: *answers, failing: *failing }
    }
}

fn names(daemon: &Daemon, config: &lb_model::Config, now: Instant) -> Vec<Name> {
    let known: HashMap<_, _> =
        daemon.resolver.snapshot().into_iter().map(|status| (status.wanted.clone(), status)).collect();
    let pools = config.pools.iter();
    let of_pool = |pool: &lb_model::Pool| -> Vec<Name> {
        let each = pool.discover.iter().filter_map(|discovery| {
            let wanted = Wanted { query: discovery.query.clone(), settings: pool.discovery };
            let status = known.get(&wanted)?;
            Some(Name {
                pool: pool.name.to_string(),
                query: discovery.query.to_string(),
                answers: status.endpoints as u64,
                failing: failing_since(status).map(|since| now.saturating_duration_since(since)),
            })
        });
        each.collect()
    };
    pools.flat_map(of_pool).collect()
}

fn state(standing: Standing) -> BackendState {
    match standing {
        Standing::Active => BackendState::Active,
        Standing::Standby => BackendState::Standby,
        Standing::Draining => BackendState::Draining,
        Standing::Disabled => BackendState::Disabled,
        Standing::Unhealthy => BackendState::Unhealthy,
        Standing::BackingOff => BackendState::BackingOff,
    }
}

fn health(health: lb_health::Health) -> Health {
    match health {
        lb_health::Health::Unknown => Health::Unknown,
        lb_health::Health::Healthy => Health::Healthy,
        lb_health::Health::Unhealthy => Health::Unhealthy,
    }
}
