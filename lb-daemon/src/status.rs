//! What `sluice status` shows.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use lb_admin::{
    Backend, BackendState, Discovery, Health, HealthStatus, Listener, Override, OverrideOf, Overrides, Pool,
    Status,
};
use lb_discovery::Wanted;
use lb_health::Status as Checked;
use lb_model::{BackendAddress, Bind, PoolName, Standing};
use lb_runtime::{BackendView, Drain, OverrideTarget, PoolView, SLOW_START_STEPS};

use crate::clock::unix_now;
use crate::daemon::Daemon;
use crate::discovery::describe;
use crate::listeners::{self, Held};
use crate::look::Look;

/// The state of everything at this moment.
pub(crate) fn of(daemon: &Daemon) -> Status {
    let look = Look::at(daemon);
    let pools = Pools::new(daemon, &look);
    let history = &look.history;
    Status {
        version: env!("CARGO_PKG_VERSION").into(),
        pid: std::process::id(),
        started_at: history.started_at,
        uptime_seconds: look.now.saturating_duration_since(daemon.started).as_secs(),
        generation: look.view.snapshot.generation,
        epoch: look.view.epoch,
        config_file: daemon.source().map_or_else(|| "none".into(), |path| path.display().to_string()),
        loaded_at: history.loaded_at,
        last_reload: history.last_reload.clone(),
        state: history.readiness,
        workers: u32::try_from(daemon.descriptors.workers).unwrap_or(u32::MAX),
        listeners: look.listeners().map(|(settings, held)| listener(&look, settings, held)).collect(),
        pools: look.view.pools().map(|pool| pools.pool(pool)).collect(),
        overrides: overrides(&look),
        discovery: discovery(&look),
    }
}

fn listener(look: &Look, settings: &lb_model::Listener, Held { metrics, .. }: &Held) -> Listener {
    let config = &look.view.snapshot.config;
    let pools = settings.pools().into_iter().filter_map(|pool| config.pool(pool));
    Listener {
        name: settings.name.to_string(),
        bind: settings.bind.iter().map(Bind::to_string).collect(),
        protocol: settings.protocol.label().into(),
        pools: pools.map(|pool| pool.name.to_string()).collect(),
        datapath: listeners::datapath(settings.protocol).into(),
        datapath_reason: None,
        connections: metrics.iter().map(|sheet| sheet.active()).sum(),
        max_connections: settings.max_connections.map(|max| u64::from(max.get())),
        connections_total: metrics.total(|sheet| &sheet.connections),
        bytes_in: metrics.total(|sheet| &sheet.bytes_in),
        bytes_out: metrics.total(|sheet| &sheet.bytes_out),
    }
}

fn overrides(look: &Look) -> Overrides {
    let each = look.overrides.iter().map(|(target, set)| override_of(look, target, *set));
    Overrides {
        persisted: look.history.overrides_problem.is_none(),
        problem: look.history.overrides_problem.clone(),
        overrides: each.collect(),
    }
}

fn override_of(look: &Look, target: &OverrideTarget, set: lb_runtime::Override) -> OverrideOf {
    let lb_runtime::Override { drain, weight } = set;
    let first = drain.map(|drain| drain.at).into_iter().chain(weight.map(|weight| weight.at)).min();
    OverrideOf {
        pool: target.pool.to_string(),
        backend: target.backend.as_ref().map(ToString::to_string),
        drain: drain.map(|drain| drain.value == Drain::On),
        weight: weight.map(|weight| weight.value.0),
        set_at: first.unwrap_or(0),
        exists: look.view.has(target),
    }
}

fn discovery(look: &Look) -> Vec<Discovery> {
    let names = look.names.iter().map(|(pool, status)| Discovery {
        pool: pool.to_string(),
        query: status.wanted.query.to_string(),
        answers: u32::try_from(status.endpoints).unwrap_or(u32::MAX),
        state: describe(status, look.now),
    });
    names.collect()
}

/// What has to be known to tell how pools are.
struct Pools<'a> {
    look: &'a Look,
    /// The names by which backends without an entry of their own were found.
    discovered: HashMap<(PoolName, BackendAddress), String>,
    retired: Vec<Arc<lb_runtime::Backend>>,
}

impl<'a> Pools<'a> {
    fn new(daemon: &Daemon, look: &'a Look) -> Self {
        let pools = look.view.snapshot.config.pools.iter();
        let names = pools.flat_map(|pool| pool.discover.iter().map(move |discovery| (pool, discovery)));
        let discovered = names.flat_map(|(pool, discovery)| {
            let wanted = Wanted { query: discovery.query.clone(), settings: pool.discovery };
            let endpoints = daemon.resolver.answer(&wanted).unwrap_or_default();
            let query = discovery.query.to_string();
            let own = |address| pool.backends.iter().any(|backend| backend.address == address);
            let found = endpoints.iter().map(|endpoint| endpoint.address()).filter(|&address| !own(address));
            found.map(|address| ((pool.name.clone(), address), query.clone())).collect::<Vec<_>>()
        });
        Self { look, discovered: discovered.collect(), retired: daemon.runtime.retired() }
    }

    fn pool(&self, pool: &PoolView) -> Pool {
        let retired = self.retired.iter().filter(|backend| backend.pool == pool.settings.name);
        let backends = pool.backend_views().map(|backend| self.backend(pool, backend));
        Pool {
            name: pool.settings.name.to_string(),
            balance: pool.settings.balance.label().into(),
            panic: pool.is_panic(),
            queued: pool.queued(),
            backends: backends.chain(retired.map(|backend| retired_backend(backend))).collect(),
        }
    }

    fn backend(&self, pool: &PoolView, view: BackendView<'_>) -> Backend {
        let Look { now, overrides, .. } = self.look;
        let BackendView { backend, settings, standing, share: _ } = view;
        let set = overrides.effective(&backend.pool, &backend.name);
        let since = |then| now.saturating_duration_since(then).as_secs();
        Backend {
            discovered_by: self.discovered.get(&(backend.pool.clone(), backend.address)).cloned(),
            state: standing.into(),
            since_seconds: backend.state.standing_since().map(since),
            reason: self.reason(pool, view),
            health: self.health(view),
            weight: pool.started_weight(backend, self.look.weight(view), *now).0,
            configured_weight: settings.weight.0,
            r#override: (set.drain.is_some() || set.weight.is_some())
                .then(|| Override { drain: set.drain.is_some(), weight: set.weight.map(|set| set.value.0) }),
            tier: settings.tier,
            zone: settings.zone.as_ref().map(ToString::to_string),
            max_connections: backend.state.limit().map(Into::into),
            response_time_ms: backend.state.response_time(*now).map(millis),
            ..retired_backend(backend)
        }
    }

    fn reason(&self, pool: &PoolView, view: BackendView<'_>) -> Option<String> {
        let now = self.look.now;
        let set = || self.look.overrides.effective(&view.backend.pool, &view.backend.name);
        match view.standing {
            Standing::Unhealthy => self.look.checked(view)?.reason.as_ref().map(ToString::to_string),
            Standing::BackingOff => {
                let (fault, until) = view.backend.state.back_off(now)?;
                let left = until.map(|until| until.saturating_duration_since(now).as_secs_f64());
                let again = left.map(|left| format!("; tried again in {left:.1} s")).unwrap_or_default();
                Some(format!("{fault}{again}"))
            }
            Standing::Draining => {
                Some(format!("drained by hand {} ago", ago(unix_now().saturating_sub(set().drain?.at))))
            }
            Standing::Active | Standing::Standby => {
                let step = pool.slow_start_step(view.backend, now)?;
                Some(format!("slow start: step {step} of {SLOW_START_STEPS}"))
            }
            Standing::Disabled => {
                Some(if set().weight.is_some() { "weight 0, set by hand" } else { "weight 0" }.into())
            }
        }
    }

    fn health(&self, view: BackendView<'_>) -> Health {
        let kind = view.settings.health_check.as_ref().map(|check| check.probe.kind().to_owned());
        let Some(checked) = self.look.checked(view) else { return Health { kind, ..UNCHECKED } };
        let last = checked.last.as_ref().map(|last| match &last.result {
            Ok(_) => "ok".to_owned(),
            Err(error) => error.to_string(),
        });
        let next = checked.next.map(|next| next.saturating_duration_since(self.look.now).as_millis());
        Health {
            status: checked.health.into(),
            kind,
            last,
            latency_ms: last_latency(checked).map(millis),
            next_in_ms: next.and_then(|millis| u64::try_from(millis).ok()),
        }
    }
}

const UNCHECKED: Health =
    Health { status: HealthStatus::Unchecked, kind: None, last: None, latency_ms: None, next_in_ms: None };

/// A backend that the configuration has no more: what is counted of it.
fn retired_backend(backend: &lb_runtime::Backend) -> Backend {
    let state = &backend.state;
    let failures = state.metrics.total(|sheet| &sheet.connect_failures);
    let timeouts = state.metrics.total(|sheet| &sheet.connect_timeouts);
    Backend {
        name: backend.name.to_string(),
        address: backend.address.to_string(),
        discovered_by: None,
        state: BackendState::Draining,
        since_seconds: None,
        reason: Some("removed; its connections go on".into()),
        health: UNCHECKED,
        weight: 0,
        configured_weight: 0,
        r#override: None,
        tier: 0,
        zone: None,
        connections: state.in_flight().into(),
        max_connections: None,
        connections_total: state.metrics.total(|sheet| &sheet.connections),
        connect_failures_total: failures + timeouts,
        bytes_in: state.metrics.total(|sheet| &sheet.bytes_in),
        bytes_out: state.metrics.total(|sheet| &sheet.bytes_out),
        response_time_ms: None,
    }
}

/// How long the last check took, if it was a good one.
pub(crate) fn last_latency(checked: &Checked) -> Option<Duration> {
    checked.last.as_ref()?.result.as_ref().ok().copied().flatten()
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}

/// A time in the one unit that says most.
fn ago(seconds: u64) -> String {
    match seconds {
        0..=119 => format!("{seconds} s"),
        120..=7199 => format!("{} min", seconds / 60),
        7200..=172_799 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}
