//! What is logged at the moment: read by every line, changed by a reload.

use std::fmt;
use std::sync::Arc;

use crossbeam_utils::atomic::AtomicCell;
use lb_model::{Log, LogFormat, LogLevel};
use tracing::level_filters::LevelFilter;
use tracing::subscriber::Interest;
use tracing::{Event, Metadata, Subscriber};
use tracing_subscriber::fmt::format::{self, Full, Json, Writer};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::registry::LookupSpan;

/// The target of access records, which have a switch of their own.
const ACCESS: &str = "access";

/// The target of audit lines (who changed what), which no level hides.
const AUDIT: &str = "audit";

/// The settings in force. Each is an atomic of its own: a line written during a change may see some old and some new.
#[derive(Debug)]
pub(super) struct Settings {
    level: AtomicCell<LogLevel>,
    format: AtomicCell<LogFormat>,
    access: AtomicCell<bool>,
}

impl Settings {
    pub(super) fn new(log: &Log) -> Self {
        Self {
            level: AtomicCell::new(log.level),
            format: AtomicCell::new(log.format),
            access: AtomicCell::new(log.access),
        }
    }

    /// Puts `log` into force, at every callsite.
    pub(super) fn change(&self, log: &Log) {
        self.level.store(log.level);
        self.format.store(log.format);
        self.access.store(log.access);
        tracing::callsite::rebuild_interest_cache();
    }

    /// The most verbose level of `target` that is written.
    fn of(&self, target: &str) -> LevelFilter {
        match target {
            AUDIT => LevelFilter::INFO,
            ACCESS if self.access.load() => LevelFilter::INFO,
            ACCESS => LevelFilter::OFF,
            // It warns of every packet that is no answer, which anybody may send.
            target if target.starts_with("hickory_") => level(self.level.load()).min(LevelFilter::ERROR),
            _ => level(self.level.load()),
        }
    }
}

/// Lets those lines through that the settings want.
pub(super) struct Filter(pub(super) Arc<Settings>);

impl Filter {
    fn passes(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= self.0.of(metadata.target())
    }
}

impl<S: Subscriber> Layer<S> for Filter {
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        // Never "sometimes": the answer holds until `Settings::change` has every callsite ask again.
        if self.passes(metadata) { Interest::always() } else { Interest::never() }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        self.passes(metadata)
    }

    fn max_level_hint(&self) -> Option<LevelFilter> {
        Some(level(self.0.level.load()).max(LevelFilter::INFO))
    }
}

/// Writes lines in the shape that the settings want.
pub(super) struct Format {
    settings: Arc<Settings>,
    human: format::Format<Full>,
    json: format::Format<Json>,
}

impl Format {
    pub(super) fn new(settings: Arc<Settings>) -> Self {
        let json = format::format().json().flatten_event(true).with_current_span(false).with_span_list(false);
        Self { settings, human: format::format(), json }
    }
}

impl<S, N> FormatEvent<S, N> for Format
where
    S: Subscriber + for<'l> LookupSpan<'l>,
    N: for<'w> FormatFields<'w> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        match self.settings.format.load() {
            LogFormat::Human => self.human.format_event(context, writer, event),
            LogFormat::Json => self.json.format_event(context, writer, event),
        }
    }
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
