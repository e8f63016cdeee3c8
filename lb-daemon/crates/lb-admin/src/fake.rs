//! A daemon without a data plane, for tests.

use std::sync::Mutex;

use tokio::sync::Notify;

use crate::{
    Backend, BackendState, Change, ChangeKind, Changed, Control, ControlError, Discovery, Health,
    HealthStatus, LastReload, Listener, Override, OverrideOf, Overrides, Plan, Pool, PoolChange, Readiness,
    Reloaded, Status, Target,
};

/// A daemon that changes nothing but what it says.
pub(crate) struct Fake {
    pub(crate) readiness: Mutex<Readiness>,
    /// What reloads say.
    pub(crate) reload: Result<Reloaded, ControlError>,
    /// A reload has begun.
    pub(crate) reloading: Notify,
    /// It may end; `None`: when it likes.
    may_end: Option<Notify>,
}

impl Default for Fake {
    fn default() -> Self {
        Self {
            readiness: Mutex::new(Readiness::Ready),
            reload: Ok(Reloaded { generation: 8, changed: true, plan: plan() }),
            reloading: Notify::new(),
            may_end: None,
        }
    }
}

impl Fake {
    /// One whose reloads wait until they may end.
    pub(crate) fn slow() -> Self {
        Self { may_end: Some(Notify::new()), ..Self::default() }
    }

    /// One whose reloads fail.
    pub(crate) fn failing(error: ControlError) -> Self {
        Self { reload: Err(error), ..Self::default() }
    }

    /// Lets a slow one's reload end: the one under way, else the next.
    pub(crate) fn let_reload_end(&self) {
        self.may_end.as_ref().unwrap().notify_one();
    }
}

impl Control for Fake {
    fn status(&self) -> Status {
        Status { state: self.readiness(), ..status() }
    }

    fn metrics(&self) -> String {
        "sluice_build_info{version=\"0.1.0\"} 1\n".into()
    }

    fn readiness(&self) -> Readiness {
        *self.readiness.lock().unwrap()
    }

    async fn drain(&self, target: Target) -> Result<Changed, ControlError> {
        change(target, |backend| backend.state = BackendState::Draining)
    }

    async fn undrain(&self, target: Target) -> Result<Changed, ControlError> {
        change(target, |backend| backend.state = BackendState::Active)
    }

    async fn set_weight(&self, target: Target, weight: Option<u16>) -> Result<Changed, ControlError> {
        change(target, |backend| backend.weight = weight.unwrap_or(backend.configured_weight))
    }

    async fn plan(&self) -> Result<Plan, ControlError> {
        Ok(plan())
    }

    async fn reload(&self) -> Result<Reloaded, ControlError> {
        self.reloading.notify_one();
        if let Some(may_end) = &self.may_end {
            may_end.notified().await;
        }
        self.reload.clone()
    }
}

fn change(target: Target, change: impl Fn(&mut Backend)) -> Result<Changed, ControlError> {
    let pool = status().pools.into_iter().find(|pool| pool.name == target.pool);
    let mut backends =
        pool.ok_or(ControlError::NotFound(format!("there is no pool {:?}", target.pool)))?.backends;
    backends.retain(|backend| target.backend.as_ref().is_none_or(|wanted| *wanted == backend.name));
    if backends.is_empty() {
        return Err(ControlError::NotFound("there is no such backend".into()));
    }
    backends.iter_mut().for_each(change);
    Ok(Changed {
        pool: target.pool,
        backends,
        persisted: false,
        problem: Some("there is no state_dir".into()),
    })
}

/// A status with something of everything.
pub(crate) fn status() -> Status {
    Status {
        version: "0.1.0".into(),
        pid: 4242,
        started_at: 1_800_000_000,
        uptime_seconds: 273_600,
        generation: 7,
        epoch: 42,
        config_file: "/etc/sluice/sluice.toml".into(),
        loaded_at: 1_800_266_000,
        last_reload: Some(LastReload {
            at: 1_800_273_480,
            ok: false,
            error: Some(
                "sluice.toml:12:8: listeners.web.pool: there is no pool \"wbe\"\n   |\n12 | pool".into(),
            ),
        }),
        state: Readiness::Ready,
        workers: 2,
        listeners: listeners(),
        pools: pools(),
        overrides: Overrides {
            persisted: false,
            problem: Some("there is no state_dir".into()),
            overrides: vec![
                OverrideOf { drain: Some(true), ..override_of("10.1.0.2:8080") },
                OverrideOf { drain: Some(true), exists: false, ..override_of("gone") },
                OverrideOf { weight: Some(5), ..override_of("web3") },
            ],
        },
        discovery: vec![Discovery {
            pool: "api".into(),
            query: "api.internal:8080".into(),
            answers: 1,
            state: "next in 25s".into(),
        }],
    }
}

/// One that sets nothing yet.
fn override_of(backend: &str) -> OverrideOf {
    OverrideOf {
        pool: "web".into(),
        backend: Some(backend.into()),
        drain: None,
        weight: None,
        set_at: 1_800_270_000,
        exists: true,
    }
}

fn listeners() -> Vec<Listener> {
    let web = Listener {
        name: "web".into(),
        bind: vec!["*:80".into(), "*:443".into()],
        protocol: "tcp".into(),
        pools: vec!["web".into()],
        datapath: "splice".into(),
        datapath_reason: None,
        connections: 12,
        max_connections: Some(1000),
        connections_total: 34_567,
        bytes_in: 1_234_567,
        bytes_out: 98_765_432_100,
    };
    let api = Listener {
        name: "api".into(),
        bind: vec!["10.0.0.1:8080-8090".into()],
        pools: vec!["api".into()],
        max_connections: None,
        datapath_reason: Some("no XDP here".into()),
        ..web.clone()
    };
    vec![api, web]
}

fn pools() -> Vec<Pool> {
    let web1 = backend("web1");
    let web2 = Backend {
        name: "web2".into(),
        address: "10.0.0.12:80".into(),
        state: BackendState::Unhealthy,
        health: Health {
            status: HealthStatus::Unhealthy,
            last: Some("connection refused by 10.0.0.12:80\u{1b}[31m".into()),
            latency_ms: Some(0.4),
            ..web1.health.clone()
        },
        connections: 0,
        connect_failures_total: 3,
        ..web1.clone()
    };
    let web3 = Backend {
        name: "web3".into(),
        address: "10.0.0.13:80".into(),
        weight: 5,
        r#override: Some(Override { drain: false, weight: Some(5) }),
        connections: 100,
        response_time_ms: None,
        ..web1.clone()
    };
    let web4 = Backend {
        name: "web4".into(),
        address: "10.0.0.14:80".into(),
        state: BackendState::Standby,
        reason: Some("tier 0 has capacity".into()),
        tier: 1,
        ..web1.clone()
    };
    let api = Backend {
        name: "10.1.0.1:8080".into(),
        address: "10.1.0.1:8080".into(),
        discovered_by: Some("api.internal".into()),
        state: BackendState::BackingOff,
        since_seconds: None,
        reason: Some("3 connects in a row failed".into()),
        health: Health {
            status: HealthStatus::Unchecked,
            kind: None,
            last: None,
            latency_ms: None,
            next_in_ms: None,
        },
        weight: 1,
        zone: None,
        max_connections: None,
        ..web1.clone()
    };
    let draining = Backend {
        name: "10.1.0.2:8080".into(),
        address: "10.1.0.2:8080".into(),
        state: BackendState::Draining,
        r#override: Some(Override { drain: true, weight: None }),
        reason: None,
        connections: 1,
        ..api.clone()
    };
    vec![
        Pool {
            name: "api".into(),
            balance: "least_connections".into(),
            panic: true,
            queued: 3,
            backends: vec![api, draining],
        },
        Pool {
            name: "web".into(),
            balance: "hash".into(),
            panic: false,
            queued: 0,
            backends: vec![web1, web2, web3, web4],
        },
    ]
}

fn backend(name: &str) -> Backend {
    Backend {
        name: name.into(),
        address: "10.0.0.11:80".into(),
        discovered_by: None,
        state: BackendState::Active,
        since_seconds: Some(7_230),
        reason: None,
        health: Health {
            status: HealthStatus::Healthy,
            kind: Some("http".into()),
            last: Some("200".into()),
            latency_ms: Some(2.13),
            next_in_ms: Some(1_500),
        },
        weight: 10,
        configured_weight: 10,
        r#override: None,
        tier: 0,
        zone: Some("a".into()),
        connections: 3,
        max_connections: Some(100),
        connections_total: 12_345,
        connect_failures_total: 0,
        bytes_in: 2_048,
        bytes_out: 7_654_321,
        response_time_ms: Some(12.5),
    }
}

/// A plan with something of everything.
pub(crate) fn plan() -> Plan {
    let change = |name: &str, kind, details: &[&str]| Change {
        name: name.into(),
        kind,
        details: details.iter().map(|&detail| detail.into()).collect(),
    };
    Plan {
        changed: true,
        listeners: vec![
            change("web", ChangeKind::Changed, &["pool web -> api", "idle_timeout 5m -> 10m"]),
            change("old", ChangeKind::Removed, &[]),
        ],
        pools: vec![PoolChange {
            name: "web".into(),
            kind: ChangeKind::Changed,
            details: vec!["balance hash -> random".into()],
            backends: vec![
                change("web1", ChangeKind::Changed, &["weight 10 -> 20"]),
                change("web5", ChangeKind::Added, &[]),
            ],
            moved_share: Some(0.125),
        }],
        global: vec!["drain_timeout 30s -> 1m".into()],
        needs_restart: vec!["workers 2 -> 4".into()],
    }
}
