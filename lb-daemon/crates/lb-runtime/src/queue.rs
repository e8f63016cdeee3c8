//! A pool's waiting line for connections that find every backend full: first come, first served, over all workers.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use tokio::sync::oneshot;

use crate::backend::{Backend, Lease};
use crate::view::Tried;

/// The line itself. Outlives views.
#[derive(Debug, Default)]
pub(crate) struct Queue {
    line: Mutex<Line>,
    /// Length of the line, readable without the lock: nearly always 0.
    waiting: AtomicU64,
}

#[derive(Debug, Default)]
struct Line {
    next_ticket: u64,
    /// By ticket, that is, by arrival.
    waiters: BTreeMap<u64, Waiter>,
}

#[derive(Debug)]
struct Waiter {
    grant: oneshot::Sender<Lease>,
    tried: Tried,
}

/// The line is as long as it may get.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoPlace;

impl Queue {
    /// Whether anybody waits. Sequentially consistent: see [`BackendState::has_room`](crate::BackendState::has_room).
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.load(Ordering::SeqCst) == 0
    }

    /// How many wait.
    pub(crate) fn len(&self) -> u64 {
        self.waiting.load(Ordering::Relaxed)
    }

    /// Joins the line for any backend that is not in `tried`. The caller must then [`serve`](Self::serve) every backend
    /// that may have room, for a place may have come free before the line was joined.
    pub(crate) fn join(self: &Arc<Self>, limit: u32, tried: Tried) -> Result<Waiting, NoPlace> {
        let mut line = self.lock();
        if line.waiters.len() >= limit as usize {
            return Err(NoPlace);
        }
        let (grant, granted) = oneshot::channel();
        let ticket = line.next_ticket;
        line.next_ticket += 1;
        line.waiters.insert(ticket, Waiter { grant, tried });
        self.publish_length(&line);
        Ok(Waiting { granted, ticket, queue: Arc::clone(self) })
    }

    /// Gives the free places of `backend` to those who wait longest and have not tried it.
    pub(crate) fn serve(&self, backend: &Arc<Backend>) {
        while !self.is_empty() && backend.state.is_eligible() {
            let mut line = self.lock();
            let accepts = |(_, waiter): &(&u64, &Waiter)| !waiter.tried.contains(&backend.state);
            let Some(ticket) = line.waiters.iter().find(accepts).map(|(&ticket, _)| ticket) else { return };
            let Some(lease) = Lease::try_take(backend) else { return };
            let waiter = line.waiters.remove(&ticket);
            self.publish_length(&line);
            // A lease that its waiter no longer wants serves the line again when it is dropped: not under the lock. That
            // recursion is one deep per waiter that gives up between the removal and the send.
            drop(line);
            if let Some(waiter) = waiter {
                drop(waiter.grant.send(lease));
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Line> {
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn publish_length(&self, line: &Line) {
        self.waiting.store(line.waiters.len() as u64, Ordering::SeqCst);
    }
}

/// A place in the line: resolves to a lease. Dropping it leaves the line.
#[derive(Debug)]
pub struct Waiting {
    granted: oneshot::Receiver<Lease>,
    ticket: u64,
    queue: Arc<Queue>,
}

impl Future for Waiting {
    type Output = Lease;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Lease> {
        match Pin::new(&mut self.granted).poll(cx) {
            Poll::Ready(Ok(lease)) => Poll::Ready(lease),
            // The sender is dropped only after a send: there is no other end to this wait than the caller's timeout.
            Poll::Ready(Err(_)) | Poll::Pending => Poll::Pending,
        }
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut line = self.queue.lock();
        let gave_up = line.waiters.remove(&self.ticket);
        self.queue.publish_length(&line);
        drop(line);
        // A lease that was granted meanwhile goes back when `granted` is dropped.
        drop(gave_up);
    }
}
