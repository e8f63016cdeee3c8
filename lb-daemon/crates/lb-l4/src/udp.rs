//! The flows of a UDP listener on one worker: which there are, where their datagrams go, when they end. Pure: the
//! shell has the sockets, picks backends and says what time it is.
//!
//! UDP has no connections, so a *flow* is made up: the datagrams between one client address and one local address.
//! Its first datagram gets it a backend ([`FromClient::Open`]), which it keeps until it ends: after the listener's
//! idle timeout or, in one-shot mode, with the last expected reply. There is no connection to lose either: a flow
//! whose backend fails goes to another one with the next datagram of its client, and under another [`FlowId`].

mod arena;
mod deadlines;
mod flow;
mod key;
mod payload;
mod service;
mod shell;
mod verdict;

use std::collections::HashMap;
use std::hash::RandomState;
use std::net::SocketAddr;
use std::num::{NonZeroU8, NonZeroU16};
use std::time::{Duration, Instant};

use lb_model::{DropReason, Termination};

use self::arena::{Arena, Slot};
use self::deadlines::Deadlines;
use self::flow::{Flow, Progress, Route};
use self::key::FlowKey;

pub(crate) use self::arena::FlowId;
pub(crate) use self::payload::{Payload, Traffic};
pub use self::service::UdpProxy;
pub(crate) use self::verdict::{BackendError, Ended, FromBackend, FromClient, OpenFailed, Reply};

/// The flows of one listener on one worker.
///
/// `P` is what a flow holds from its admission to its end, whoever serves it: its permits. `L` is its way to its
/// backend. Neither is dropped in here: they come out with a verdict.
pub(crate) struct FlowTable<P, L: Link> {
    settings: Settings,
    moves: Moves,
    intake: Intake,
    flows: Arena<Flow<P, L>>,
    index: HashMap<FlowKey, Slot, RandomState>,
    deadlines: Deadlines,
}

/// A flow's way to its backend: the connected socket, and the lease.
pub(crate) trait Link {
    /// How the shell knows a backend.
    type Backend;

    /// Where it leads.
    fn backend(&self) -> Self::Backend;

    /// Whether the backend goes on serving the flows that it has: not when it is unhealthy, backs off or was
    /// removed; but when it drains, or is there for spare only.
    fn keeps_flows(&self) -> bool;
}

/// What a reload can change. Holds for the flows that there are, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Settings {
    /// A flow on which no datagram moved for this long ends.
    pub(crate) idle_timeout: Duration,
    /// One-shot mode, for the likes of DNS: how many datagrams answer one datagram of the client. A flow ends when
    /// the backend has sent that many for each. `None`: only idle flows end.
    pub(crate) replies: Option<NonZeroU16>,
    /// A flow ends when this many backends in a row failed it without one answering: the pool's `connect_tries`.
    pub(crate) tries: NonZeroU8,
}

/// Whether flows leave a backend that no longer [keeps](Link::keeps_flows) them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moves {
    Possible,
    /// There is no other.
    Impossible,
}

/// Whether clients may begin flows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Intake {
    Open,
    Closed,
}

/// Why the shell could not open a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenFailure<B> {
    /// No backend is eligible that was not [tried](FlowTable::tried).
    NoBackend,
    /// All of those are full.
    BackendsFull,
    /// There is no way to this one.
    Unreachable(B),
    /// This host is out of descriptors, ports or memory.
    LocalResources,
}

impl<P, L: Link> FlowTable<P, L> {
    /// No flows. `hasher` is to be seeded at random: clients choose what is hashed.
    pub(crate) fn new(settings: Settings, now: Instant, hasher: RandomState) -> Self {
        Self {
            settings,
            moves: Moves::Possible,
            intake: Intake::Open,
            flows: Arena::default(),
            index: HashMap::with_hasher(hasher),
            deadlines: Deadlines::new(now),
        }
    }

    /// How many flows there are.
    pub(crate) fn len(&self) -> usize {
        self.flows.len()
    }

    /// The way to the backend of a flow. `None`: the flow has ended, has moved, or is being opened.
    pub(crate) fn link_mut(&mut self, flow: FlowId) -> Option<&mut L> {
        self.flows.get_mut(flow)?.link.as_mut()
    }

    /// The flow that has this [token](FlowId::token) now. `None`: it has ended.
    pub(crate) fn with_token(&mut self, token: u64) -> Option<FlowId> {
        let slot = Slot(u32::try_from(token).ok()?);
        self.flows.at_mut(slot).map(|(id, _)| id)
    }

    /// Whose flow it is, and where that client's datagrams go.
    pub(crate) fn endpoints(&self, flow: FlowId) -> Option<(SocketAddr, SocketAddr)> {
        self.flows.get(flow).map(|flow| (flow.client, flow.local))
    }

    /// Backends that failed this flow since one last answered it: not to be picked again.
    pub(crate) fn tried(&self, flow: FlowId) -> &[L::Backend] {
        self.flows.get(flow).map_or(&[], |flow| &flow.tried)
    }

    /// A client's datagrams have arrived at `local`. `admit` is asked about new flows only: the place for limits
    /// and for the access list.
    pub(crate) fn client_sent(
        &mut self,
        now: Instant,
        client: SocketAddr,
        local: SocketAddr,
        payload: Payload,
        admit: impl FnOnce() -> Result<P, DropReason>,
    ) -> FromClient<L> {
        let slot = match self.index.get(&FlowKey::new(client, local)) {
            Some(&slot) => slot,
            None => match self.admit(now, client, local, admit) {
                Ok(slot) => slot,
                Err(reason) => return FromClient::Drop(reason),
            },
        };
        let verdict = self.route(slot, payload);
        if !matches!(verdict, FromClient::Drop(_))
            && let Some((_, flow)) = self.flows.at_mut(slot)
        {
            flow.received(now, payload);
        }
        verdict
    }

    fn admit(
        &mut self,
        now: Instant,
        client: SocketAddr,
        local: SocketAddr,
        admit: impl FnOnce() -> Result<P, DropReason>,
    ) -> Result<Slot, DropReason> {
        if self.intake == Intake::Closed {
            return Err(DropReason::Draining);
        }
        let slot = self.flows.insert(Flow::new(now, client, local, admit()?));
        self.index.insert(FlowKey::new(client, local), slot);
        self.deadlines.arm(slot, now, now.checked_add(self.settings.idle_timeout));
        Ok(slot)
    }

    fn route(&mut self, slot: Slot, payload: Payload) -> FromClient<L> {
        let Some((id, flow)) = self.flows.at_mut(slot) else { return FromClient::Drop(DropReason::NoFlow) };
        match flow.route(payload, self.settings.replies, self.moves) {
            Route::Forward => FromClient::Forward(id),
            Route::Open { former } => FromClient::Open { flow: self.flows.renew(slot), former },
        }
    }

    /// The shell has picked a backend. Gives the link back if the flow has ended meanwhile.
    pub(crate) fn opened(&mut self, now: Instant, flow: FlowId, link: L) -> Result<(), L> {
        match self.flows.get_mut(flow) {
            Some(state) => state.opened(now, link),
            None => Err(link),
        }
    }

    /// The shell could not open the flow, which ends unless another backend is to be tried. Whatever is held for
    /// it is to be dropped then, for the reason given.
    pub(crate) fn open_failed(
        &mut self,
        now: Instant,
        flow: FlowId,
        failure: OpenFailure<L::Backend>,
    ) -> OpenFailed<P, L> {
        let Some(state) = self.flows.get_mut(flow) else { return OpenFailed::Gone };
        let Some((reason, drop)) = state.open_failed(failure, self.settings.tries) else {
            return OpenFailed::TryAnother;
        };
        self.end(now, flow, reason).map_or(OpenFailed::Gone, |ended| OpenFailed::Ended(ended, drop))
    }

    /// A backend's datagrams have arrived on the socket of `flow`.
    pub(crate) fn backend_sent(&mut self, now: Instant, flow: FlowId, payload: Payload) -> FromBackend<P, L> {
        let one_shot = self.settings.replies.is_some();
        let Some(state) = self.flows.get_mut(flow) else { return FromBackend::Drop(DropReason::NoFlow) };
        let (payload, progress) = if one_shot { state.awaited(payload) } else { (payload, Progress::GoesOn) };
        let first_after = state.answered(now, payload);
        let reply = Reply { client: state.client, local: state.local, payload, first_after };
        match progress {
            Progress::GoesOn => FromBackend::Reply(reply),
            Progress::Complete => match self.end(now, flow, Termination::Finished) {
                Some(ended) => FromBackend::LastReply(reply, ended),
                None => FromBackend::Reply(reply),
            },
        }
    }

    /// The network, or the backend's host, says (ICMP) that datagrams of this flow do not arrive.
    pub(crate) fn backend_error(&mut self, now: Instant, flow: FlowId) -> BackendError<P, L> {
        let Some(state) = self.flows.get_mut(flow) else { return BackendError::Known };
        match state.backend_error(self.settings.tries) {
            None => BackendError::Known,
            Some(Progress::GoesOn) => BackendError::Moves,
            Some(Progress::Complete) => self
                .end(now, flow, Termination::ConnectFailed)
                .map_or(BackendError::Known, BackendError::Ended),
        }
    }

    /// Ends the next flow that has been idle for too long: call until `None`, whenever it is [time](Self::wake_at).
    pub(crate) fn expire(&mut self, now: Instant) -> Option<Ended<P, L>> {
        while let Some(slot) = self.deadlines.pop(now) {
            let Some((id, flow)) = self.flows.at_mut(slot) else { continue };
            let deadline = flow.last.checked_add(self.settings.idle_timeout);
            if deadline.is_some_and(|deadline| deadline <= now) {
                return self.end(now, id, Termination::IdleTimeout);
            }
            self.deadlines.arm(slot, now, deadline);
        }
        None
    }

    /// When to [`expire`](Self::expire) next. Idle flows end at most [`GRAIN`](Deadlines::GRAIN) too late then.
    pub(crate) fn wake_at(&mut self) -> Option<Instant> {
        self.deadlines.next()
    }

    /// A reload has changed the settings. No flow ends by it at once, with however many more than the new limit.
    pub(crate) fn change(&mut self, now: Instant, settings: Settings) {
        let sooner = settings.idle_timeout < self.settings.idle_timeout;
        self.settings = settings;
        self.moves = Moves::Possible;
        if sooner {
            for (slot, flow) in self.flows.iter() {
                self.deadlines.arm(slot, now, flow.last.checked_add(settings.idle_timeout));
            }
        }
    }

    /// The listener was removed, and with it those who could serve its flows: each goes on with the backend that it has,
    /// unless that fails it. Until the next [change](Self::change).
    pub(crate) fn stay(&mut self) {
        self.moves = Moves::Impossible;
    }

    /// Takes no new flows from now on. Those that there are go on until they end.
    pub(crate) fn drain(&mut self) {
        self.intake = Intake::Closed;
    }

    /// Ends all flows, for the end of a drain.
    pub(crate) fn end_all(
        &mut self,
        now: Instant,
        reason: Termination,
    ) -> impl Iterator<Item = Ended<P, L>> + use<P, L> {
        self.index.clear();
        self.deadlines = Deadlines::new(now);
        self.flows.take_all().map(move |(id, flow)| flow.ended(id, now, reason))
    }

    fn end(&mut self, now: Instant, id: FlowId, reason: Termination) -> Option<Ended<P, L>> {
        let flow = self.flows.remove(id)?;
        self.index.remove(&FlowKey::new(flow.client, flow.local));
        self.deadlines.disarm(id.slot());
        Some(flow.ended(id, now, reason))
    }
}

#[cfg(test)]
mod tests;
