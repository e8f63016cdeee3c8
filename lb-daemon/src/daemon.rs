//! What runs, and what can be done to it: reload, overrides. Commands come from signals, the file watcher and the admin API.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use lb_admin::{ControlError, LastReload, Readiness};
use lb_config::Loaded;
use lb_discovery::Resolver;
use lb_health::Scheduler;
use lb_model::{Config, Global, MaxConnections};
use lb_net::{FdBudget, Limit};
use lb_runtime::{Discovered, OverrideChange, OverrideTarget, Plan, Runtime};
use lb_telemetry::Logging;
use lb_telemetry::metrics::{PerWorker, WorkerSheet};
use tokio::sync::Notify;

use crate::clock::unix_now;
use crate::discovery::LeftOut;
use crate::listeners::Listeners;
use crate::overrides_file::OverridesFile;
use crate::{discovery, health, listeners, service_manager};

/// A running daemon, as those see it who look at it or change it.
pub(crate) struct Daemon {
    pub(crate) runtime: Arc<Runtime>,
    pub(crate) scheduler: Scheduler,
    pub(crate) resolver: Resolver,
    pub(crate) listeners: Listeners,
    pub(crate) workers: Arc<PerWorker<WorkerSheet>>,
    pub(crate) logging: Logging,
    pub(crate) overrides_file: Option<OverridesFile>,
    pub(crate) descriptors: Descriptors,
    /// The file that a reload reads; `None` for a configuration that is no file.
    pub(crate) source: Option<PathBuf>,
    pub(crate) started: Instant,
    pub(crate) history: Mutex<History>,
    /// Whoever changes the configuration in force, or what its names resolve to, holds this.
    pub(crate) changing: tokio::sync::Mutex<()>,
    /// Some name has another answer.
    pub(crate) resolved: Notify,
    /// A reload has been applied.
    pub(crate) reloaded: Notify,
}

/// What has happened so far.
#[derive(Debug, Clone)]
pub(crate) struct History {
    pub(crate) readiness: Readiness,
    pub(crate) started_at: u64,
    pub(crate) loaded_at: u64,
    /// Where the files of the configuration in force are, and may come to be.
    pub(crate) directories: BTreeSet<PathBuf>,
    pub(crate) warnings: u64,
    pub(crate) reloads_applied: u64,
    pub(crate) reloads_refused: u64,
    pub(crate) last_reload: Option<LastReload>,
    /// The configuration that could be read, but not be put into effect, if that was what the last reload tried.
    pub(crate) refused: Option<Config>,
    /// What was told to be left out of what names stand for.
    pub(crate) left_out: BTreeSet<LeftOut>,
    /// Why the overrides in force are not in their file, if they are not.
    pub(crate) overrides_problem: Option<String>,
}

/// How descriptors are shared out: fixed at the start, but for how many listening sockets there are.
pub(crate) struct Descriptors {
    pub(crate) limit: u64,
    pub(crate) workers: usize,
    pub(crate) pipes_per_worker: u32,
    pub(crate) process_limit: Limit,
}

/// What a reload has done.
pub(crate) struct Reloaded {
    pub(crate) generation: u64,
    pub(crate) plan: Plan,
}

impl Daemon {
    /// How long a reload waits for names that are new; it goes on without those that are not answered by then.
    const PATIENCE: Duration = Duration::from_secs(3);

    /// Puts the files' configuration into effect: all of it or, if anything is wrong with it, nothing.
    pub(crate) async fn reload(&self) -> Result<Reloaded, ControlError> {
        let _alone = self.changing.lock().await;
        if self.history().readiness == Readiness::Draining {
            return Err(ControlError::Invalid(
                "Sluice is draining, to end: nothing is reloaded any more".into(),
            ));
        }
        service_manager::reloading();
        let result = self.try_reload().await;
        service_manager::ready();
        let error = result.as_ref().err().map(ToString::to_string);
        let mut history = self.history();
        match &result {
            Ok(reloaded) => {
                history.reloads_applied += 1;
                log_reload(reloaded);
            }
            Err(error) => {
                history.reloads_refused += 1;
                tracing::error!("reload refused, the configuration in force stays:\n{error}");
            }
        }
        history.last_reload = Some(LastReload { at: unix_now(), ok: error.is_none(), error });
        result
    }

    async fn try_reload(&self) -> Result<Reloaded, ControlError> {
        let Loaded { config, warnings, directories } = self.load().await?;
        let failed = |error: anyhow::Error| ControlError::Failed(format!("{error:#}"));
        let prepared = match self.listeners.prepare(&config) {
            Ok(prepared) => prepared,
            Err(error) => {
                self.history().refused = Some(config);
                return Err(failed(error));
            }
        };
        let listening = listeners::descriptors(&config);
        // From here on nothing fails.
        let discovered = self.resolve(&config).await;
        let now = lb_net::clock::now();
        let plan = if config == self.runtime.view().snapshot.config {
            self.runtime.plan(config, discovered, now)
        } else {
            let apply = || self.runtime.apply(config.clone(), discovered, now);
            self.listeners.commit(prepared, &self.runtime, &config, apply).await
        };
        let snapshot = Arc::clone(&self.runtime.view().snapshot);
        self.descriptors.share_out(&snapshot.config.global, listening);
        // Also where nothing changed: it reads CA files again.
        health::retarget(&self.scheduler, &self.runtime);
        self.logging.reconfigure(&snapshot.config.log);
        warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
        {
            let mut history = self.history();
            history.loaded_at = unix_now();
            history.warnings = warnings.len() as u64;
            history.refused = None;
            history.directories = directories;
        }
        self.reloaded.notify_waiters();
        Ok(Reloaded { generation: snapshot.generation, plan })
    }

    /// Reloads if the files say something else than what is in force, or has been refused already.
    pub(crate) async fn reload_if_changed(&self) {
        if self.differs().await {
            // What is wrong is in the log.
            let _ = self.reload().await;
        }
    }

    /// Whether a reload would do anything that the last one has not done.
    pub(crate) async fn differs(&self) -> bool {
        match self.load().await {
            Ok(loaded) => {
                let in_force = loaded.config == self.runtime.view().snapshot.config;
                let history = self.history();
                let last_was_refused = history.last_reload.as_ref().is_some_and(|reload| !reload.ok);
                // What was broken and is as before again is to be told, too.
                if in_force { last_was_refused } else { history.refused.as_ref() != Some(&loaded.config) }
            }
            Err(error) => {
                let refused = self.history().last_reload.as_ref().and_then(|reload| reload.error.clone());
                refused != Some(error.to_string())
            }
        }
    }

    /// What a reload would change.
    pub(crate) async fn plan(&self) -> Result<Plan, ControlError> {
        let config = self.load().await?.config;
        // What is not resolved yet counts as nothing: a plan asks nobody.
        let (discovered, _) = discovery::discovered(&config, &self.resolver);
        Ok(self.runtime.plan(config, discovered, lb_net::clock::now()))
    }

    async fn load(&self) -> Result<Loaded, ControlError> {
        let Some(path) = self.source.clone() else {
            return Err(ControlError::Invalid(
                "this configuration is not a file that could be read again".into(),
            ));
        };
        // Off this thread: a large configuration takes a while, and health checks must not wait for it.
        let load = move || lb_config::load(&path, &|name| std::env::var(name).ok());
        let loaded = tokio::task::spawn_blocking(load).await;
        loaded
            .map_err(|error| ControlError::Failed(error.to_string()))?
            .map_err(|errors| ControlError::Refused(errors.to_string()))
    }

    /// Asks for all names of `config`, and for no others any more.
    async fn resolve(&self, config: &Config) -> Discovered {
        self.resolver.set_wanted(discovery::wanted(config), &config.global.nameservers);
        self.resolver.first_answers(Self::PATIENCE).await;
        self.discovered(config)
    }

    /// The backends that names stand for now. What is left out of them is logged when it is new.
    fn discovered(&self, config: &Config) -> Discovered {
        let (discovered, left_out) = discovery::discovered(config, &self.resolver);
        let told = std::mem::replace(&mut self.history().left_out, left_out.clone());
        left_out.difference(&told).for_each(LeftOut::warn);
        discovered
    }

    /// Takes in new answers to names, for ever.
    pub(crate) async fn follow_names(&self) {
        loop {
            self.resolved.notified().await;
            let _alone = self.changing.lock().await;
            let snapshot = Arc::clone(&self.runtime.view().snapshot);
            let discovered = self.discovered(&snapshot.config);
            self.runtime.discovered(discovered, lb_net::clock::now());
            health::retarget(&self.scheduler, &self.runtime);
        }
    }

    /// Changes an override, at once in force, and then saved.
    pub(crate) async fn change_override(
        &self,
        target: &OverrideTarget,
        change: OverrideChange,
    ) -> Result<(), ControlError> {
        // Alone, so that an older state is never written over a newer one.
        let _alone = self.changing.lock().await;
        self.runtime
            .change_override(target, change, unix_now(), lb_net::clock::now())
            .map_err(|unknown| ControlError::NotFound(unknown.to_string()))?;
        let Some(file) = self.overrides_file.clone() else { return Ok(()) };
        let overrides = self.runtime.overrides();
        // Off this thread: a disk may take its time.
        let written = tokio::task::spawn_blocking(move || file.write(&overrides)).await;
        let problem = written.map_err(anyhow::Error::from).flatten().err().map(|error| format!("{error:#}"));
        if let Some(problem) = &problem {
            tracing::error!("the override is in force, but will not survive a restart: {problem}");
        }
        self.history().overrides_problem = problem;
        Ok(())
    }

    pub(crate) fn history(&self) -> MutexGuard<'_, History> {
        self.history.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn source(&self) -> Option<&Path> {
        self.source.as_deref()
    }
}

fn log_reload(Reloaded { generation, plan }: &Reloaded) {
    for setting in &plan.needs_restart {
        tracing::warn!("a restart is needed for this to take effect: {setting}");
    }
    if plan.is_empty() {
        tracing::info!(generation, "reloaded: nothing has changed");
    } else {
        let (listeners, pools) = (plan.listeners.len(), plan.pools.len());
        let settings = plan.global.len();
        tracing::info!(generation, listeners, pools, settings, "reloaded: so much has changed");
    }
}

impl Descriptors {
    /// Sets the process-wide connection limit. Never more than there are descriptors for: a client that is accepted without
    /// one for its backend could only be reset, while in the backlog it can wait.
    pub(crate) fn share_out(&self, global: &Global, sockets: usize) {
        let budget = FdBudget::with_pipes(self.limit, self.workers, sockets, self.pipes_per_worker);
        let possible = budget.connections;
        let max = match global.max_connections {
            MaxConnections::Auto => possible,
            MaxConnections::Count(wanted) => {
                let (wanted, fds) = (wanted.get(), self.limit);
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
        };
        self.process_limit.resize(Some(max));
    }
}
