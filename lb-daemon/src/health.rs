//! Health checks: which targets a view has, and what a verdict does.

use std::net::SocketAddr;

use lb_health::{Event, Health as Verdict, Scheduler, Target, TargetKey};
use lb_runtime::{Health, Runtime, View};

/// Has everything checked that the current view wants checked, and the runtime told what is known of it.
pub(crate) fn retarget(scheduler: &Scheduler, runtime: &Runtime) {
    let targets = targets(&runtime.view());
    let keys: Vec<_> = targets.iter().map(|target| target.key.clone()).collect();
    scheduler.set_targets(targets);
    for key in keys {
        if let Some(verdict) = scheduler.health(&key) {
            runtime.health_changed(&key.pool, &key.backend, health(verdict));
        }
    }
}

/// Takes in a verdict.
pub(crate) fn on_event(runtime: &Runtime, event: &Event) {
    runtime.health_changed(&event.target.pool, &event.target.backend, health(event.to));
}

fn health(verdict: Verdict) -> Health {
    match verdict {
        Verdict::Unknown => Health::Unknown,
        Verdict::Healthy => Health::Healthy,
        Verdict::Unhealthy => Health::Unhealthy,
    }
}

fn targets(view: &View) -> Vec<Target> {
    let of_pool = |pool: &lb_runtime::PoolView| -> Vec<Target> {
        let target = |backend: &lb_model::Backend| {
            let check = backend.health_check.clone()?;
            // Without a port there is a check that needs none: the configuration was checked for that.
            let port = backend.address.port.or(check.port).unwrap_or(0);
            Some(Target {
                key: TargetKey { pool: pool.settings.name.clone(), backend: backend.name.clone() },
                address: SocketAddr::new(backend.address.ip, port),
                check,
            })
        };
        pool.settings.backends.iter().filter_map(target).collect()
    };
    view.pools().flat_map(|pool| of_pool(pool)).collect()
}
