//! Access logs of requests: lines that workers write into memory, and a thread for each destination writes out.
//!
//! A worker never waits: it hands over what it has as one batch when that is large or old enough, through a bounded
//! channel. If the thread is so far behind that the channel is full, the batch is lost, and its lines are counted.

mod json;
mod lines;
mod time;
mod writer;

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use lb_model::AccessLogDestination;

pub use json::Json;
pub use lines::{Lines, Waiting};
pub use time::{CommonLogTime, UtcTime};

use self::writer::Writer;

/// The access logs of the process.
#[derive(Debug, Default)]
pub struct AccessLogs(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    writers: BTreeMap<String, Arc<Writer>>,
    /// Lines lost by those that were closed.
    lost_before: u64,
}

/// A destination that cannot be written to.
#[derive(Debug, thiserror::Error)]
#[error("cannot open the access log {path}: {error}", path = .path.display())]
pub struct OpenError {
    /// The file.
    pub path: PathBuf,
    /// What the kernel said.
    pub error: io::Error,
}

impl AccessLogs {
    /// Opens all that are `wanted`; those that are open already are opened anew, as who rotates logs expects. All or
    /// nothing.
    ///
    /// # Errors
    ///
    /// If a file cannot be opened; then all is as it was.
    pub fn open<'a>(
        &self,
        wanted: impl IntoIterator<Item = &'a AccessLogDestination>,
    ) -> Result<(), OpenError> {
        let mut opened = Vec::new();
        for destination in wanted {
            opened.push((destination, writer::open(destination)?));
        }
        let mut open = self.lock();
        for (destination, output) in opened {
            match open.writers.get(&key(destination)) {
                Some(writer) => writer.write_to(output),
                None => {
                    let writer = Writer::start(destination, output);
                    open.writers.insert(key(destination), Arc::new(writer));
                }
            }
        }
        Ok(())
    }

    /// Closes those that are not `wanted`, once what workers still have for them is written.
    pub fn retain<'a>(&self, wanted: impl IntoIterator<Item = &'a AccessLogDestination>) {
        let wanted: Vec<_> = wanted.into_iter().map(key).collect();
        let mut open = self.lock();
        let Open { writers, lost_before } = &mut *open;
        writers.retain(|key, writer| {
            let is_wanted = wanted.contains(key);
            if !is_wanted {
                *lost_before += writer.lost();
            }
            is_wanted
        });
    }

    /// Room for one worker's lines to `destination`; `None` if that is not open.
    pub fn lines(&self, destination: &AccessLogDestination) -> Option<Lines> {
        let writer = self.lock().writers.get(&key(destination)).cloned()?;
        Some(Lines::new(destination.clone(), writer))
    }

    /// Lines that were lost, because the destination was too slow or failed.
    pub fn lost(&self) -> u64 {
        let open = self.lock();
        open.lost_before + open.writers.values().map(|writer| writer.lost()).sum::<u64>()
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn key(destination: &AccessLogDestination) -> String {
    match destination {
        AccessLogDestination::Stdout => "stdout".into(),
        AccessLogDestination::Stderr => "stderr".into(),
        AccessLogDestination::File(path) => format!("file {}", path.display()),
    }
}

#[cfg(test)]
mod tests;
