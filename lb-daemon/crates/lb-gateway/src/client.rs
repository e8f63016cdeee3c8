//! A client's connection: what it keeps while it waits, and how it comes to its next request.

use std::net::SocketAddr;
use std::rc::Rc;
use std::task::{Context, Poll};
use std::time::Instant;

use lb_http::{Parsed, Persistence};
use lb_model::Termination;
use lb_net::sniff::{Progress, proxy_protocol};
use lb_net::{Accepted, ClientPlace, Permit, Timer, Wire, Worker};
use lb_telemetry::metrics::RequestEnd;

use crate::failure::Failure;
use crate::message::Message;
use crate::service::OnWorker;
use crate::stock::Loan;
use crate::terms::Terms;
use crate::unread::Unread;

/// A client's connection.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) wire: Wire,
    /// What it has sent already of what comes next.
    pub(crate) unread: Unread,
    /// The one timer of the connection, of its requests, and of their way to a backend.
    pub(crate) timer: Timer,
    /// The client: the peer, or whom the peer's PROXY header names.
    pub(crate) address: SocketAddr,
    /// What it has connected to.
    pub(crate) local: SocketAddr,
    /// How many requests it has sent.
    pub(crate) requests: u32,
    pub(crate) service: Rc<OnWorker>,
    pub(crate) worker: Rc<Worker>,
    /// Whether a PROXY header has to come first.
    expects: Expects,
    /// A head that is not whole yet.
    head: Option<Loan<Message>>,
    accepted: Instant,
    /// `None` until it ends in a way that the code foresees.
    end: Option<Termination>,
    /// Its place among those of its address, where those are counted. Boxed, because mostly they are not.
    place: Option<Box<ClientPlace>>,
    _permits: [Permit; 2],
}

/// What comes next on a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expects {
    ProxyHeader,
    Request,
}

/// What a client does next.
#[derive(Debug)]
pub(crate) enum Next {
    /// It sends a request.
    Request(Loan<Message>),
    /// It sends what is none.
    Refuse(Loan<Message>, Failure),
    /// Nothing: the connection is over.
    End(Termination),
}

impl Drop for Client {
    fn drop(&mut self) {
        let cut_off = if self.worker.is_cut() { Termination::Shutdown } else { Termination::Internal };
        self.service.count_end(&self.worker, self.accepted, self.end.unwrap_or(cut_off));
    }
}

impl Client {
    /// The connection of a client that may be served by `terms`, and that has been here since `begun`.
    pub(crate) fn new(
        accepted: Accepted,
        begun: Instant,
        (expects, place): (Expects, Option<ClientPlace>),
        (service, worker): (Rc<OnWorker>, &Rc<Worker>),
        terms: &Terms,
    ) -> Box<Self> {
        let Accepted { stream, client, local, permits } = accepted;
        let timer = worker.timers().timer();
        timer.arm(terms.listener.header_timeout);
        Box::new(Self {
            wire: Wire::accepted(stream),
            unread: Unread::default(),
            timer,
            address: client,
            local,
            requests: 0,
            service,
            worker: Rc::clone(worker),
            expects,
            head: None,
            accepted: begun,
            end: None,
            place: place.map(Box::new),
            _permits: permits,
        })
    }

    /// The connection is over.
    pub(crate) fn end(mut self: Box<Self>, termination: Termination) {
        if matches!(termination, Termination::Denied | Termination::ClientLimit | Termination::BadHeader) {
            // Who is not let in hears nothing, as where TCP is relayed.
            self.wire.reset();
        }
        self.end = Some(termination);
    }

    /// The last request has been answered: waits for the next one.
    pub(crate) fn await_next(&mut self) {
        if let Some(terms) = self.service.terms() {
            self.timer.arm(terms.http().keepalive_timeout);
        }
    }

    /// Ready once a request's head is whole, or will not be.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        if self.head.is_none() && !self.unread.is_empty() {
            // Sent before the last response: pipelined.
            let kept = std::mem::take(&mut self.unread);
            if let Some(next) = self.take_all(kept) {
                return Poll::Ready(next);
            }
        }
        loop {
            if self.timer.poll(cx).is_ready() {
                return Poll::Ready(self.too_late());
            }
            match self.poll_read(cx) {
                Poll::Ready(Ok(None)) => {}
                Poll::Ready(Ok(Some(next))) => return Poll::Ready(next),
                Poll::Ready(Err(_)) => return Poll::Ready(Next::End(Termination::ClientReset)),
                // Nobody waits for an answer, and no more requests are wanted.
                Poll::Pending if self.head.is_none() && self.service.is_over(&self.worker) => {
                    return Poll::Ready(Next::End(Termination::Finished));
                }
                Poll::Pending => return Poll::Pending,
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<std::io::Result<Option<Next>>> {
        // Out of its place, because what is read is given to the rest of this.
        let mut wire = std::mem::replace(&mut self.wire, Wire::closed());
        let worker = Rc::clone(&self.worker);
        let read = wire.poll_read(cx, &worker, |bytes| self.take(bytes));
        self.wire = wire;
        read
    }

    /// Takes what has come; `None` if that is not yet a head.
    fn take(&mut self, bytes: &[u8]) -> Option<Next> {
        if bytes.is_empty() {
            let whole = self.head.is_none() && self.unread.is_empty();
            return Some(Next::End(if whole { Termination::Finished } else { Termination::ClientGone }));
        }
        let mut kept = std::mem::take(&mut self.unread);
        if !kept.is_empty() {
            kept.append(bytes);
            return self.take_all(kept);
        }
        // Nearly always all of it comes at once, and is parsed where it was read.
        let (next, taken) = self.parse(bytes);
        self.unread.append(bytes.get(taken..).unwrap_or_default());
        next
    }

    /// The same with all that there is.
    fn take_all(&mut self, mut kept: Unread) -> Option<Next> {
        let (next, taken) = self.parse(kept.rest());
        kept.take(taken);
        self.unread = kept;
        next
    }

    /// Looks for what comes next in all that there is; says how much of it was taken.
    fn parse(&mut self, bytes: &[u8]) -> (Option<Next>, usize) {
        let Some(terms) = self.service.terms() else { return (Some(Next::End(Termination::NoRoute)), 0) };
        self.parse_by(bytes, &terms).unwrap_or_else(|termination| (Some(Next::End(termination)), 0))
    }

    fn parse_by(&mut self, bytes: &[u8], terms: &Terms) -> Result<(Option<Next>, usize), Termination> {
        let mut before = 0;
        if self.expects == Expects::ProxyHeader {
            let Some(length) = self.read_proxy_header(bytes, terms)? else { return Ok((None, 0)) };
            before = length;
        }
        let bytes = bytes.get(before..).unwrap_or_default();
        if bytes.is_empty() {
            return Ok((None, before));
        }
        let is_begun = self.head.is_some();
        let mut message = self.head.take().unwrap_or_else(|| self.service.local.messages.lend());
        Ok(match message.request.parse(bytes, &terms.head_limits) {
            Ok(Parsed::Complete { length }) => (Some(Next::Request(message)), before + length),
            Ok(Parsed::Partial) => {
                if !is_begun {
                    self.timer.arm(terms.listener.header_timeout);
                }
                self.head = Some(message);
                (None, before)
            }
            Err(error) => (Some(Next::Refuse(message, Failure::bad_request(error.fault))), before),
        })
    }

    /// Learns from a PROXY header who the client is, and whether it may be served; its length once it is whole.
    fn read_proxy_header(&mut self, bytes: &[u8], terms: &Terms) -> Result<Option<usize>, Termination> {
        match proxy_protocol::parse(bytes).map_err(|_invalid| Termination::BadHeader)? {
            Progress::NeedMore { .. } => Ok(None),
            Progress::Done { value, length } => {
                if let Some(endpoints) = value.endpoints {
                    self.address = endpoints.source;
                }
                self.expects = Expects::Request;
                self.place = self.service.admit(&terms.listener, self.address.ip())?.map(Box::new);
                Ok(Some(length))
            }
        }
    }

    fn too_late(&mut self) -> Next {
        match self.head.take() {
            Some(mut message) => {
                message.request.clear();
                Next::Refuse(message, RequestEnd::HeaderTimeout.into())
            }
            None if self.requests == 0 => Next::End(Termination::HeaderTimeout),
            None => Next::End(Termination::Finished),
        }
    }

    /// Ready if the client has gone away; else the task is woken when it does, if the connection is watched. What the client
    /// sends in advance of its next request is read meanwhile, up to a limit: behind it, its end would not be seen.
    pub(crate) fn poll_gone(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        const IN_ADVANCE: usize = 16 << 10;

        let Self { wire, unread, worker, .. } = self;
        while wire.poll_gone(cx).is_pending() {
            if !wire.has_input() || unread.rest().len() > IN_ADVANCE {
                return Poll::Pending;
            }
            match wire.poll_read(cx, worker, |bytes| unread.append(bytes)) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(()),
                Poll::Pending => return Poll::Pending,
            }
        }
        Poll::Ready(())
    }

    /// Whether the client has sent more than its requests so far, as far as that is known without asking.
    pub(crate) fn has_sent_more(&self) -> bool {
        !self.unread.is_empty() || self.wire.has_input()
    }

    /// Whether the client sends another request on this connection after the one of `message`, and may.
    pub(crate) fn persistence(&self, message: &Message, terms: &Terms) -> Persistence {
        let most = terms.http().max_requests_per_connection;
        let is_last =
            most.is_some_and(|most| self.requests >= most.get()) || self.service.is_over(&self.worker);
        if is_last { Persistence::Close } else { message.request.persistence() }
    }
}
