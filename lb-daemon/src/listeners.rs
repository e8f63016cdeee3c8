//! The listening sockets: which listener has which, and what a reload does to them.
//!
//! A socket, once made, is kept as long as any listener wants its address: what waits in its queue is never lost to a
//! reload, and a listener that is renamed takes its sockets along.

mod udp;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::Context;
use lb_gateway::Gateway;
use lb_l4::{Proxy, UdpProxy};
use lb_model::{AccessLogDestination, Bind, BindHost, Config, Listener, ListenerName, Protocol};
use lb_net::{
    AcceptWhen, Accepting, BindError, Changing, ClientPlaces, Limit, ListenOptions, MakeService,
    MakeUdpService, Presence, Receiving, WorkerCommands, WorkerGone,
};
use lb_runtime::Runtime;
use lb_telemetry::access_log::AccessLogs;
use lb_telemetry::metrics::{ListenerSheet, PerWorker};

/// All listeners that there are. One change at a time is its caller's business.
pub(crate) struct Listeners {
    workers: Vec<WorkerCommands>,
    process_limit: Limit,
    logs: Arc<AccessLogs>,
    held: Mutex<BTreeMap<ListenerName, Held>>,
    udp: Mutex<udp::Addresses>,
}

/// What a listener holds over all reloads.
#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) limit: Limit,
    pub(crate) metrics: Arc<PerWorker<ListenerSheet>>,
    clients: ClientPlaces,
    protocol: Protocol,
    addresses: BTreeSet<SocketAddr>,
    options: ListenOptions,
}

impl Held {
    fn proxy(&self, name: &ListenerName, runtime: &Arc<Runtime>) -> Proxy {
        Proxy::new(name.clone(), Arc::clone(runtime), Arc::clone(&self.metrics), self.clients.clone())
    }

    /// Who serves its connections; for sockets that were those of `former`, if it has taken them over.
    fn service(
        &self,
        name: &ListenerName,
        former: Option<&ListenerName>,
        runtime: &Arc<Runtime>,
        logs: &Arc<AccessLogs>,
    ) -> Arc<dyn MakeService> {
        if self.protocol != Protocol::Http {
            let proxy = self.proxy(name, runtime);
            return Arc::new(
                former.map_or_else(|| proxy.clone(), |former| proxy.clone().in_place_of(former)),
            );
        }
        let (metrics, clients) = (Arc::clone(&self.metrics), self.clients.clone());
        let gateway = Gateway::new(name.clone(), Arc::clone(runtime), metrics, clients, Arc::clone(logs));
        Arc::new(former.map_or_else(|| gateway.clone(), |former| gateway.clone().in_place_of(former)))
    }

    /// The addresses that it accepts connections at.
    fn tcp(&self) -> BTreeSet<SocketAddr> {
        match self.protocol {
            Protocol::Tcp | Protocol::Tls | Protocol::Http => self.addresses.clone(),
            Protocol::Udp => BTreeSet::new(),
        }
    }

    /// The addresses that it receives datagrams at.
    fn udp(&self) -> BTreeSet<SocketAddr> {
        match self.protocol {
            Protocol::Tcp | Protocol::Tls | Protocol::Http => BTreeSet::new(),
            Protocol::Udp => self.addresses.clone(),
        }
    }
}

/// Everything that could fail of a change of the listeners has been done.
pub(crate) struct Prepared {
    /// The addresses of each listener.
    wanted: BTreeMap<ListenerName, BTreeSet<SocketAddr>>,
    /// New sockets of each listener: their addresses, and a set for each worker.
    bound: BTreeMap<ListenerName, Vec<Vec<TcpListener>>>,
    udp: udp::Bound,
}

impl Listeners {
    pub(crate) fn new(workers: Vec<WorkerCommands>, process_limit: Limit) -> Self {
        let logs = Arc::default();
        Self { workers, process_limit, logs, held: Mutex::default(), udp: Mutex::default() }
    }

    /// The access logs of those for HTTP.
    pub(crate) fn access_logs(&self) -> &AccessLogs {
        &self.logs
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
        let ours: Vec<_> = self.held().values().flat_map(Held::tcp).collect();
        let wanted: BTreeMap<_, _> =
            config.listeners.iter().map(|l| (l.name.clone(), addresses(l))).collect();
        let of_tcp = |listener: &&Listener| listener.protocol != Protocol::Udp;
        let new = |listener: &Listener| -> Vec<SocketAddr> {
            let wanted = wanted.get(&listener.name).into_iter().flatten();
            wanted.filter(|address| !ours.contains(address)).copied().collect()
        };
        // All before any is bound: a wildcard that is bound would make a single address on its port look taken.
        for listener in config.listeners.iter().filter(of_tcp) {
            ensure_free(listener, &new(listener), |address| lb_net::ensure_free(address, &ours))?;
        }
        let mut bound = BTreeMap::new();
        for listener in config.listeners.iter().filter(of_tcp) {
            let sockets = lb_net::bind_all(&new(listener), options(listener), self.workers.len());
            bound.insert(listener.name.clone(), sockets.with_context(|| context(listener))?);
        }
        let udp = self.udp_addresses().prepare(config, self.workers.len())?;
        // Opened anew in any case: who rotates logs asks for a reload.
        self.logs.open(access_logs(config))?;
        Ok(Prepared { wanted, bound, udp })
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
        self.give_up_tcp(&before, &after, runtime).await;
        let unwanted = self.udp_addresses().hand_over(&after, |former, name, held| {
            (held.proxy(name, runtime).in_place_of(former), self.limits(held))
        });
        for worker in self.workers.iter().filter(|_| !unwanted.is_empty()) {
            told(worker.close_udp(unwanted.clone()).await);
        }
        let applied = apply();
        for worker in &self.workers {
            told(worker.refresh_udp().await);
        }
        for listener in &config.listeners {
            let Some(held) = after.get(&listener.name) else { continue };
            held.limit.resize(listener.max_connections.map(Into::into));
            let sockets = prepared.bound.remove(&listener.name).unwrap_or_default();
            self.accept(&listener.name, held, sockets, runtime).await;
            self.receive(&listener.name, held, prepared.udp.take(&listener.name), runtime).await;
            let same = |known: &Held| (known.protocol, &known.addresses) == (held.protocol, &held.addresses);
            if !before.get(&listener.name).is_some_and(same) {
                let bind = listener.bind.iter().map(Bind::to_string).collect::<Vec<_>>().join(" ");
                let protocol = listener.protocol.label();
                let datapath = datapath(listener.protocol);
                tracing::info!(listener = %listener.name, bind, protocol, datapath, "listening");
            }
        }
        for name in before.keys().filter(|name| !after.contains_key(*name)) {
            tracing::info!(listener = %name, "no longer listening; its connections go on");
        }
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = after;
        self.logs.retain(access_logs(config));
        applied
    }

    fn udp_addresses(&self) -> MutexGuard<'_, udp::Addresses> {
        self.udp.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn limits(&self, held: &Held) -> [Limit; 2] {
        [held.limit.clone(), self.process_limit.clone()]
    }

    /// Has sockets that change hands accept for their new listener, and closes those that nobody wants.
    async fn give_up_tcp(
        &self,
        before: &BTreeMap<ListenerName, Held>,
        after: &BTreeMap<ListenerName, Held>,
        runtime: &Arc<Runtime>,
    ) {
        let wanted: BTreeSet<_> = after.values().flat_map(Held::tcp).collect();
        for (name, held) in after {
            for (former, known) in before {
                let addresses = handed_over((former, known), (name, held), &wanted);
                if !addresses.is_empty() {
                    self.hand_over(addresses, former, (name, held), runtime).await;
                }
            }
        }
        let unwanted = before.values().flat_map(Held::tcp).filter(|address| !wanted.contains(address));
        let unwanted: Vec<_> = unwanted.collect();
        for worker in self.workers.iter().filter(|_| !unwanted.is_empty()) {
            told(worker.close(unwanted.clone()).await);
        }
    }

    fn hold(&self, listener: &Listener, prepared: &Prepared, known: Option<&Held>) -> Held {
        let (limit, metrics, clients) = match known {
            Some(held) => (held.limit.clone(), Arc::clone(&held.metrics), held.clients.clone()),
            None => (
                Limit::new(listener.max_connections.map(Into::into)),
                Arc::new(PerWorker::new(self.workers.len())),
                ClientPlaces::default(),
            ),
        };
        let addresses = prepared.wanted.get(&listener.name).cloned().unwrap_or_default();
        Held { limit, metrics, clients, protocol: listener.protocol, addresses, options: options(listener) }
    }

    /// Has sockets that were `former`'s go on as those of another listener, or of the same in another way.
    async fn hand_over(
        &self,
        addresses: Vec<SocketAddr>,
        former: &ListenerName,
        (name, held): (&ListenerName, &Held),
        runtime: &Arc<Runtime>,
    ) {
        let service = held.service(name, Some(former), runtime, &self.logs);
        for worker in &self.workers {
            let changing = Changing {
                listener: name.to_string(),
                addresses: addresses.clone(),
                limits: self.limits(held),
                service: Arc::clone(&service),
                options: held.options,
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
        let service = held.service(name, None, runtime, &self.logs);
        for (worker, sockets) in self.workers.iter().zip(sockets).filter(|(_, sockets)| !sockets.is_empty()) {
            let accepting = Accepting {
                listener: name.to_string(),
                sockets,
                limits: self.limits(held),
                service: Arc::clone(&service),
            };
            told(worker.accept(accepting).await);
        }
    }
    /// Receives datagrams at new addresses of a listener.
    async fn receive(
        &self,
        name: &ListenerName,
        held: &Held,
        sockets: BTreeMap<SocketAddr, Vec<UdpSocket>>,
        runtime: &Arc<Runtime>,
    ) {
        for (address, sockets) in sockets {
            let sockets: Vec<_> = sockets.into_iter().map(|socket| Arc::new(socket.into())).collect();
            let proxy = UdpProxy::new(held.proxy(name, runtime), self.limits(held), sockets.clone());
            let service: Arc<dyn MakeUdpService> = Arc::new(proxy.clone());
            self.udp_addresses().add(address, name.clone(), proxy);
            for (worker, socket) in self.workers.iter().zip(sockets) {
                let (listener, service) = (name.to_string(), Arc::clone(&service));
                told(worker.receive(Receiving { listener, sockets: vec![socket], service }).await);
            }
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
    let before = known.tcp();
    if former == name
        && known.protocol == held.protocol
        && known.options == held.options
        && before.is_subset(wanted)
    {
        return Vec::new();
    }
    before.intersection(&held.tcp()).copied().collect()
}

/// Where the listeners of `config` write their access logs.
fn access_logs(config: &Config) -> impl Iterator<Item = &AccessLogDestination> {
    let http = config.listeners.iter().filter_map(|listener| listener.http.as_ref());
    http.filter_map(|http| http.access_log.as_ref()).map(|log| &log.destination)
}

/// A worker that is gone has told the log why.
fn told(result: Result<(), WorkerGone>) {
    if let Err(error) = result {
        tracing::error!(%error, "a worker cannot be told what changes");
    }
}

/// Descriptors that listening takes on each worker: a socket for each address and, for datagrams, what watches the flows there.
pub(crate) fn descriptors(config: &Config) -> usize {
    let each = |listener: &Listener| match listener.protocol {
        Protocol::Tcp | Protocol::Tls | Protocol::Http => addresses(listener).len(),
        Protocol::Udp => 2 * addresses(listener).len(),
    };
    config.listeners.iter().map(each).sum()
}

/// Through what clients of a listener go: for those who look on.
pub(crate) fn datapath(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Tcp | Protocol::Tls | Protocol::Udp => "splice",
        Protocol::Http => "gateway",
    }
}

/// What connections inherit from the listener's sockets.
fn options(listener: &Listener) -> ListenOptions {
    let accept = match listener.protocol {
        Protocol::Http => AcceptWhen::DataHasCome,
        // A server may speak first; and a backend's time-outs are those of the client.
        Protocol::Tcp | Protocol::Tls | Protocol::Udp => AcceptWhen::Connected,
    };
    ListenOptions { keepalive: listener.keepalive, accept }
}

/// Every address that a listener stands for here. `*` means every address that there is: on a host without IPv6 that is
/// every IPv4 address.
pub(crate) fn addresses(listener: &Listener) -> BTreeSet<SocketAddr> {
    let has_ipv6 = lb_net::has_ipv6();
    let wanted =
        |bind: &Bind, address: &SocketAddr| address.is_ipv4() || has_ipv6 || bind.host != BindHost::Any;
    listener.bind.iter().flat_map(|bind| bind.socket_addrs().filter(move |a| wanted(bind, a))).collect()
}

/// Nobody else may listen there, as `ensure` finds out; an address that is not on this host may be meant, or mistyped.
fn ensure_free(
    listener: &Listener,
    addresses: &[SocketAddr],
    ensure: impl Fn(SocketAddr) -> Result<Presence, BindError>,
) -> anyhow::Result<()> {
    for &address in addresses {
        if ensure(address).with_context(|| context(listener))? == Presence::Absent {
            tracing::warn!(listener = %listener.name, %address, "this address is not on this host (yet): nobody can connect to it");
        }
    }
    Ok(())
}

fn context(listener: &Listener) -> String {
    format!("listener {:?}", listener.name.as_str())
}
