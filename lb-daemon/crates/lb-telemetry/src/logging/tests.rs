//! Lines that are written, and lines that are not, before and after a change.

use std::io;
use std::sync::Mutex;

use lb_model::{LogFormat, LogLevel};
use tracing::subscriber::with_default;

use super::*;

/// Takes the place of standard error.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    /// The lines since the last call.
    fn take(&self) -> Vec<String> {
        let text = String::from_utf8(std::mem::take(&mut *self.0.lock().unwrap())).unwrap();
        text.lines().map(str::to_owned).collect()
    }
}

impl io::Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Written {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

const WARNINGS: Log = Log { level: LogLevel::Warn, format: LogFormat::Human, access: false };

/// One line of each kind, always from the same callsites.
fn say_everything() {
    tracing::error!("an error");
    tracing::warn!("a warning");
    tracing::info!("a change");
    tracing::debug!("a detail");
    tracing::info!(target: "access", "a connection");
    tracing::info!(target: "accessory", "none of the access log's");
    tracing::info!(target: "audit", operation = "drain", "a command");
    tracing::debug!(target: "audit", "chatter of the audit target");
}

/// What is written of [`say_everything`] under `logs`, one after another.
fn written(ansi: Ansi, logs: &[Log]) -> Vec<Vec<String>> {
    let settings = Arc::new(Settings::new(&logs[0]));
    let lines = Written::default();
    with_default(subscriber(&settings, lines.clone(), ansi), || {
        let each = logs.iter().map(|log| {
            settings.change(log);
            say_everything();
            lines.take()
        });
        each.collect()
    })
}

/// Which of the messages are in `lines`.
fn messages(lines: &[String]) -> Vec<&'static str> {
    let all = [
        "an error",
        "a warning",
        "a change",
        "a detail",
        "a connection",
        "none of the access log's",
        "a command",
        "chatter",
    ];
    all.into_iter().filter(|message| lines.iter().any(|line| line.contains(message))).collect()
}

#[test]
fn levels_and_switches_hold_and_change_while_callsites_are_cached() {
    let verbose = Log { level: LogLevel::Debug, access: true, ..WARNINGS };
    let quiet = Log { level: LogLevel::Error, ..WARNINGS };
    let runs = written(Ansi::Plain, &[WARNINGS, verbose, quiet, WARNINGS]);
    let warnings = ["an error", "a warning", "a command"];
    let everything = [
        "an error",
        "a warning",
        "a change",
        "a detail",
        "a connection",
        "none of the access log's",
        "a command",
    ];
    assert_eq!(messages(&runs[0]), warnings);
    assert_eq!(messages(&runs[1]), everything);
    assert_eq!(messages(&runs[2]), ["an error", "a command"], "audit lines have no level to hide behind");
    assert_eq!(messages(&runs[3]), warnings);
}

#[test]
fn access_records_follow_their_switch_alone() {
    let access = Log { level: LogLevel::Error, access: true, ..WARNINGS };
    let runs = written(Ansi::Plain, &[access]);
    assert_eq!(messages(&runs[0]), ["an error", "a connection", "a command"]);
}

#[test]
fn the_format_changes_with_the_next_line() {
    let json = Log { format: LogFormat::Json, ..WARNINGS };
    let runs = written(Ansi::Plain, &[WARNINGS, json, WARNINGS]);
    let audit = |run: &[String]| run.iter().find(|line| line.contains("a command")).unwrap().clone();
    for run in [&runs[0], &runs[2]] {
        assert!(audit(run).contains(" INFO audit: a command operation=\"drain\""), "{run:?}");
    }
    let line: serde_json::Value = serde_json::from_str(&audit(&runs[1])).unwrap();
    for (key, value) in
        [("level", "INFO"), ("target", "audit"), ("message", "a command"), ("operation", "drain")]
    {
        assert_eq!(line[key], value, "{line}");
    }
    assert!(line["timestamp"].as_str().is_some_and(|at| at.ends_with('Z')), "{line}");
}

#[test]
fn colours_are_for_people_only() {
    let json = Log { format: LogFormat::Json, ..WARNINGS };
    let runs = written(Ansi::Colours, &[WARNINGS, json]);
    assert!(runs[0].iter().all(|line| line.contains('\u{1b}')), "{runs:?}");
    assert!(runs[1].iter().all(|line| serde_json::from_str::<serde_json::Value>(line).is_ok()), "{runs:?}");
}
