//! Health checks: which targets a view has, and what a verdict does.

use std::net::SocketAddr;

use lb_health::{Event, Scheduler, Target, TargetKey};
use lb_model::SendProxy;
use lb_net::sniff::proxy_protocol;
use lb_runtime::{PoolView, Runtime, View};

/// Has everything checked that the current view wants checked, and the runtime told what is known of it.
pub(crate) fn retarget(scheduler: &Scheduler, runtime: &Runtime) {
    let targets = targets(&runtime.view());
    let keys: Vec<_> = targets.iter().map(|target| target.key.clone()).collect();
    scheduler.set_targets(targets);
    for key in keys {
        if let Some(health) = scheduler.health(&key) {
            runtime.health_changed(&key.pool, &key.backend, health);
        }
    }
}

/// Takes in a verdict.
pub(crate) fn on_event(runtime: &Runtime, event: &Event) {
    runtime.health_changed(&event.target.pool, &event.target.backend, event.to);
}

fn targets(view: &View) -> Vec<Target> {
    view.pools().flat_map(|pool| targets_of(pool)).collect()
}

fn targets_of(pool: &PoolView) -> impl Iterator<Item = Target> {
    pool.settings.backends.iter().filter_map(|backend| {
        let check = backend.health_check.clone()?;
        // A port of its own is another service, and others than the pool's clients ask there.
        let first = if check.port.is_none() { first_words(pool.settings.send_proxy) } else { b"" };
        // Without a port there is a check that needs none: the configuration was checked for that.
        let port = backend.address.port.or(check.port).unwrap_or(0);
        Some(Target {
            key: TargetKey { pool: pool.settings.name.clone(), backend: backend.name.clone() },
            address: SocketAddr::new(backend.address.ip, port),
            check,
            first,
        })
    })
}

/// What a backend that expects PROXY headers gets from a connection that is for no client.
fn first_words(send_proxy: Option<SendProxy>) -> &'static [u8] {
    match send_proxy {
        None => b"",
        Some(SendProxy::V1) => proxy_protocol::UNKNOWN,
        Some(SendProxy::V2(_)) => &proxy_protocol::LOCAL,
    }
}
