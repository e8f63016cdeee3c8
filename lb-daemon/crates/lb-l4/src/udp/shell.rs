//! The thin shell around the [`FlowTable`]: a port, the flows' sockets, and what moves between them. One task for a port.

use std::fmt::Display;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use lb_balance::{Protocol, Turn};
use lb_model::{DropReason, Listener, Termination};
use lb_net::{
    ClientPlace, Coalescing, Datagram, Limit, Permit, Timer, UdpBuffers, UdpError, UdpFlow, UdpFlowEvents,
    UdpPort, UdpSent, Worker, clock,
};
use lb_runtime::{Backend, Lease, NoLease, Tried};
use lb_telemetry::metrics::ListenerSheet;

use super::service::{Control, Identity, Phase, UdpProxy};
use super::{
    BackendError, Ended, FlowId, FlowTable, FromBackend, FromClient, Link, OpenFailed, OpenFailure, Payload,
    Reply, Settings,
};
use crate::proxy::AtLimit;
use crate::record::FlowRecord;
use crate::terms::Terms;

/// Serves one port on one worker.
pub(super) struct Shell {
    worker: Rc<Worker>,
    port: UdpPort,
    events: UdpFlowEvents,
    flows: FlowTable<Admitted, Way>,
    proxy: UdpProxy,
    listener: Rc<Admission>,
    control: Rc<Control>,
    timer: Timer,
    /// What the timer is armed for.
    alarm: Option<Instant>,
    turn: u32,
    /// When it was last told what is wrong with this host.
    complained: Option<Instant>,
    /// Flows that are said to have something to receive.
    ready: Vec<u64>,
    /// Where received datagrams go: flow and place in the batch.
    routes: Vec<(FlowId, usize)>,
    /// Which received datagrams go to clients: place in the batch, and how much of them.
    replies: Vec<(usize, Payload)>,
}

/// What new flows are admitted by.
struct Admission {
    identity: Arc<Identity>,
    limits: [Rc<Limit>; 2],
}

/// What a flow has from its admission to its end.
#[derive(Debug)]
struct Admitted {
    /// Whose it is: the port may have gone on to another listener since.
    identity: Arc<Identity>,
    permits: [Permit; 2],
    place: Option<ClientPlace>,
}

/// The way to a flow's backend.
#[derive(Debug)]
struct Way {
    socket: UdpFlow,
    lease: Lease,
    /// When a datagram was sent that may still be refused.
    sent: Instant,
}

impl Way {
    /// The backend, and when it was sent something that has had time to be refused since. Told once for each time.
    fn outlived(&mut self, now: Instant) -> Option<(Arc<Backend>, Instant)> {
        /// That a network has no such host is known after three seconds (mcast_solicit in arp(7)).
        const REFUSALS_TAKE: Duration = Duration::from_secs(5);

        let is_due = now.saturating_duration_since(self.sent) >= REFUSALS_TAKE;
        is_due.then(|| (self.backend(), std::mem::replace(&mut self.sent, now)))
    }
}

impl Link for Way {
    type Backend = Arc<Backend>;

    fn backend(&self) -> Arc<Backend> {
        Arc::clone(self.lease.backend())
    }

    fn keeps_flows(&self) -> bool {
        self.lease.backend().state.keeps_flows()
    }
}

impl Future for Shell {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        /// Turns before others of the worker have theirs: some hundred datagrams each at most.
        const TURNS: usize = 4;

        let shell = self.get_mut();
        // Turn by turn, so that neither side keeps the other waiting.
        for _ in 0..TURNS {
            let now = clock::now();
            shell.refresh(now);
            match shell.control.phase(cx.waker()) {
                Phase::Open => {}
                Phase::Closing => shell.flows.drain(),
                Phase::Over => {
                    shell.end_all();
                    return Poll::Ready(());
                }
            }
            let from_clients = shell.serve_clients(cx, now);
            let from_backends = shell.serve_backends(cx, now);
            shell.expire(cx, now);
            if shell.flows.len() == 0 && shell.control.phase(cx.waker()) != Phase::Open {
                return Poll::Ready(());
            }
            if from_clients.is_pending() && from_backends.is_pending() {
                return Poll::Pending;
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Drop for Shell {
    fn drop(&mut self) {
        self.end_all();
    }
}

impl Shell {
    /// # Errors
    ///
    /// If there is no descriptor left to watch flows with.
    pub(super) fn new(
        worker: &Rc<Worker>,
        port: UdpPort,
        proxy: UdpProxy,
        control: Rc<Control>,
    ) -> io::Result<Self> {
        let settings = Settings::of(None);
        Ok(Self {
            worker: Rc::clone(worker),
            port,
            events: UdpFlowEvents::new()?,
            flows: FlowTable::new(settings, clock::now(), std::hash::RandomState::new()),
            listener: Rc::new(Admission::of(&proxy)),
            proxy,
            control,
            timer: worker.timers().timer(),
            alarm: None,
            // Workers take turns from different places: the first flows shall not all go to the same backend.
            turn: u32::try_from(worker.index).unwrap_or(0),
            complained: None,
            ready: Vec::new(),
            routes: Vec::new(),
            replies: Vec::new(),
        })
    }

    /// Takes note of what a reload has changed.
    fn refresh(&mut self, now: Instant) {
        if !self.proxy.is(&self.listener.identity) {
            self.listener = Rc::new(Admission::of(&self.proxy));
        }
        let admission = Rc::clone(&self.listener);
        let view = admission.identity.proxy.served.runtime.view();
        // Without the listener, which is removed, the former settings hold for the flows that are left.
        if let Some(terms) = Terms::of(&view, admission.identity.proxy.served.slot(&view)) {
            self.flows.change(now, Settings::of(Some(&terms)));
        }
    }

    fn sheet(&self) -> &ListenerSheet {
        self.listener.identity.proxy.metrics.of(self.worker.index)
    }

    fn dropped(&self, reason: DropReason, datagrams: usize) {
        self.sheet().dropped(reason).add(datagrams as u64);
    }

    /// Receives from clients and sends on what was received.
    fn serve_clients(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<()> {
        let worker = Rc::clone(&self.worker);
        let UdpBuffers { batch, sender } = &mut *worker.udp_buffers();
        batch.clear();
        if let Err(error) = ready!(self.port.poll_recv(cx, batch)) {
            self.complain(now, "cannot receive datagrams", &error);
            // It may be able to next time: nobody else would wake this task for that.
            cx.waker().wake_by_ref();
            return Poll::Pending;
        }
        let admission = Rc::clone(&self.listener);
        let view = admission.identity.proxy.served.runtime.view();
        let terms = Terms::of(&view, admission.identity.proxy.served.slot(&view));
        if terms.is_none() {
            self.flows.stay();
        }
        let mut routes = std::mem::take(&mut self.routes);
        routes.clear();
        for (place, datagram) in batch.datagrams().enumerate() {
            routes.extend(self.route(now, terms.as_ref(), &datagram).map(|flow| (flow, place)));
        }
        // What one flow has sent leaves together: a call, and often a message, in place of many.
        routes.sort_by_key(|(flow, _)| flow.token());
        for of_flow in routes.chunk_by(|(one, _), (other, _)| one == other) {
            let datagrams = of_flow.iter().filter_map(|&(_, place)| batch.get(place));
            let Some(&(flow, _)) = of_flow.first() else { continue };
            match self.flows.link_mut(flow) {
                Some(way) => {
                    let sent = way.socket.send(sender, datagrams);
                    let outlived = way.outlived(now);
                    way.lease.backend().state.metrics.of(worker.index).bytes_in.add(sent.bytes as u64);
                    self.sheet().bytes_in.add(sent.bytes as u64);
                    self.sheet().datagrams_in.add(sent.datagrams as u64);
                    self.not_sent(&sent);
                    match (sent.error, outlived) {
                        (Some(error), _) => self.failed(now, flow, &error),
                        (None, Some((backend, sent))) => self.not_refused(&backend, sent),
                        (None, None) => {}
                    }
                }
                // It has moved to another backend in between.
                None => self.dropped(DropReason::NoFlow, datagrams.map(|datagram| datagram.count()).sum()),
            }
        }
        self.routes = routes;
        Poll::Ready(())
    }

    /// The flow that a client's datagram belongs to, which has a backend; `None` if it is dropped.
    fn route(&mut self, now: Instant, terms: Option<&Terms<'_>>, datagram: &Datagram<'_>) -> Option<FlowId> {
        let (client, local) = (datagram.peer, datagram.local);
        let admission = Rc::clone(&self.listener);
        let sheet = admission.identity.proxy.metrics.of(self.worker.index);
        let admit = || admission.admit(terms, client).inspect(|_| sheet.connections.add(1));
        match self.flows.client_sent(now, client, local, payload(datagram), admit) {
            FromClient::Forward(flow) => Some(flow),
            FromClient::Open { flow, former } => {
                drop(former);
                let opened = self.open(now, terms, flow, client, local);
                opened.map_err(|reason| self.dropped(reason, datagram.count())).ok()
            }
            FromClient::Drop(reason) => {
                self.dropped(reason, datagram.count());
                None
            }
        }
    }

    /// Finds the flow a backend. If there is none, it ends, and its datagram is dropped for the reason returned.
    fn open(
        &mut self,
        now: Instant,
        terms: Option<&Terms<'_>>,
        flow: FlowId,
        client: SocketAddr,
        local: SocketAddr,
    ) -> Result<FlowId, DropReason> {
        loop {
            let failure = match self.connect(now, terms, flow, client, local) {
                Ok(way) => {
                    return self
                        .flows
                        .opened(now, flow, way)
                        .map(|()| flow)
                        .map_err(|_gone| DropReason::NoFlow);
                }
                Err(failure) => failure,
            };
            match self.flows.open_failed(now, flow, failure) {
                OpenFailed::TryAnother => {}
                OpenFailed::Ended(ended, reason) => {
                    self.ended(ended);
                    return Err(reason);
                }
                OpenFailed::Gone => return Err(DropReason::NoFlow),
            }
        }
    }

    /// Picks a backend and makes a socket for it.
    fn connect(
        &mut self,
        now: Instant,
        terms: Option<&Terms<'_>>,
        flow: FlowId,
        client: SocketAddr,
        local: SocketAddr,
    ) -> Result<Way, OpenFailure<Arc<Backend>>> {
        let terms = terms.ok_or(OpenFailure::NoBackend)?;
        let pool = terms.pool(None).map_err(|_nobody| OpenFailure::NoBackend)?;
        let mut tried = Tried::default();
        self.flows.tried(flow).iter().for_each(|backend| tried.insert(backend));
        let turn = Turn {
            flow: pool.flow_hash(terms.seed, Protocol::Udp, client, local),
            count: self.turn,
            random: fastrand::u64(..),
        };
        self.turn = self.turn.wrapping_add(1);
        let lease = pool.try_lease(turn, &tried, now).map_err(|none| match none {
            NoLease::NoBackend => OpenFailure::NoBackend,
            NoLease::AllFull => OpenFailure::BackendsFull,
        })?;
        // A flow may never be answered, and would keep the others away for as long as it lasts.
        lease.end_trial();
        let backend = lease.backend();
        let sheet = backend.state.metrics.of(self.worker.index);
        let address = backend.address.for_listener_port(local.port());
        // What ends with a few answers has nothing to join, and saves itself a system call.
        let coalescing = terms.listener.replies.map_or(Coalescing::On, |_few| Coalescing::Off);
        let connected = UdpFlow::connect(address, coalescing);
        match connected.and_then(|socket| watched(&self.events, socket, flow)) {
            Ok(socket) => {
                sheet.connections.add(1);
                Ok(Way { socket, lease, sent: now })
            }
            Err(error @ UdpError::LocalResources(_)) => {
                let what = "cannot begin a flow, which takes a descriptor and a local port";
                self.complain(now, what, &error);
                Err(OpenFailure::LocalResources)
            }
            Err(error) => {
                self.blame(backend, &error, now);
                Err(OpenFailure::Unreachable(Arc::clone(backend)))
            }
        }
    }

    /// Receives from backends and sends on what was received.
    fn serve_backends(&mut self, cx: &mut Context<'_>, now: Instant) -> Poll<()> {
        let mut ready_flows = std::mem::take(&mut self.ready);
        ready_flows.clear();
        let ready = self.events.poll_ready(cx, &mut ready_flows);
        let worker = Rc::clone(&self.worker);
        let buffers = &mut *worker.udp_buffers();
        buffers.batch.clear();
        for &token in &ready_flows {
            if buffers.batch.is_full() {
                self.reply(buffers);
            }
            if let Some(flow) = self.flows.with_token(token) {
                self.receive(now, flow, buffers);
            }
        }
        self.reply(buffers);
        self.ready = ready_flows;
        match ready {
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(())) => Poll::Ready(()),
            Poll::Ready(Err(error)) => {
                self.complain(now, "cannot watch flows", &error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }

    /// Receives what the backend of a flow has sent.
    fn receive(&mut self, now: Instant, flow: FlowId, UdpBuffers { batch, .. }: &mut UdpBuffers) {
        let first = batch.len();
        let Some((client, local)) = self.flows.endpoints(flow) else { return };
        let Some(way) = self.flows.link_mut(flow) else { return };
        let received = way.socket.recv(batch, client, local);
        let backend = way.backend();
        for place in first..batch.len() {
            let Some(datagram) = batch.get(place) else { continue };
            match self.flows.backend_sent(now, flow, payload(&datagram)) {
                FromBackend::Reply(reply) => self.answered(&backend, place, &datagram, reply, now),
                FromBackend::LastReply(reply, ended) => {
                    self.answered(&backend, place, &datagram, reply, now);
                    self.ended(ended);
                }
                FromBackend::Drop(reason) => self.dropped(reason, datagram.count()),
            }
        }
        if let Err(error) = received
            && error.is_of_receiver()
        {
            self.failed(now, flow, &error);
        }
    }

    fn answered(
        &mut self,
        backend: &Backend,
        place: usize,
        datagram: &Datagram<'_>,
        reply: Reply,
        now: Instant,
    ) {
        self.replies.push((place, reply.payload));
        self.dropped(DropReason::NoFlow, datagram.count() - reply.payload.datagrams() as usize);
        let sheet = backend.state.metrics.of(self.worker.index);
        sheet.bytes_out.add(reply.payload.bytes() as u64);
        if let Some(after) = reply.first_after {
            sheet.first_byte.observe(after);
            backend.observe_answer(after, || now);
            self.listener.identity.proxy.served.runtime.connect_succeeded(backend);
        }
    }

    /// Sends clients what was received for them.
    fn reply(&mut self, UdpBuffers { batch, sender }: &mut UdpBuffers) {
        let datagrams = self.replies.iter().filter_map(|&(place, payload)| {
            let datagram = batch.get(place)?;
            Some(Datagram { payload: datagram.payload.get(..payload.bytes())?, ..datagram })
        });
        if !self.replies.is_empty() {
            let sent = self.port.send(sender, datagrams);
            self.sheet().bytes_out.add(sent.bytes as u64);
            self.sheet().datagrams_out.add(sent.datagrams as u64);
            self.not_sent(&sent);
        }
        self.replies.clear();
        batch.clear();
    }

    fn not_sent(&self, sent: &UdpSent) {
        let reasons = [
            (DropReason::LocalResources, sent.no_buffer),
            (DropReason::TooBig, sent.too_big),
            (DropReason::SendFailed, sent.failed),
        ];
        for (reason, datagrams) in reasons.into_iter().filter(|(_, datagrams)| *datagrams > 0) {
            self.dropped(reason, datagrams);
        }
    }

    /// What was sent to a backend at `sent` has arrived, for all that is known. Of one that never answers this is all.
    fn not_refused(&self, backend: &Backend, sent: Instant) {
        self.listener.identity.proxy.served.runtime.not_refused(backend, sent);
    }

    /// The backend of a flow does not get what it is sent.
    fn failed(&mut self, now: Instant, flow: FlowId, error: &UdpError) {
        let Some(backend) = self.flows.link_mut(flow).map(|way| way.backend()) else { return };
        match self.flows.backend_error(now, flow) {
            BackendError::Known => {}
            BackendError::Moves => self.blame(&backend, error, now),
            BackendError::Ended(ended) => {
                self.blame(&backend, error, now);
                self.ended(ended);
            }
        }
    }

    fn blame(&self, backend: &Backend, error: &UdpError, now: Instant) {
        backend.state.metrics.of(self.worker.index).connect_failures.add(1);
        // A backend without a port is sent to on the client's: a port that nobody listens on says nothing of the others.
        if error.is_of_receiver() && backend.address.port.is_some() {
            self.listener.identity.proxy.served.runtime.connect_failed(backend, error, now);
        }
    }

    fn complain(&mut self, now: Instant, what: &str, error: &dyn Display) {
        /// Often enough to be seen, and no flood of its own.
        const EVERY: Duration = Duration::from_secs(10);

        if self.complained.is_none_or(|last| now.saturating_duration_since(last) >= EVERY) {
            self.complained = Some(now);
            let (listener, address) = (&self.listener.identity.proxy.served.name, self.port.address());
            let flows = self.flows.len();
            tracing::error!(%listener, %address, flows, %error, "{what}");
        }
    }

    /// Ends flows that have been idle for too long, and has the timer wake for the next.
    fn expire(&mut self, cx: &mut Context<'_>, now: Instant) {
        while let Some(mut ended) = self.flows.expire(now) {
            if let Some((backend, sent)) = ended.link.as_mut().and_then(|way| way.outlived(now)) {
                self.not_refused(&backend, sent);
            }
            self.ended(ended);
        }
        let next = self.flows.wake_at();
        if next != self.alarm {
            self.alarm = next;
            match next {
                Some(at) => self.timer.arm(at.saturating_duration_since(now)),
                None => self.timer.disarm(),
            }
        }
        if self.timer.poll(cx).is_ready() {
            // Due by now: looked at when this task is polled again.
            self.alarm = None;
            cx.waker().wake_by_ref();
        }
    }

    fn end_all(&mut self) {
        let ended: Vec<_> = self.flows.end_all(clock::now(), Termination::Shutdown).collect();
        ended.into_iter().for_each(|ended| self.ended(ended));
    }

    fn ended(&self, ended: Ended<Admitted, Way>) {
        // Before it is told: whoever learns that the flow is over may use its places.
        let backend = ended.link.map(|way| way.backend());
        let Admitted { identity, permits, place } = ended.permit;
        drop((permits, place));
        let proxy = &identity.proxy;
        let sheet = proxy.metrics.of(self.worker.index);
        sheet.ended(ended.reason).add(1);
        sheet.duration.observe(ended.lasted);
        FlowRecord {
            listener: &proxy.served.name,
            client: ended.client,
            local: ended.local,
            backend: backend.as_deref(),
            tries: ended.tries,
            from_client: ended.from_client,
            from_backend: ended.from_backend,
            lasted: ended.lasted,
            reason: ended.reason,
        }
        .write();
    }
}

impl Admission {
    fn of(proxy: &UdpProxy) -> Self {
        let identity = proxy.identity();
        let limits = identity.limits.clone().map(Rc::new);
        Self { identity, limits }
    }

    fn admit(&self, terms: Option<&Terms<'_>>, client: SocketAddr) -> Result<Admitted, DropReason> {
        let terms = terms.ok_or(DropReason::Draining)?;
        if !terms.listener.access.permits(client.ip()) {
            return Err(DropReason::Denied);
        }
        let place = self.identity.proxy.place(terms.listener, client.ip());
        let place = place.map_err(|AtLimit| DropReason::ClientLimit)?;
        let [of_listener, of_process] = &self.limits;
        let permits = of_listener.try_acquire().zip(of_process.try_acquire());
        let (of_listener, of_process) = permits.ok_or(DropReason::NewFlowShed)?;
        Ok(Admitted { identity: Arc::clone(&self.identity), permits: [of_listener, of_process], place })
    }
}

impl Settings {
    /// What a listener wants; without one, what holds until there is one.
    fn of(terms: Option<&Terms<'_>>) -> Self {
        /// Settings have one; only those without a listener have none, and no flows.
        const NO_TIMEOUT: Duration = Duration::from_secs(30);

        let listener: Option<&Listener> = terms.map(|terms| terms.listener);
        let pool = terms.and_then(|terms| terms.pool(None).ok());
        Self {
            idle_timeout: listener.and_then(|listener| listener.idle_timeout).unwrap_or(NO_TIMEOUT),
            replies: listener.and_then(|listener| listener.replies),
            tries: pool.map_or(std::num::NonZeroU8::MIN, |pool| pool.settings.connect_tries),
        }
    }
}

fn watched(events: &UdpFlowEvents, socket: UdpFlow, flow: FlowId) -> Result<UdpFlow, UdpError> {
    events.watch(&socket, flow.token()).map_err(UdpError::LocalResources)?;
    Ok(socket)
}

/// What was received, as the flow table counts it.
fn payload(datagram: &Datagram<'_>) -> Payload {
    let bytes = datagram.payload.len();
    datagram.segment.map_or_else(|| Payload::datagram(bytes), |segment| Payload::joined(bytes, segment))
}
