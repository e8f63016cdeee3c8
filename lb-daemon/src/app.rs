//! The daemon's life: bind, start the workers, be ready, drain.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use lb_l4::TcpProxy;
use lb_model::{Bind, BindHost, Config, Global, Listener, MaxConnections, Workers};
use lb_net::{Accepting, FdBudget, Limit, ListenOptions, Presence, WorkerHandle};
use lb_runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// A running daemon. Dropping it cuts every connection.
pub(crate) struct App {
    runtime: Arc<Runtime>,
    workers: Vec<WorkerHandle>,
    signals: Signals,
}

impl App {
    /// Starts everything that `config` asks for. Nothing is accepted unless everything could be bound.
    pub(crate) async fn start(config: Config) -> anyhow::Result<Self> {
        let signals = Signals::install().context("cannot handle signals")?;
        let fds =
            lb_net::raise_fd_limit().context("cannot raise the limit of open files to the hard limit")?;
        let count = match config.global.workers {
            Workers::Auto => lb_net::auto_workers(),
            Workers::Count(count) => usize::from(count.get()),
        };
        let addresses: Vec<_> = config.listeners.iter().map(addresses).collect();
        for (listener, addresses) in config.listeners.iter().zip(&addresses) {
            ensure_free(listener, addresses)?;
        }
        let budget = FdBudget::new(fds, count, addresses.iter().map(Vec::len).sum());
        let process_limit = Limit::new(Some(max_connections(&config.global, budget, fds)));

        let runtime = Arc::new(Runtime::new(config, lb_net::clock::now()));
        let workers = (0..count).map(|index| WorkerHandle::start(index, budget.pipes_per_worker));
        let workers = workers.collect::<Result<Vec<_>, _>>().context("cannot start a worker")?;
        let snapshot = Arc::clone(&runtime.view().snapshot);
        // Last of all that can fail: from here on clients are in the kernel's queues.
        let bound = snapshot.config.listeners.iter().zip(&addresses).map(|(listener, addresses)| {
            let options = ListenOptions { keepalive: listener.keepalive };
            lb_net::bind_all(addresses, options, count).with_context(|| context(listener))
        });
        let bound = bound.collect::<anyhow::Result<Vec<_>>>()?;
        for (listener, bound) in snapshot.config.listeners.iter().zip(bound) {
            let pool = snapshot.config.pool(listener.pool).context("a listener's pool is not there")?;
            let service = Arc::new(TcpProxy::new(listener.clone(), pool.name.clone(), Arc::clone(&runtime)));
            let limit = Limit::new(listener.max_connections.map(Into::into));
            for (worker, sockets) in workers.iter().zip(bound) {
                let accepting = Accepting {
                    listener: listener.name.to_string(),
                    sockets,
                    limits: [limit.clone(), process_limit.clone()],
                    service: Arc::clone(&service) as _,
                };
                worker.accept(accepting).await;
            }
            let bind = listener.bind.iter().map(Bind::to_string).collect::<Vec<_>>().join(" ");
            tracing::info!(listener = %listener.name, bind, pool = %pool.name, datapath = "splice", "listening");
        }
        Ok(Self { runtime, workers, signals })
    }

    /// Serves until SIGTERM or SIGINT, then drains. A second signal, or the drain deadline, cuts what is left.
    pub(crate) async fn run_until_signalled(mut self) -> anyhow::Result<ExitCode> {
        let signals = &mut self.signals;
        let snapshot = Arc::clone(&self.runtime.view().snapshot);
        let (workers, listeners) = (self.workers.len(), snapshot.config.listeners.len());
        tracing::info!(version = env!("CARGO_PKG_VERSION"), workers, listeners, "ready");
        tokio::select! {
            signal = signals.end() => tracing::info!(signal, "draining"),
            () = self.runtime.maintain() => {}
        }
        let deadline = snapshot.config.global.drain_timeout;
        let drained = async {
            for worker in &self.workers {
                worker.drain().await;
            }
            for worker in &mut self.workers {
                worker.drained().await;
            }
        };
        tokio::select! {
            () = drained => tracing::info!("drained"),
            () = tokio::time::sleep(deadline) => {
                tracing::warn!(?deadline, "the drain deadline has passed: cutting the connections that are left");
            }
            signal = signals.end() => {
                tracing::warn!(signal, "second signal: cutting the connections that are left");
                return Ok(ExitCode::FAILURE);
            }
            () = self.runtime.maintain() => {}
        }
        Ok(ExitCode::SUCCESS)
    }

    /// Keeps views up to date, for ever. For those who run an [`App`] without signals.
    pub(crate) async fn maintain(&self) {
        self.runtime.maintain().await;
    }
}

/// Every address that a listener stands for here. `*` means every address that there is: on a host without IPv6 that is
/// every IPv4 address.
fn addresses(listener: &Listener) -> Vec<SocketAddr> {
    let has_ipv6 = lb_net::has_ipv6();
    let wanted =
        |bind: &Bind, address: &SocketAddr| address.is_ipv4() || has_ipv6 || bind.host != BindHost::Any;
    listener.bind.iter().flat_map(|bind| bind.socket_addrs().filter(move |a| wanted(bind, a))).collect()
}

/// Nobody else may listen there; an address that is not on this host may be meant, or mistyped.
fn ensure_free(listener: &Listener, addresses: &[SocketAddr]) -> anyhow::Result<()> {
    for &address in addresses {
        if lb_net::ensure_free(address).with_context(|| context(listener))? == Presence::Absent {
            tracing::warn!(listener = %listener.name, %address, "this address is not on this host (yet): nobody can connect to it");
        }
    }
    Ok(())
}

fn context(listener: &Listener) -> String {
    format!("listener {:?}", listener.name.as_str())
}

/// The process-wide connection limit. Never more than there are descriptors for: a client that is accepted without one
/// for its backend could only be reset, while in the backlog it can wait.
fn max_connections(global: &Global, budget: FdBudget, fds: u64) -> u32 {
    let MaxConnections::Count(wanted) = global.max_connections else { return budget.connections };
    let (wanted, possible) = (wanted.get(), budget.connections);
    if wanted > possible {
        tracing::warn!(
            wanted,
            possible,
            fds,
            "max_connections needs more open files than the limit allows: lowered"
        );
    }
    wanted.min(possible)
}

/// The signals that the daemon reacts to.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
}

impl Signals {
    fn install() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
        })
    }

    /// Waits for a signal that asks for the end, and returns its name.
    async fn end(&mut self) -> &'static str {
        loop {
            tokio::select! {
                _ = self.terminate.recv() => return "SIGTERM",
                _ = self.interrupt.recv() => return "SIGINT",
                // Its default would be to die, which whoever sends it for a reload does not expect.
                _ = self.hangup.recv() => tracing::warn!("SIGHUP: this version cannot reload, restart it instead"),
            }
        }
    }
}
