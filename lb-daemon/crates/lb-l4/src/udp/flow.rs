//! One flow.

use std::net::SocketAddr;
use std::num::{NonZeroU8, NonZeroU16};
use std::time::{Duration, Instant};

use lb_model::Termination;

use super::{DropReason, Ended, FlowId, Link, Moves, OpenFailure, Payload, Traffic};

/// One flow.
pub(super) struct Flow<P, L: Link> {
    pub(super) client: SocketAddr,
    pub(super) local: SocketAddr,
    /// The way to its backend; to the one that failed, until the client's next datagram.
    pub(super) link: Option<L>,
    /// Backends that failed it since one last answered.
    pub(super) tried: Vec<L::Backend>,
    /// When a datagram last moved.
    pub(super) last: Instant,
    permit: P,
    place: Place,
    /// Backends that it had, or tried to have.
    tries: u32,
    /// Failures in a row; more than are `tried` when it was everybody's turn again.
    failures: u8,
    /// Since when its backend owes it a first answer.
    asked: Option<Instant>,
    /// One-shot mode: datagrams that its backend has not sent yet.
    awaited: u32,
    from_client: Traffic,
    from_backend: Traffic,
    began: Instant,
}

/// Whether a flow has a backend.
#[derive(Debug, Clone, Copy)]
enum Place {
    /// It is new, or its backend has failed.
    Wanted,
    /// The shell looks for one; `failures` were in vain.
    Opening { failures: u8 },
    /// It has one.
    Found,
}

/// Where datagrams of a client go.
#[derive(Debug)]
pub(super) enum Route<L> {
    Forward,
    Open { former: Option<L> },
}

/// Whether a flow is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    GoesOn,
    Complete,
}

impl<P, L: Link> Flow<P, L> {
    pub(super) fn new(now: Instant, client: SocketAddr, local: SocketAddr, permit: P) -> Self {
        Self {
            client,
            local,
            link: None,
            tried: Vec::new(),
            last: now,
            permit,
            place: Place::Wanted,
            tries: 0,
            failures: 0,
            asked: None,
            awaited: 0,
            from_client: Traffic::default(),
            from_backend: Traffic::default(),
            began: now,
        }
    }

    /// Where datagrams of the client go; in one-shot mode so many `replies` are due for each.
    pub(super) fn route(&mut self, payload: Payload, replies: Option<NonZeroU16>, moves: Moves) -> Route<L> {
        let stays = |link: &L| moves == Moves::Impossible || link.keeps_flows();
        let route = match self.place {
            Place::Found if self.link.as_ref().is_some_and(stays) => Route::Forward,
            // Whoever is told to open a flow does so before anything else: it is never being opened here.
            Place::Found | Place::Wanted | Place::Opening { .. } => {
                self.place = Place::Opening { failures: 0 };
                // Nobody will answer what the former backend was asked.
                self.awaited = 0;
                Route::Open { former: self.link.take() }
            }
        };
        if let Some(replies) = replies {
            self.expect(payload, replies);
        }
        route
    }

    /// All answers to all datagrams are awaited, because clients ask several things at once (A and AAAA from one
    /// port), and who ended the flow after the first answer would lose the second. The price: when a datagram is
    /// lost and the client repeats it, more is awaited than comes, and the flow ends by being idle.
    fn expect(&mut self, payload: Payload, replies: NonZeroU16) {
        let due = payload.datagrams().saturating_mul(replies.get().into());
        self.awaited = self.awaited.saturating_add(due);
    }

    /// The client has sent `payload`.
    pub(super) fn received(&mut self, now: Instant, payload: Payload) {
        self.from_client.add(payload);
        self.last = now;
    }

    /// One-shot mode: how much of an answer is awaited, and whether that is all.
    pub(super) fn awaited(&mut self, payload: Payload) -> (Payload, Progress) {
        // Asked before one-shot mode was switched on: nobody has counted.
        if self.awaited == 0 {
            return (payload, Progress::GoesOn);
        }
        let payload = payload.first(self.awaited);
        self.awaited = self.awaited.saturating_sub(payload.datagrams());
        (payload, if self.awaited == 0 { Progress::Complete } else { Progress::GoesOn })
    }

    /// The backend has sent `payload`. Says how long that took if it is its first.
    pub(super) fn answered(&mut self, now: Instant, payload: Payload) -> Option<Duration> {
        self.from_backend.add(payload);
        self.last = now;
        // Even if an error came first: it works.
        self.place = Place::Found;
        self.failures = 0;
        self.tried.clear();
        self.asked.take().map(|asked| now.saturating_duration_since(asked))
    }

    pub(super) fn opened(&mut self, now: Instant, link: L) -> Result<(), L> {
        match self.place {
            Place::Opening { .. } => {
                self.place = Place::Found;
                self.tries = self.tries.saturating_add(1);
                self.asked = Some(now);
                self.link = Some(link);
                Ok(())
            }
            Place::Wanted | Place::Found => Err(link),
        }
    }

    /// Why the flow ends by this, and its datagrams are dropped; `None` if another backend is to be tried.
    pub(super) fn open_failed(
        &mut self,
        failure: OpenFailure<L::Backend>,
        tries: NonZeroU8,
    ) -> Option<(Termination, DropReason)> {
        match failure {
            OpenFailure::Unreachable(backend) => {
                self.tries = self.tries.saturating_add(1);
                if let Place::Opening { failures, .. } = &mut self.place {
                    *failures = failures.saturating_add(1);
                }
                match self.failed(backend, tries) {
                    Progress::GoesOn => None,
                    Progress::Complete => Some((Termination::ConnectFailed, DropReason::ConnectFailed)),
                }
            }
            // All have failed it, but not just now: everybody's turn again.
            OpenFailure::NoBackend
                if !self.tried.is_empty() && matches!(self.place, Place::Opening { failures: 0, .. }) =>
            {
                self.tried.clear();
                None
            }
            OpenFailure::NoBackend if self.failures > 0 => {
                Some((Termination::ConnectFailed, DropReason::ConnectFailed))
            }
            OpenFailure::NoBackend => Some((Termination::NoBackend, DropReason::NoBackend)),
            OpenFailure::BackendsFull => Some((Termination::QueueFull, DropReason::BackendsFull)),
            OpenFailure::LocalResources => Some((Termination::LocalResources, DropReason::LocalResources)),
        }
    }

    /// Its backend has failed; `None` if that is known, or it has none.
    pub(super) fn backend_error(&mut self, tries: NonZeroU8) -> Option<Progress> {
        match self.place {
            Place::Found => {
                self.place = Place::Wanted;
                let backend = self.link.as_ref()?.backend();
                Some(self.failed(backend, tries))
            }
            Place::Wanted | Place::Opening { .. } => None,
        }
    }

    fn failed(&mut self, backend: L::Backend, tries: NonZeroU8) -> Progress {
        self.tried.push(backend);
        self.failures = self.failures.saturating_add(1);
        if self.failures < tries.get() { Progress::GoesOn } else { Progress::Complete }
    }

    pub(super) fn ended(self, flow: FlowId, now: Instant, reason: Termination) -> Ended<P, L> {
        Ended {
            flow,
            client: self.client,
            local: self.local,
            permit: self.permit,
            link: self.link,
            tries: self.tries,
            reason,
            from_client: self.from_client,
            from_backend: self.from_backend,
            lasted: now.saturating_duration_since(self.began),
        }
    }
}
