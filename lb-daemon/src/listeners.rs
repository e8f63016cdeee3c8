//! The listening sockets: which listener has which, and what a reload does to them.
//!
//! A socket, once made, is kept as long as any listener wants its address: what waits in its queue is never lost to a
//! reload, and a listener that is renamed takes its sockets along.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use lb_l4::TcpProxy;
use lb_model::{Bind, BindHost, Config, Listener, ListenerName};
use lb_net::{Accepting, Changing, Limit, ListenOptions, MakeService, Presence, WorkerCommands, WorkerGone};
use lb_runtime::Runtime;
use lb_telemetry::metrics::{ListenerSheet, PerWorker};

/// All listeners that there are. One change at a time is its caller's business.
pub(crate) struct Listeners {
    workers: Vec<WorkerCommands>,
    process_limit: Limit,
    held: Mutex<BTreeMap<ListenerName, Held>>,
}

/// What a listener holds over all reloads.
#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) limit: Limit,
    pub(crate) metrics: Arc<PerWorker<ListenerSheet>>,
    addresses: BTreeSet<SocketAddr>,
    keepalive: Option<Duration>,
}

/// Everything that could fail of a change of the listeners has been done.
pub(crate) struct Prepared {
    /// The addresses of each listener.
    wanted: BTreeMap<ListenerName, BTreeSet<SocketAddr>>,
    /// New sockets of each listener: their addresses, and a set for each worker.
    bound: BTreeMap<ListenerName, Vec<Vec<TcpListener>>>,
}

impl Prepared {
    /// Listening sockets that each worker will have.
    pub(crate) fn sockets(&self) -> usize {
        self.wanted.values().map(BTreeSet::len).sum()
    }
}

impl Listeners {
    pub(crate) fn new(workers: Vec<WorkerCommands>, process_limit: Limit) -> Self {
        Self { workers, process_limit, held: Mutex::default() }
    }

    pub(crate) fn workers(&self) -> &[WorkerCommands] {
        &self.workers
    }

    /// What every listener holds.
    pub(crate) fn held(&self) -> BTreeMap<ListenerName, Held> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Listens on what `config` adds, without accepting anything yet.
    pub(crate) fn prepare(&self, config: &Config) -> anyhow::Result<Prepared> {
        let ours = addresses_of(&self.held());
        let wanted: BTreeMap<_, _> =
            config.listeners.iter().map(|l| (l.name.clone(), addresses(l))).collect();
        let new = |listener: &Listener| -> Vec<SocketAddr> {
            let wanted = wanted.get(&listener.name).into_iter().flatten();
            wanted.filter(|address| !ours.contains(address)).copied().collect()
        };
        // All before any is bound: a wildcard that is bound would make a single address on its port look taken.
        for listener in &config.listeners {
            ensure_free(listener, &new(listener), &ours)?;
        }
        let mut bound = BTreeMap::new();
        for listener in &config.listeners {
            let options = ListenOptions { keepalive: listener.keepalive };
            let sockets = lb_net::bind_all(&new(listener), options, self.workers.len());
            bound.insert(listener.name.clone(), sockets.with_context(|| context(listener))?);
        }
        Ok(Prepared { wanted, bound })
    }

    /// Puts into effect what was prepared, `apply` in its middle: whoever accepts finds its listener in the view that holds
    /// before `apply` and in that which holds after it.
    pub(crate) async fn commit<T>(
        &self,
        mut prepared: Prepared,
        runtime: &Arc<Runtime>,
        config: &Config,
        apply: impl FnOnce() -> T,
    ) -> T {
        let before = self.held();
        let after: BTreeMap<_, _> = config
            .listeners
            .iter()
            .map(|listener| {
                (listener.name.clone(), self.hold(listener, &prepared, before.get(&listener.name)))
            })
            .collect();
        let wanted: BTreeSet<_> = after.values().flat_map(|held| &held.addresses).copied().collect();
        for (name, held) in &after {
            for (former, known) in &before {
                let addresses = handed_over((former, known), (name, held), &wanted);
                if !addresses.is_empty() {
                    self.hand_over(addresses, former, (name, held), runtime).await;
                }
            }
        }
        let unwanted: Vec<_> = addresses_of(&before).into_iter().filter(|a| !wanted.contains(a)).collect();
        for worker in self.workers.iter().filter(|_| !unwanted.is_empty()) {
            told(worker.close(unwanted.clone()).await);
        }
        let applied = apply();
        for listener in &config.listeners {
            let Some(held) = after.get(&listener.name) else { continue };
            held.limit.resize(listener.max_connections.map(Into::into));
            let sockets = prepared.bound.remove(&listener.name).unwrap_or_default();
            self.accept(&listener.name, held, sockets, runtime).await;
            if before.get(&listener.name).is_none_or(|known| known.addresses != held.addresses) {
                let bind = listener.bind.iter().map(Bind::to_string).collect::<Vec<_>>().join(" ");
                tracing::info!(listener = %listener.name, bind, datapath = "splice", "listening");
            }
        }
        for name in before.keys().filter(|name| !after.contains_key(*name)) {
            tracing::info!(listener = %name, "no longer listening; its connections go on");
        }
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = after;
        applied
    }

    fn hold(&self, listener: &Listener, prepared: &Prepared, known: Option<&Held>) -> Held {
        let (limit, metrics) = match known {
            Some(held) => (held.limit.clone(), Arc::clone(&held.metrics)),
            None => (
                Limit::new(listener.max_connections.map(Into::into)),
                Arc::new(PerWorker::new(self.workers.len())),
            ),
        };
        let addresses = prepared.wanted.get(&listener.name).cloned().unwrap_or_default();
        Held { limit, metrics, addresses, keepalive: listener.keepalive }
    }

    /// Has sockets that were `former`'s go on as those of another listener, or of the same in another way.
    async fn hand_over(
        &self,
        addresses: Vec<SocketAddr>,
        former: &ListenerName,
        (name, held): (&ListenerName, &Held),
        runtime: &Arc<Runtime>,
    ) {
        let metrics = Arc::clone(&held.metrics);
        let service: Arc<dyn MakeService> =
            Arc::new(TcpProxy::in_place_of(former, name.clone(), Arc::clone(runtime), metrics));
        for worker in &self.workers {
            let changing = Changing {
                listener: name.to_string(),
                addresses: addresses.clone(),
                limits: [held.limit.clone(), self.process_limit.clone()],
                service: Arc::clone(&service),
                keepalive: held.keepalive,
            };
            told(worker.change(changing).await);
        }
    }

    async fn accept(
        &self,
        name: &ListenerName,
        held: &Held,
        sockets: Vec<Vec<TcpListener>>,
        runtime: &Arc<Runtime>,
    ) {
        let metrics = Arc::clone(&held.metrics);
        let service: Arc<dyn MakeService> =
            Arc::new(TcpProxy::new(name.clone(), Arc::clone(runtime), metrics));
        for (worker, sockets) in self.workers.iter().zip(sockets).filter(|(_, sockets)| !sockets.is_empty()) {
            let accepting = Accepting {
                listener: name.to_string(),
                sockets,
                limits: [held.limit.clone(), self.process_limit.clone()],
                service: Arc::clone(&service),
            };
            told(worker.accept(accepting).await);
        }
    }
}

/// The addresses of `former` whose sockets `new` is to go on with, in another way than before.
///
/// Those of the same listener are among them if what accepted connections inherit is another, and if it gives up others:
/// a service whose sockets are closed serves what was left to them by the settings of that moment, so it must not be
/// one that goes on.
fn handed_over(
    (former, known): (&ListenerName, &Held),
    (name, held): (&ListenerName, &Held),
    wanted: &BTreeSet<SocketAddr>,
) -> Vec<SocketAddr> {
    if former == name && known.keepalive == held.keepalive && known.addresses.is_subset(wanted) {
        return Vec::new();
    }
    known.addresses.intersection(&held.addresses).copied().collect()
}

fn addresses_of(held: &BTreeMap<ListenerName, Held>) -> Vec<SocketAddr> {
    held.values().flat_map(|held| held.addresses.iter().copied()).collect()
}

/// A worker that is gone has told the log why.
fn told(result: Result<(), WorkerGone>) {
    if let Err(error) = result {
        tracing::error!(%error, "a worker cannot be told what changes");
    }
}

/// Every address that a listener stands for here. `*` means every address that there is: on a host without IPv6 that is
/// every IPv4 address.
pub(crate) fn addresses(listener: &Listener) -> BTreeSet<SocketAddr> {
    let has_ipv6 = lb_net::has_ipv6();
    let wanted =
        |bind: &Bind, address: &SocketAddr| address.is_ipv4() || has_ipv6 || bind.host != BindHost::Any;
    listener.bind.iter().flat_map(|bind| bind.socket_addrs().filter(move |a| wanted(bind, a))).collect()
}

/// Nobody else may listen there; an address that is not on this host may be meant, or mistyped.
fn ensure_free(listener: &Listener, addresses: &[SocketAddr], ours: &[SocketAddr]) -> anyhow::Result<()> {
    for &address in addresses {
        if lb_net::ensure_free(address, ours).with_context(|| context(listener))? == Presence::Absent {
            tracing::warn!(listener = %listener.name, %address, "this address is not on this host (yet): nobody can connect to it");
        }
    }
    Ok(())
}

fn context(listener: &Listener) -> String {
    format!("listener {:?}", listener.name.as_str())
}
