//! What one worker has for one destination.

use std::sync::Arc;

use lb_model::AccessLogDestination;

use super::writer::{Batch, Writer};

/// Lines that are still to be handed over.
#[derive(Debug)]
pub struct Lines {
    destination: AccessLogDestination,
    writer: Arc<Writer>,
    batch: Batch,
}

impl Lines {
    /// Bytes that are handed over at once.
    const BATCH: usize = 32 * 1024;

    pub(super) fn new(destination: AccessLogDestination, writer: Arc<Writer>) -> Self {
        Self { destination, writer, batch: Batch::default() }
    }

    /// Whether they are for `destination`.
    pub fn go_to(&self, destination: &AccessLogDestination) -> bool {
        self.destination == *destination && self.writer.is_open()
    }

    /// Adds a line, which `write` writes without its end. Says whether it is the first that waits: then somebody has to
    /// [hand it over](Self::hand_over) soon.
    pub fn add(&mut self, write: impl FnOnce(&mut Vec<u8>)) -> Waiting {
        let waiting = if self.batch.lines == 0 { Waiting::First } else { Waiting::More };
        write(&mut self.batch.bytes);
        self.batch.bytes.push(b'\n');
        self.batch.lines += 1;
        if self.batch.bytes.len() >= Self::BATCH {
            self.hand_over();
        }
        waiting
    }

    /// Hands over what there is.
    pub fn hand_over(&mut self) {
        if self.batch.lines > 0 {
            // The next one is likely to be as long: it need not grow step by step.
            let next = Batch { bytes: Vec::with_capacity(self.batch.bytes.len()), lines: 0 };
            self.writer.write(std::mem::replace(&mut self.batch, next));
        }
    }
}

/// Whether lines wait to be handed over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// One does, after there were none.
    First,
    /// Others did before.
    More,
}

impl Drop for Lines {
    fn drop(&mut self) {
        self.hand_over();
    }
}
