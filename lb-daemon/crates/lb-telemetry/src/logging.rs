//! Installs logging: lines go to standard error, for people or as JSON.
//!
//! Lines are written by a thread of their own; where it cannot keep up, lines are dropped and counted rather than let
//! the data path wait. What is written can be changed while the process runs: the settings are atomics, and as
//! `tracing` caches at each callsite whether it is on, one that is off costs a load and a branch.

mod settings;

use std::io::{IsTerminal, stderr};
use std::sync::Arc;

use lb_model::Log;
use tracing::Subscriber;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use settings::{Filter, Format, Settings};

/// Logging could not be installed.
#[derive(Debug, thiserror::Error)]
#[error("logging is installed already")]
pub struct InstallError(#[from] tracing_subscriber::util::TryInitError);

/// Keeps the writer running; dropping it writes what is queued.
#[derive(Debug)]
pub struct Logging {
    settings: Arc<Settings>,
    dropped: ErrorCounter,
    _writer: WorkerGuard,
}

/// Installs logging for the whole process.
///
/// # Errors
///
/// If it is installed already.
pub fn install(log: &Log) -> Result<Logging, InstallError> {
    let (writer, guard) =
        NonBlockingBuilder::default().lossy(true).thread_name("log-writer").finish(stderr());
    let dropped = writer.error_counter();
    let settings = Arc::new(Settings::new(log));
    let ansi = if stderr().is_terminal() { Ansi::Colours } else { Ansi::Plain };
    subscriber(&settings, writer, ansi).try_init()?;
    Ok(Logging { settings, dropped, _writer: guard })
}

impl Logging {
    /// Changes what is logged, and how, from the next line on.
    pub fn reconfigure(&self, log: &Log) {
        self.settings.change(log);
    }

    /// Lines that were dropped since the start because standard error did not keep up.
    pub fn dropped_lines(&self) -> u64 {
        self.dropped.dropped_lines().try_into().unwrap_or(u64::MAX)
    }
}

impl Drop for Logging {
    fn drop(&mut self) {
        let dropped = self.dropped_lines();
        if dropped > 0 {
            tracing::warn!(dropped, "log lines were dropped because standard error did not keep up");
        }
    }
}

/// How lines for people look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ansi {
    Plain,
    Colours,
}

fn subscriber<W>(settings: &Arc<Settings>, writer: W, ansi: Ansi) -> impl Subscriber + Send + Sync + use<W>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let lines = tracing_subscriber::fmt::layer()
        .with_ansi(ansi == Ansi::Colours)
        .with_writer(writer)
        .event_format(Format::new(Arc::clone(settings)));
    tracing_subscriber::registry().with(lines).with(Filter(Arc::clone(settings)))
}

#[cfg(test)]
mod tests;
