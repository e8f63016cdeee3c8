//! What everybody knows at one moment: what the status and the metrics are put together from.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Instant;

use lb_discovery::{Status as Resolved, Wanted};
use lb_health::{Status as Checked, TargetKey};
use lb_model::{ListenerName, PoolName, Weight};
use lb_runtime::{BackendView, Overrides, View};

use crate::daemon::{Daemon, History};
use crate::listeners::Held;

/// One moment.
pub(crate) struct Look {
    pub(crate) now: Instant,
    pub(crate) view: Arc<View>,
    pub(crate) history: History,
    pub(crate) overrides: Overrides,
    /// The names that backends are found by, in the order of the configuration, each with its pool.
    pub(crate) names: Vec<(PoolName, Resolved)>,
    held: BTreeMap<ListenerName, Held>,
    checked: HashMap<TargetKey, Checked>,
}

impl Look {
    /// Now.
    pub(crate) fn at(daemon: &Daemon) -> Self {
        let view = Arc::clone(&daemon.runtime.view());
        let checked = daemon.scheduler.snapshot().into_iter().map(|status| (status.target.clone(), status));
        let resolved: HashMap<_, _> =
            daemon.resolver.snapshot().into_iter().map(|status| (status.wanted.clone(), status)).collect();
        let pools = view.snapshot.config.pools.iter();
        let names = pools.flat_map(|pool| pool.discover.iter().map(move |discovery| (pool, discovery)));
        let names = names.filter_map(|(pool, discovery)| {
            let wanted = Wanted { query: discovery.query.clone(), settings: pool.discovery };
            Some((pool.name.clone(), resolved.get(&wanted)?.clone()))
        });
        Self {
            now: lb_net::clock::now(),
            history: daemon.history().clone(),
            overrides: daemon.runtime.overrides(),
            names: names.collect(),
            held: daemon.listeners.held(),
            checked: checked.collect(),
            view,
        }
    }

    /// The listeners, sorted by name, each with what it holds.
    pub(crate) fn listeners(&self) -> impl Iterator<Item = (&lb_model::Listener, &Held)> {
        let listeners = self.view.snapshot.config.listeners.iter();
        listeners.filter_map(|listener| Some((listener, self.held.get(&listener.name)?)))
    }

    /// What is known of a backend's health checks, if it has any.
    pub(crate) fn checked(&self, backend: BackendView<'_>) -> Option<&Checked> {
        backend.settings.health_check.as_ref()?;
        let (pool, backend) = (backend.backend.pool.clone(), backend.backend.name.clone());
        self.checked.get(&TargetKey { pool, backend })
    }

    /// The weight that holds: an override's, else the configured one.
    pub(crate) fn weight(&self, BackendView { backend, settings, .. }: BackendView<'_>) -> Weight {
        self.overrides.effective(&backend.pool, &backend.name).weight.map_or(settings.weight, |set| set.value)
    }
}
