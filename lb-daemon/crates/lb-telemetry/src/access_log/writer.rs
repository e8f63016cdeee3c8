//! The thread of one destination.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use lb_model::AccessLogDestination;

use super::OpenError;

/// Where lines go.
pub(super) type Output = Box<dyn Write + Send>;

/// Opens a destination, at its end.
pub(super) fn open(destination: &AccessLogDestination) -> Result<Output, OpenError> {
    Ok(match destination {
        AccessLogDestination::Stdout => Box::new(io::stdout()),
        AccessLogDestination::Stderr => Box::new(io::stderr()),
        AccessLogDestination::File(path) => Box::new(append(path)?),
    })
}

fn append(path: &std::path::Path) -> Result<File, OpenError> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    file.map_err(|error| OpenError { path: path.into(), error })
}

/// Lines of one worker.
#[derive(Debug, Default)]
pub(super) struct Batch {
    pub(super) bytes: Vec<u8>,
    pub(super) lines: u64,
}

enum Work {
    Write(Batch),
    /// From now on to somewhere else.
    Switch(Output),
}

/// A destination that is open. Dropping it writes what was handed over, and closes it; a destination that takes nothing is
/// given up after [`PATIENCE`](Self::PATIENCE).
#[derive(Debug)]
pub(super) struct Writer {
    /// `None` while it is being dropped only.
    work: Option<SyncSender<Work>>,
    lost: Arc<AtomicU64>,
    failed: Arc<AtomicBool>,
    /// Disconnected when the thread has ended.
    ended: Mutex<Receiver<()>>,
}

impl Writer {
    /// Batches that may wait: 8 MiB in all.
    const WAITING: usize = 256;

    /// How long the end of a log is waited for: who does not read Sluice's output is not to keep it from ending.
    const PATIENCE: Duration = Duration::from_secs(2);

    pub(super) fn start(destination: &AccessLogDestination, output: Output) -> Self {
        let (work, to_do) = sync_channel(Self::WAITING);
        let (lost, failed) = (Arc::<AtomicU64>::default(), Arc::<AtomicBool>::default());
        let (name, lost_there) = (super::key(destination), Arc::clone(&lost));
        let (alive, ended) = sync_channel(0);
        let run = move || {
            run(&to_do, output, &name, &lost_there);
            drop::<SyncSender<()>>(alive);
        };
        let thread = std::thread::Builder::new().name("access-log".into()).spawn(run);
        if let Err(error) = &thread {
            tracing::error!(%error, "no thread for an access log: its lines are lost");
            failed.store(true, Ordering::Relaxed);
        }
        Self { work: Some(work), lost, failed, ended: Mutex::new(ended) }
    }

    /// Whether lines are taken at all.
    pub(super) fn is_open(&self) -> bool {
        !self.failed.load(Ordering::Relaxed)
    }

    pub(super) fn write(&self, batch: Batch) {
        let sent = self.work.as_ref().map(|work| work.try_send(Work::Write(batch)));
        if let Some(Err(
            TrySendError::Full(Work::Write(batch)) | TrySendError::Disconnected(Work::Write(batch)),
        )) = sent
        {
            self.lost.fetch_add(batch.lines, Ordering::Relaxed);
        }
    }

    /// Goes on with another output: the same file, opened anew.
    pub(super) fn write_to(&self, output: Output) {
        let Some(work) = &self.work else { return };
        if let Err(TrySendError::Full(_)) = work.try_send(Work::Switch(output)) {
            tracing::warn!("an access log takes its lines too slowly to be opened anew: reload again later");
        }
    }

    pub(super) fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.work = None;
        let ended = self.ended.get_mut().unwrap_or_else(PoisonError::into_inner);
        if ended.recv_timeout(Self::PATIENCE) == Err(RecvTimeoutError::Timeout) {
            tracing::warn!("an access log does not take its last lines: they are lost");
        }
    }
}

fn run(work: &Receiver<Work>, mut output: Output, name: &str, lost: &AtomicU64) {
    let mut fails = false;
    for work in work {
        match work {
            Work::Switch(other) => output = other,
            Work::Write(batch) => match output.write_all(&batch.bytes).and_then(|()| output.flush()) {
                Ok(()) => fails = false,
                Err(error) => {
                    lost.fetch_add(batch.lines, Ordering::Relaxed);
                    if !std::mem::replace(&mut fails, true) {
                        tracing::error!(log = name, %error, "cannot write the access log: lines are lost");
                    }
                }
            },
        }
    }
}
