//! The daemon's life: bind, start the workers, be ready, follow what happens, drain.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::pin::pin;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::Context;
use lb_admin::{Readiness, Server};
use lb_config::Loaded;
use lb_discovery::Resolver;
use lb_health::Scheduler;
use lb_model::{Config, Workers};
use lb_net::{FdBudget, Limit, WorkerHandle, WorkerObserver};
use lb_runtime::{Discovered, Runtime};
use lb_telemetry::Logging;
use lb_telemetry::metrics::{PerWorker, WorkerSheet};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

use crate::clock::unix_now;
use crate::daemon::{Daemon, Descriptors, History};
use crate::discovery::LeftOut;
use crate::listeners::{self, Listeners};
use crate::overrides_file::OverridesFile;
use crate::{discovery, health, service_manager, watch};

/// A running daemon. Dropping it cuts every connection.
pub(crate) struct App {
    daemon: Arc<Daemon>,
    admin: Server,
    workers: Vec<WorkerHandle>,
    signals: Signals,
}

/// What an [`App`] is started with.
pub(crate) struct Start {
    pub(crate) loaded: Loaded,
    /// The file to reload; `None` if the configuration is none.
    pub(crate) source: Option<PathBuf>,
    pub(crate) logging: Logging,
}

impl App {
    /// Starts everything that the configuration asks for. Nothing is accepted unless everything could be bound.
    pub(crate) async fn start(Start { loaded, source, logging }: Start) -> anyhow::Result<Self> {
        let Loaded { config, warnings, directories } = loaded;
        let signals = Signals::install().context("cannot handle signals")?;
        let limit =
            lb_net::raise_fd_limit().context("cannot raise the limit of open files to the hard limit")?;
        let count = match config.global.workers {
            Workers::Auto => lb_net::auto_workers(),
            Workers::Count(count) => usize::from(count.get()),
        };
        let overrides_file = OverridesFile::locate(&config.global);
        let overrides = overrides_file.as_ref().map(OverridesFile::read).transpose()?.unwrap_or_default();
        let overrides_problem =
            overrides_file.is_none().then(|| "set `state_dir` in [global] to keep it".to_owned());
        let resolver = Resolver::default();
        let (discovered, left_out) = first_names(&resolver, &config).await;
        left_out.iter().for_each(LeftOut::warn);

        let sockets = listeners::descriptors(&config);
        let budget = FdBudget::new(limit, count, sockets);
        let sheets = Arc::new(PerWorker::<WorkerSheet>::new(count));
        let workers = (0..count).map(|index| {
            let observer = Observer { sheets: Arc::clone(&sheets), index };
            WorkerHandle::start(index, budget.pipes_per_worker, Arc::new(observer))
        });
        let workers = workers.collect::<Result<Vec<_>, _>>().context("cannot start a worker")?;
        let commands: Vec<_> = workers.iter().map(|worker| worker.commands().clone()).collect();
        let process_limit = Limit::new(None);
        let listeners = Listeners::new(commands, process_limit.clone());
        let admin = Server::bind(&config.admin, std::env::var_os("RUNTIME_DIRECTORY").as_deref())?;
        // Last of all that can fail: from here on clients are in the kernel's queues.
        let prepared = listeners.prepare(&config)?;

        let now = lb_net::clock::now();
        let runtime = Arc::new(Runtime::new(config, discovered, overrides, count, now));
        let unix_now = unix_now();
        let daemon = Arc::new(Daemon {
            runtime,
            scheduler: Scheduler::new(budget.probes as usize),
            resolver,
            listeners,
            workers: sheets,
            logging,
            overrides_file,
            descriptors: Descriptors {
                limit,
                workers: count,
                pipes_per_worker: budget.pipes_per_worker,
                process_limit,
            },
            source,
            started: now,
            history: Mutex::new(History {
                readiness: Readiness::Starting,
                started_at: unix_now,
                loaded_at: unix_now,
                directories,
                warnings: warnings.len() as u64,
                reloads_applied: 0,
                reloads_refused: 0,
                last_reload: None,
                refused: None,
                left_out,
                overrides_problem,
            }),
            changing: tokio::sync::Mutex::default(),
            resolved: Notify::new(),
            reloaded: Notify::new(),
        });
        daemon.descriptors.share_out(&daemon.runtime.view().snapshot.config.global, sockets);
        health::retarget(&daemon.scheduler, &daemon.runtime);
        let snapshot = Arc::clone(&daemon.runtime.view().snapshot);
        daemon.listeners.commit(prepared, &daemon.runtime, &snapshot.config, || {}).await;
        Ok(Self { daemon, admin, workers, signals })
    }

    /// Serves until SIGTERM or SIGINT, then drains. A second signal, or the drain deadline, cuts what is left.
    pub(crate) async fn run_until_signalled(self) -> anyhow::Result<ExitCode> {
        let Self { daemon, admin, mut workers, mut signals } = self;
        let ended = Notify::new();
        let mut background = pin!(background(&daemon, admin, ended.notified()));
        let listeners = daemon.runtime.view().snapshot.config.listeners.len();
        daemon.history().readiness = Readiness::Ready;
        service_manager::ready();
        tracing::info!(version = env!("CARGO_PKG_VERSION"), workers = workers.len(), listeners, "ready");
        tokio::select! {
            signal = signals.end(&daemon) => tracing::info!(signal, "draining"),
            () = &mut background => {}
        }
        daemon.history().readiness = Readiness::Draining;
        service_manager::stopping();
        let deadline = daemon.runtime.view().snapshot.config.global.drain_timeout;
        let code = tokio::select! {
            () = drain(&mut workers) => {
                tracing::info!("drained");
                ExitCode::SUCCESS
            }
            () = tokio::time::sleep(deadline) => {
                tracing::warn!(?deadline, "the drain deadline has passed: cutting the connections that are left");
                ExitCode::SUCCESS
            }
            signal = signals.end(&daemon) => {
                tracing::warn!(signal, "second signal: cutting the connections that are left");
                ExitCode::FAILURE
            }
            () = &mut background => ExitCode::SUCCESS,
        };
        // The admin API answers to the last, and then takes its socket away.
        ended.notify_one();
        let _ = tokio::time::timeout(Duration::from_secs(1), background).await;
        Ok(code)
    }

    /// Keeps everything up to date, for ever. For those who run an [`App`] without signals.
    pub(crate) async fn follow(self) {
        let never = std::future::pending();
        background(&self.daemon, self.admin, never).await;
    }
}

/// Everything that goes on beside the workers. Ends after `end`, once the admin API has.
async fn background(daemon: &Arc<Daemon>, admin: Server, end: impl Future<Output = ()>) {
    let follow = async {
        tokio::join!(
            daemon.runtime.maintain(),
            daemon.scheduler.run(|event| health::on_event(&daemon.runtime, &event)),
            daemon.resolver.run(|_| daemon.resolved.notify_one()),
            daemon.follow_names(),
            watch::watch(daemon),
            service_manager::watchdog(daemon.listeners.workers()),
        )
    };
    tokio::select! {
        _ = follow => {}
        () = admin.serve(Arc::clone(daemon), end) => {}
    }
}

/// The backends that names have at the start, as far as they can be had in a moment.
async fn first_names(resolver: &Resolver, config: &Config) -> (Discovered, BTreeSet<LeftOut>) {
    /// Then it starts without: better some backends now than all of them never.
    const PATIENCE: Duration = Duration::from_secs(5);

    let wanted = discovery::wanted(config);
    if !wanted.is_empty() {
        resolver.set_wanted(wanted, &config.global.nameservers);
        tokio::select! {
            () = resolver.run(|_| {}) => {}
            () = resolver.first_answers(PATIENCE) => {}
        }
    }
    discovery::discovered(config, resolver)
}

async fn drain(workers: &mut [WorkerHandle]) {
    for worker in &*workers {
        // A worker that is gone has drained.
        let _ = worker.commands().drain().await;
    }
    for worker in workers {
        worker.drained().await;
    }
}

/// Counts what happens on a worker.
struct Observer {
    sheets: Arc<PerWorker<WorkerSheet>>,
    index: usize,
}

impl WorkerObserver for Observer {
    fn accepted(&self) {
        self.sheets.of(self.index).connections.add(1);
    }

    fn loop_lag(&self, lag: Duration) {
        self.sheets.of(self.index).loop_lag.observe(lag);
    }

    fn pipes(&self, in_use: usize) {
        self.sheets.of(self.index).pipes.set(in_use as u64);
    }

    fn pipe_refused(&self) {
        self.sheets.of(self.index).pipes_refused.add(1);
    }
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

    /// Waits for a signal that asks for the end, and returns its name. Reloads at those that ask for that.
    async fn end(&mut self, daemon: &Daemon) -> &'static str {
        let Self { terminate, interrupt, hangup } = self;
        let reloads = async {
            loop {
                hangup.recv().await;
                // How it went is in the log.
                let _ = daemon.reload().await;
            }
        };
        tokio::select! {
            _ = terminate.recv() => "SIGTERM",
            _ = interrupt.recv() => "SIGINT",
            () = reloads => unreachable!("it never ends"),
        }
    }
}
