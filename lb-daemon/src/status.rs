//! What `sluice status` shows, put together from everything that knows a part of it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lb_admin::{
    Backend, BackendState, Discovery, Health, HealthStatus, Listener, Override, OverrideOf, Overrides, Pool,
    Status,
};
use lb_discovery::Wanted;
use lb_health::{Status as Checked, TargetKey};
use lb_model::{BackendAddress, Bind, PoolName, Weight};
use lb_runtime::{BackendView, Drain, OverrideTarget, PoolView, SLOW_START_STEPS, Standing, View};
use lb_telemetry::metrics::{BackendSheet, PerWorker};

use crate::daemon::Daemon;
use crate::discovery::describe;

/// The state of everything at this moment.
pub(crate) fn of(daemon: &Daemon) -> Status {
    let now = lb_net::clock::now();
    let view = Arc::clone(&daemon.runtime.view());
    let history = daemon.history().clone();
    let pools = Pools::look(daemon, now);
    Status {
        version: env!("CARGO_PKG_VERSION").into(),
        pid: std::process::id(),
        started_at: history.started_at,
        uptime_seconds: now.saturating_duration_since(daemon.started).as_secs(),
        generation: view.snapshot.generation,
        epoch: view.epoch,
        config_file: daemon.source().map_or_else(|| "none".into(), |path| path.display().to_string()),
        loaded_at: history.loaded_at,
        last_reload: history.last_reload,
        state: history.readiness,
        workers: u32::try_from(daemon.descriptors.workers).unwrap_or(u32::MAX),
        listeners: listeners(daemon, &view),
        pools: view.pools().map(|pool| pools.pool(pool)).collect(),
        overrides: Overrides {
            persisted: history.overrides_problem.is_none(),
            problem: history.overrides_problem,
            overrides: pools.overrides.iter().map(|(target, set)| override_of(&view, target, *set)).collect(),
        },
        discovery: discovery(daemon, &view, now),
    }
}

fn override_of(view: &View, target: &OverrideTarget, set: lb_runtime::Override) -> OverrideOf {
    let lb_runtime::Override { drain, weight } = set;
    let first = drain.map(|drain| drain.at).into_iter().chain(weight.map(|weight| weight.at)).min();
    OverrideOf {
        pool: target.pool.to_string(),
        backend: target.backend.as_ref().map(ToString::to_string),
        drain: drain.map(|drain| drain.value == Drain::On),
        weight: weight.map(|weight| weight.value.0),
        set_at: first.unwrap_or(0),
        exists: view.has(target),
    }
}

fn listeners(daemon: &Daemon, view: &View) -> Vec<Listener> {
    let held = daemon.listeners.held();
    let config = &view.snapshot.config;
    let listener = |listener: &lb_model::Listener| {
        let held = held.get(&listener.name)?;
        let sheets = || held.metrics.iter();
        Some(Listener {
            name: listener.name.to_string(),
            bind: listener.bind.iter().map(Bind::to_string).collect(),
            protocol: match listener.protocol {
                lb_model::Protocol::Tcp => "tcp".into(),
            },
            pool: config.pool(listener.pool).map(|pool| pool.name.to_string()).unwrap_or_default(),
            datapath: "splice".into(),
            datapath_reason: None,
            connections: sheets().map(|sheet| sheet.active()).sum(),
            max_connections: listener.max_connections.map(|max| u64::from(max.get())),
            connections_total: sheets().map(|sheet| sheet.connections.get()).sum(),
            bytes_in: sheets().map(|sheet| sheet.bytes_in.get()).sum(),
            bytes_out: sheets().map(|sheet| sheet.bytes_out.get()).sum(),
        })
    };
    config.listeners.iter().filter_map(listener).collect()
}

fn discovery(daemon: &Daemon, view: &View, now: Instant) -> Vec<Discovery> {
    let known: HashMap<_, _> =
        daemon.resolver.snapshot().into_iter().map(|status| (status.wanted.clone(), status)).collect();
    let pools = view.snapshot.config.pools.iter();
    let of_pool = |pool: &lb_model::Pool| -> Vec<Discovery> {
        let wanted = |discovery: &lb_model::Discovery| Wanted {
            query: discovery.query.clone(),
            settings: pool.discovery,
        };
        let each = pool.discover.iter().filter_map(|discovery| {
            let status = known.get(&wanted(discovery))?;
            Some(Discovery {
                pool: pool.name.to_string(),
                query: discovery.query.to_string(),
                answers: u32::try_from(status.endpoints).unwrap_or(u32::MAX),
                state: describe(status, now),
            })
        });
        each.collect()
    };
    pools.flat_map(of_pool).collect()
}

/// What has to be known to tell how pools are.
struct Pools {
    now: Instant,
    overrides: lb_runtime::Overrides,
    checked: HashMap<TargetKey, Checked>,
    /// The names by which backends without an entry of their own were found.
    discovered: HashMap<(PoolName, BackendAddress), String>,
    retired: Vec<Arc<lb_runtime::Backend>>,
}

impl Pools {
    fn look(daemon: &Daemon, now: Instant) -> Self {
        let checked = daemon.scheduler.snapshot().into_iter().map(|status| (status.target.clone(), status));
        let config = Arc::clone(&daemon.runtime.view().snapshot);
        let names = config.config.pools.iter().flat_map(|pool| pool.discover.iter().map(move |d| (pool, d)));
        let discovered = names.flat_map(|(pool, discovery)| {
            let wanted = Wanted { query: discovery.query.clone(), settings: pool.discovery };
            let endpoints = daemon.resolver.answer(&wanted).unwrap_or_default();
            let query = discovery.query.to_string();
            let own = |address| pool.backends.iter().any(|backend| backend.address == address);
            let found = endpoints.iter().map(|endpoint| endpoint.address()).filter(|&address| !own(address));
            found.map(|address| ((pool.name.clone(), address), query.clone())).collect::<Vec<_>>()
        });
        Self {
            now,
            overrides: daemon.runtime.overrides(),
            checked: checked.collect(),
            discovered: discovered.collect(),
            retired: daemon.runtime.retired(),
        }
    }

    fn pool(&self, pool: &PoolView) -> Pool {
        Pool {
            name: pool.settings.name.to_string(),
            balance: pool.settings.balance.label().into(),
            panic: pool.is_panic(),
            queued: pool.queued(),
            backends: pool
                .backend_views()
                .map(|backend| self.backend(pool, backend))
                .chain(self.retired.iter().filter(|b| b.pool == pool.settings.name).map(|b| self.retired(b)))
                .collect(),
        }
    }

    /// A backend that the configuration has no more.
    fn retired(&self, backend: &lb_runtime::Backend) -> Backend {
        let state = &backend.state;
        let sum = |count: fn(&BackendSheet) -> u64| sum(&state.metrics, count);
        Backend {
            name: backend.name.to_string(),
            address: backend.address.to_string(),
            discovered_by: None,
            state: BackendState::Draining,
            since_seconds: None,
            reason: Some("removed; its connections go on".into()),
            health: Health {
                status: HealthStatus::Unchecked,
                kind: None,
                last: None,
                latency_ms: None,
                next_in_ms: None,
            },
            weight: 0,
            configured_weight: 0,
            r#override: None,
            tier: 0,
            zone: None,
            connections: state.in_flight().into(),
            max_connections: None,
            connections_total: sum(|sheet| sheet.connections.get()),
            connect_failures_total: sum(|sheet| sheet.connect_failures.get() + sheet.connect_timeouts.get()),
            bytes_in: sum(|sheet| sheet.bytes_in.get()),
            bytes_out: sum(|sheet| sheet.bytes_out.get()),
            response_time_ms: None,
        }
    }

    fn backend(&self, pool: &PoolView, view: BackendView<'_>) -> Backend {
        let BackendView { backend, settings, standing, share: _ } = view;
        let set = self.overrides.effective(&backend.pool, &backend.name);
        let weight = set.weight.map_or(settings.weight, |set| set.value);
        let state = &backend.state;
        let sum = |count: fn(&BackendSheet) -> u64| sum(&state.metrics, count);
        let key = TargetKey { pool: backend.pool.clone(), backend: backend.name.clone() };
        let checked = self.checked.get(&key);
        Backend {
            name: backend.name.to_string(),
            address: backend.address.to_string(),
            discovered_by: self.discovered.get(&(backend.pool.clone(), backend.address)).cloned(),
            state: backend_state(standing),
            since_seconds: state.standing_since().map(|since| self.since(since).as_secs()),
            reason: self.reason(pool, view, checked),
            health: self.health(settings, checked),
            weight: pool.started_weight(backend, weight, self.now).0,
            configured_weight: settings.weight.0,
            r#override: (set.drain.is_some() || set.weight.is_some()).then(|| Override {
                drain: set.drain.is_some(),
                weight: set.weight.map(|set| {
                    let Weight(weight) = set.value;
                    weight
                }),
            }),
            tier: settings.tier,
            zone: settings.zone.as_ref().map(ToString::to_string),
            connections: state.in_flight().into(),
            max_connections: state.limit().map(Into::into),
            connections_total: sum(|sheet| sheet.connections.get()),
            connect_failures_total: sum(|sheet| sheet.connect_failures.get() + sheet.connect_timeouts.get()),
            bytes_in: sum(|sheet| sheet.bytes_in.get()),
            bytes_out: sum(|sheet| sheet.bytes_out.get()),
            response_time_ms: state.response_time(self.now).map(millis),
        }
    }

    fn reason(&self, pool: &PoolView, view: BackendView<'_>, checked: Option<&Checked>) -> Option<String> {
        match view.standing {
            Standing::Unhealthy => checked?.reason.as_ref().map(ToString::to_string),
            Standing::BackingOff => {
                let (fault, until) = view.backend.state.back_off(self.now)?;
                let left = until.map(|until| until.saturating_duration_since(self.now).as_secs_f64());
                Some(
                    left.map_or_else(
                        || fault.to_string(),
                        |left| format!("{fault}; tried again in {left:.1} s"),
                    ),
                )
            }
            Standing::Draining => {
                let set = self.overrides.effective(&view.backend.pool, &view.backend.name).drain?;
                Some(format!("drained by hand {} ago", ago(crate::clock::unix_now().saturating_sub(set.at))))
            }
            Standing::Active | Standing::Standby => {
                let step = pool.slow_start_step(view.backend, self.now)?;
                Some(format!("slow start: step {step} of {SLOW_START_STEPS}"))
            }
            Standing::Disabled => {
                let set = self.overrides.effective(&view.backend.pool, &view.backend.name).weight;
                Some(if set.is_some() { "weight 0, set by hand" } else { "weight 0" }.into())
            }
        }
    }

    fn health(&self, settings: &lb_model::Backend, checked: Option<&Checked>) -> Health {
        let kind = settings.health_check.as_ref().map(|check| check.probe.kind().to_owned());
        let Some(checked) = checked.filter(|_| kind.is_some()) else {
            return Health {
                status: HealthStatus::Unchecked,
                kind,
                last: None,
                latency_ms: None,
                next_in_ms: None,
            };
        };
        let last = checked.last.as_ref().map(|last| match &last.result {
            Ok(_) => "ok".to_owned(),
            Err(error) => error.to_string(),
        });
        let next = checked.next.map(|next| next.saturating_duration_since(self.now).as_millis());
        Health {
            status: match checked.health {
                lb_health::Health::Unknown => HealthStatus::Unknown,
                lb_health::Health::Healthy => HealthStatus::Healthy,
                lb_health::Health::Unhealthy => HealthStatus::Unhealthy,
            },
            kind,
            last,
            latency_ms: last_latency(checked).map(millis),
            next_in_ms: next.and_then(|millis| u64::try_from(millis).ok()),
        }
    }

    fn since(&self, then: Instant) -> Duration {
        self.now.saturating_duration_since(then)
    }
}

/// How long the last check took, if it was a good one.
pub(crate) fn last_latency(checked: &Checked) -> Option<Duration> {
    checked.last.as_ref()?.result.as_ref().ok().copied().flatten()
}

fn sum(sheets: &PerWorker<BackendSheet>, count: impl Fn(&BackendSheet) -> u64) -> u64 {
    sheets.iter().map(count).sum()
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

fn backend_state(standing: Standing) -> BackendState {
    match standing {
        Standing::Active => BackendState::Active,
        Standing::Standby => BackendState::Standby,
        Standing::Draining => BackendState::Draining,
        Standing::Disabled => BackendState::Disabled,
        Standing::Unhealthy => BackendState::Unhealthy,
        Standing::BackingOff => BackendState::BackingOff,
    }
}
