//! Pipes for splicing: made when first needed, kept by the worker, lent to one direction at a time.

use std::cell::{Cell, RefCell};
use std::io;
use std::os::fd::OwnedFd;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use rustix::pipe::{PipeFlags, fcntl_setpipe_size, pipe_with};

use crate::clock;
use crate::observer::WorkerObserver;

/// A pipe. Closed when dropped; [`Pipes::give_back`] keeps it, if it is empty.
#[derive(Debug)]
pub(super) struct Pipe {
    pub(super) read: OwnedFd,
    pub(super) write: OwnedFd,
    made: Rc<Cell<usize>>,
}

impl Pipe {
    /// Bytes that a pipe holds. An unprivileged user gets 64 MiB of pipes in all (`pipe-user-pages-soft`), 256 of these.
    pub(super) const SIZE: usize = 256 * 1024;

    fn new(made: &Rc<Cell<usize>>) -> io::Result<Self> {
        let (read, write) = pipe_with(PipeFlags::NONBLOCK | PipeFlags::CLOEXEC)?;
        // Beyond its share the kernel refuses to enlarge pipes, and then makes new ones of a page or two: no gain in those.
        fcntl_setpipe_size(&write, Self::SIZE)?;
        made.set(made.get() + 1);
        Ok(Self { read, write, made: Rc::clone(made) })
    }
}

impl Drop for Pipe {
    fn drop(&mut self) {
        self.made.set(self.made.get().saturating_sub(1));
    }
}

/// A worker's pipes.
#[derive(Debug)]
pub(crate) struct Pipes {
    empty: RefCell<Vec<Pipe>>,
    made: Rc<Cell<usize>>,
    max: usize,
    /// Until when the kernel, which refused a pipe, is not asked again.
    refused_until: Cell<Duration>,
    observer: Arc<dyn WorkerObserver>,
}

impl Pipes {
    /// How long to copy before the kernel is asked for a pipe again.
    const PAUSE: Duration = Duration::from_secs(10);

    pub(crate) fn new(max: usize, observer: Arc<dyn WorkerObserver>) -> Self {
        Self {
            empty: RefCell::default(),
            made: Rc::default(),
            max,
            refused_until: Cell::new(Duration::ZERO),
            observer,
        }
    }

    /// An empty pipe. `None`: copy instead.
    pub(super) fn take(&self) -> Option<Pipe> {
        if let Some(pipe) = self.empty.borrow_mut().pop() {
            return Some(pipe);
        }
        if self.made.get() >= self.max || clock::coarse() < self.refused_until.get() {
            return None;
        }
        match Pipe::new(&self.made) {
            Ok(pipe) => Some(pipe),
            Err(error) => {
                self.refused_until.set(clock::coarse() + Self::PAUSE);
                self.observer.pipe_refused();
                tracing::warn!(%error, pipes = self.made.get(), "no more pipes to splice through: copying meanwhile");
                None
            }
        }
    }

    /// How many pipes are lent: between polls, those with bytes in them.
    pub(crate) fn in_use(&self) -> usize {
        self.made.get().saturating_sub(self.empty.borrow().len())
    }

    /// Keeps a pipe, which must be empty, for the next who needs one.
    pub(super) fn give_back(&self, pipe: Pipe) {
        self.empty.borrow_mut().push(pipe);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipes_are_bounded_reused_and_counted_out_when_dropped() {
        let pipes = Pipes::new(2, Arc::new(()));
        let first = pipes.take().unwrap();
        let second = pipes.take().unwrap();
        assert!(pipes.take().is_none());
        assert_eq!(pipes.in_use(), 2);
        pipes.give_back(first);
        assert_eq!(pipes.in_use(), 1);
        assert!(pipes.take().is_some(), "an empty pipe is lent again");
        drop(second);
        assert!(pipes.take().is_some(), "a pipe that was closed makes room for another");
    }
}
