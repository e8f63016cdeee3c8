//! Installs logging: everything that other crates say through `tracing` goes to standard error, for people or as JSON.
//!
//! Lines are written by a thread of their own; where it cannot keep up, lines are dropped and counted rather than let the
//! data path wait.
#![forbid(unsafe_code)]

use std::io::{IsTerminal, stderr};

use lb_model::{Log, LogFormat, LogLevel};
use tracing::level_filters::LevelFilter;
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::Targets;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::util::SubscriberInitExt;

/// The target of access records, which have a switch of their own.
const ACCESS: &str = "access";

/// Logging could not be installed.
#[derive(Debug, thiserror::Error)]
#[error("logging is installed already")]
pub struct InstallError(#[from] tracing_subscriber::util::TryInitError);

/// Keeps the writer running; dropping it writes what is queued.
#[derive(Debug)]
pub struct Logging {
    dropped: ErrorCounter,
    _writer: WorkerGuard,
}

impl Drop for Logging {
    fn drop(&mut self) {
        let dropped = self.dropped.dropped_lines();
        if dropped > 0 {
            tracing::warn!(dropped, "log lines were dropped because standard error did not keep up");
        }
    }
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
    let access = if log.access { LevelFilter::INFO } else { LevelFilter::OFF };
    let filter = Targets::new().with_default(level(log.level)).with_target(ACCESS, access);
    let lines = tracing_subscriber::fmt::layer().with_writer(writer);
    let lines = match log.format {
        LogFormat::Human => lines.with_ansi(stderr().is_terminal()).boxed(),
        LogFormat::Json => {
            lines.json().flatten_event(true).with_current_span(false).with_span_list(false).boxed()
        }
    };
    tracing_subscriber::registry().with(lines.with_filter(filter)).try_init()?;
    Ok(Logging { dropped, _writer: guard })
}

fn level(level: LogLevel) -> LevelFilter {
    match level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Trace => LevelFilter::TRACE,
    }
}
