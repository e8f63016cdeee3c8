//! A request on its way to a backend and the response on its way back, both at once: whatever comes is passed on as it comes,
//! and nobody is read from until the other side has taken what came before.

use std::future::poll_fn;
use std::io;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use lb_http::{Expectation, Framing, KnownField, Parsed, Persistence, Version};
use lb_net::Wire;
use lb_telemetry::metrics::RequestEnd;

use crate::body::{Body, BodyError};
use crate::client::Client;
use crate::failure::Failure;
use crate::filter::{Filter, Walk, resume, walk};
use crate::message::Message;
use crate::patience::{Moved, Patience, Verdict, Wait};
use crate::record::Record;
use crate::route::Route;
use crate::terms::Terms;
use crate::upstream::{Origin, Upstream};

/// Times that one way fills the worker's buffer before others get their turn.
const TURN: usize = 16;

/// Both ways of an exchange with one backend.
pub(crate) struct Conversation<'x> {
    pub(crate) client: &'x mut Client,
    pub(crate) upstream: &'x mut Upstream,
    pub(crate) message: &'x mut Message,
    pub(crate) record: &'x mut Record,
    pub(crate) terms: &'x Terms,
    pub(crate) route: &'x Route,
    request: Request,
    response: Response,
    /// Interim responses that there were.
    informed: u32,
    patience: Patience<'x>,
}

/// How far the request has got.
struct Request {
    body: Body,
    /// How much of what the client has sent in advance belongs to the body. It is kept until the response begins, if that is
    /// all of the body: then the request can be sent again.
    kept: Option<usize>,
    /// The backend has taken nothing, or takes no more of it. It may have responded all the same.
    refused: Option<Refused>,
    /// Whether the response began before all of it was sent: the backend may never read the rest.
    is_overtaken: bool,
}

/// Whether a client's request was sent to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    All,
    NotAll,
}

/// How a conversation went.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Outcome {
    /// Bytes of content that went to the backend.
    pub(crate) bytes_in: u64,
    /// Bytes of content that went to the client.
    pub(crate) bytes_out: u64,
    pub(crate) sent: Sent,
    /// Whether anything of a response has gone to the client.
    pub(crate) started: bool,
    /// Whether the backend's connection can serve another request.
    pub(crate) reusable: Persistence,
    repeatable: bool,
}

impl Outcome {
    /// Whether the request may be sent once more, on another connection.
    pub(crate) fn may_repeat(&self, failure: Failure) -> bool {
        self.repeatable && failure.end == RequestEnd::BackendClosed
    }
}

/// When a backend stopped to take a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Refused {
    AtOnce,
    InTheMiddle,
}

/// How far the response has got.
enum Response {
    /// Nothing of it has come.
    Awaited,
    /// Something of it has.
    Begun,
    /// Its head has gone to the client.
    Started(Body),
}

/// What a backend answers.
pub(crate) enum Heard {
    /// A response, whose head and whatever has come of its body are on their way to the client.
    Started,
    /// A response that a filter has stopped.
    Stopped(Walk<lb_http::ResponseHead>),
    /// It switches to another protocol.
    Switched,
}

impl<'x> Conversation<'x> {
    pub(crate) fn new(
        client: &'x mut Client,
        upstream: &'x mut Upstream,
        message: &'x mut Message,
        record: &'x mut Record,
        (terms, route): (&'x Terms, &'x Route),
        patience: Patience<'x>,
    ) -> Self {
        let framing = message.request.framing();
        let body = Body::new(framing, framing, terms.body_limits).limited(terms.http().max_body_bytes);
        let request = Request { body, kept: None, refused: None, is_overtaken: false };
        Self {
            client,
            upstream,
            message,
            record,
            terms,
            route,
            request,
            response: Response::Awaited,
            informed: 0,
            patience,
        }
    }

    /// Sends the request, and the response back.
    pub(crate) async fn hold(&mut self) -> Result<Heard, Failure> {
        self.send()?;
        let heard = poll_fn(|cx| self.poll_heard(cx)).await?;
        match heard {
            Heard::Started => {}
            Heard::Stopped(stopped) => {
                let filters = &self.route.on_response;
                let resumed = resume(filters, stopped, &mut self.message.response, Filter::on_response);
                if let Err(status) = resumed.await {
                    return Err(Failure { status: Some(status), ..RequestEnd::Answered.into() });
                }
                let rest = std::mem::take(&mut self.upstream.unread);
                let taken = self.start(rest.rest())?;
                self.upstream.unread.append(rest.rest().get(taken..).unwrap_or_default());
            }
            Heard::Switched => return Ok(Heard::Switched),
        }
        poll_fn(|cx| self.poll_finished(cx)).await?;
        Ok(Heard::Started)
    }

    /// How it went.
    pub(crate) fn outcome(self) -> Outcome {
        let [bytes_in, bytes_out, ..] = self.progress();
        let reusable =
            self.upstream.unread.is_empty() && self.has_sent_all() == Sent::All && !self.request.is_overtaken;
        Outcome {
            bytes_in,
            bytes_out,
            sent: self.has_sent_all(),
            started: matches!(self.response, Response::Started(_)),
            reusable: if reusable { self.message.response.persistence() } else { Persistence::Close },
            repeatable: matches!(self.response, Response::Awaited)
                // Only a connection that was kept may have ended before it had anything to do with this request.
                && self.upstream.origin == Origin::Kept
                && self.request.kept.is_some()
                && (self.message.request.method().is_idempotent() || self.request.refused == Some(Refused::AtOnce)),
        }
    }

    fn has_sent_all(&self) -> Sent {
        let all = self.request.body.is_ended() && self.request.refused.is_none();
        if all { Sent::All } else { Sent::NotAll }
    }

    /// Sends the head, and what the client has sent of the body already.
    fn send(&mut self) -> Result<(), Failure> {
        let Message { request, out, .. } = &mut *self.message;
        out.clear();
        request.write(request.framing(), out);
        self.record.bytes_in += out.len() as u64;
        let unread = &mut self.client.unread;
        let sent = if request.framing() == Framing::None {
            self.upstream.wire.write(&[io::IoSlice::new(out)]).map(|()| 0).map_err(|_failed| BodyError::Write)
        } else {
            self.request.body.forward(out, unread.rest(), &mut self.upstream.wire)
        };
        if request.framing() == Framing::None {
            self.request.body.end();
        }
        self.request.kept = Some(0);
        match sent {
            Ok(taken) if self.request.body.is_ended() => self.request.kept = Some(taken),
            Ok(taken) => {
                unread.take(taken);
                self.request.kept = None;
            }
            Err(BodyError::Malformed(fault)) => return Err(Failure::bad_request(fault)),
            Err(BodyError::TooLarge) => return Err(RequestEnd::BodyTooLarge.into()),
            Err(BodyError::Write) => self.request.refused = Some(Refused::AtOnce),
        }
        Ok(())
    }

    fn poll_heard(&mut self, cx: &mut Context<'_>) -> Poll<Result<Heard, Failure>> {
        let before = self.progress();
        self.poll_request(cx)?;
        if let Poll::Ready(heard) = self.poll_head(cx)? {
            return Poll::Ready(Ok(heard));
        }
        self.wait(cx, before)
    }

    fn poll_finished(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let before = self.progress();
        self.poll_request(cx)?;
        if self.poll_response(cx)?.is_ready() {
            return Poll::Ready(Ok(()));
        }
        self.wait(cx, before)
    }

    /// Passes on what the client sends, until its request has ended or has to wait.
    fn poll_request(&mut self, cx: &mut Context<'_>) -> Result<(), Failure> {
        for _ in 0..TURN {
            if self.request.refused.is_some() {
                return Ok(());
            }
            match self.upstream.wire.poll_flush(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => self.request.refused = Some(Refused::InTheMiddle),
                Poll::Pending => return Ok(()),
            }
            if self.request.body.is_ended() {
                return Ok(());
            }
            let Poll::Ready(read) = self.poll_body(cx) else { return Ok(()) };
            read?;
        }
        cx.waker().wake_by_ref();
        Ok(())
    }

    fn poll_body(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        let Client { wire, unread, worker, .. } = &mut *self.client;
        let (body, target) = (&mut self.request.body, &mut self.upstream.wire);
        let gone = || Failure::from(RequestEnd::ClientGone);
        let read = ready!(wire.poll_read(cx, worker, |bytes| {
            if bytes.is_empty() {
                return Err(None);
            }
            let taken = body.forward(&[], bytes, target).map_err(Some)?;
            unread.append(bytes.get(taken..).unwrap_or_default());
            Ok(())
        }));
        Poll::Ready(match read {
            Ok(Ok(())) => Ok(()),
            Ok(Err(Some(BodyError::Write))) => {
                self.request.refused = Some(Refused::InTheMiddle);
                Ok(())
            }
            Ok(Err(Some(BodyError::Malformed(fault)))) => Err(Failure::bad_request(fault)),
            Ok(Err(Some(BodyError::TooLarge))) => Err(RequestEnd::BodyTooLarge.into()),
            Ok(Err(None)) | Err(_) => Err(gone()),
        })
    }

    /// Waits for the head of the response, and sends it on with what has come of the body.
    fn poll_head(&mut self, cx: &mut Context<'_>) -> Result<Poll<Heard>, Failure> {
        loop {
            // What the backend has said in between has to be taken first.
            if self.poll_taken(cx)?.is_pending() {
                return Ok(Poll::Pending);
            }
            let mut wire = std::mem::replace(&mut self.upstream.wire, Wire::closed());
            let worker = Rc::clone(&self.client.worker);
            let read = wire.poll_read(cx, &worker, |bytes| self.hear(bytes));
            self.upstream.wire = wire;
            match read {
                Poll::Ready(Ok(Ok(None))) => {}
                Poll::Ready(Ok(Ok(Some(heard)))) => return Ok(Poll::Ready(heard)),
                Poll::Ready(Ok(Err(failure))) => return Err(failure),
                Poll::Ready(Err(_)) => return Err(RequestEnd::BackendClosed.into()),
                Poll::Pending => return Ok(Poll::Pending),
            }
        }
    }

    /// Takes what the backend has sent; `None` as long as that is no final response's head.
    fn hear(&mut self, bytes: &[u8]) -> Result<Option<Heard>, Failure> {
        if bytes.is_empty() {
            return Err(RequestEnd::BackendClosed.into());
        }
        if matches!(self.response, Response::Awaited) {
            self.begin();
        }
        let mut kept = std::mem::take(&mut self.upstream.unread);
        if kept.is_empty() {
            // Nearly always all of it comes at once, and is parsed where it was read.
            let (heard, taken) = self.parse(bytes)?;
            self.upstream.unread.append(bytes.get(taken..).unwrap_or_default());
            return Ok(heard);
        }
        kept.append(bytes);
        let (heard, taken) = self.parse(kept.rest())?;
        kept.take(taken);
        self.upstream.unread = kept;
        Ok(heard)
    }

    /// Looks for heads at the start of what the backend has sent; says how much of it is done with.
    fn parse(&mut self, bytes: &[u8]) -> Result<(Option<Heard>, usize), Failure> {
        let mut rest = bytes;
        let heard = loop {
            let Message { request, response, .. } = &mut *self.message;
            let parsed = response.parse(rest, request.method(), &self.terms.head_limits);
            let length = match parsed.map_err(|error| Failure::bad_response(error.fault))? {
                Parsed::Partial => break None,
                Parsed::Complete { length } => length,
            };
            rest = rest.get(length..).unwrap_or_default();
            match response.status() {
                101 => break Some(Heard::Switched),
                100..=199 => self.inform()?,
                _ => {
                    // Before the filters: what they set is not the backend's to take out.
                    response.fields_mut().remove_hop_by_hop();
                    let walked = walk(&self.route.on_response, 0, response, Filter::on_response);
                    if !matches!(walked, Walk::Done) {
                        break Some(Heard::Stopped(walked));
                    }
                    let taken = self.start(rest)?;
                    rest = rest.get(taken..).unwrap_or_default();
                    break Some(Heard::Started);
                }
            }
            if rest.is_empty() {
                break None;
            }
        };
        Ok((heard, bytes.len() - rest.len()))
    }

    /// The first bytes of the response are there.
    fn begin(&mut self) {
        self.response = Response::Begun;
        self.record.answered(&self.upstream.lease, self.client.worker.index);
        // The backend has taken the request as it is.
        if let Some(kept) = self.request.kept.take() {
            self.client.unread.take(kept);
        }
    }

    /// Tells the client what the backend says before its response: go on (100), or what it may load meanwhile (103).
    fn inform(&mut self) -> Result<(), Failure> {
        /// More than anybody has to say before.
        const MOST: u32 = 32;

        self.informed += 1;
        if self.informed > MOST {
            return Err(RequestEnd::BadResponse.into());
        }
        let Message { request, response, out, .. } = &mut *self.message;
        // HTTP/1.0 has nothing of the kind (RFC 9110 §15.2).
        if request.version() < Version::Http11 {
            return Ok(());
        }
        response.fields_mut().remove_hop_by_hop();
        out.clear();
        response.write(Framing::None, out);
        self.client.wire.write(&[io::IoSlice::new(out)]).map_err(|_gone| RequestEnd::ClientGone.into())
    }

    /// Sends the head of the response, with what `rest` has of its body. Returns how much that is.
    fn start(&mut self, rest: &[u8]) -> Result<usize, Failure> {
        let mut persistence = self.client.persistence(self.message, self.terms);
        if self.has_sent_all() == Sent::NotAll {
            // Where its next request would begin is not known.
            persistence = Persistence::Close;
            self.request.is_overtaken = true;
        }
        // A backend that was asked whether it wants the body, and has answered instead, may not read the one that was sent all
        // the same: it would take it for the next request (RFC 9110 §10.1.1).
        self.request.is_overtaken |=
            self.message.request.expectation() == Expectation::Continue && self.informed == 0;
        let Message { request, response, out, .. } = &mut *self.message;
        let (from, is_old) = (response.framing(), request.version() < Version::Http11);
        let to = match from {
            Framing::None | Framing::Length(_) => from,
            Framing::Chunked | Framing::UntilClose if is_old => Framing::UntilClose,
            Framing::Chunked | Framing::UntilClose => Framing::Chunked,
        };
        if to == Framing::UntilClose {
            persistence = Persistence::Close;
        }
        let fields = response.fields_mut();
        match persistence {
            Persistence::Close => fields.set(KnownField::Connection, b"close"),
            Persistence::KeepAlive if is_old => fields.set(KnownField::Connection, b"keep-alive"),
            Persistence::KeepAlive => Ok(()),
        }
        .map_err(|_too_long| Failure::from(RequestEnd::BadResponse))?;
        let sheet = self.upstream.lease.backend().state.metrics.of(self.client.worker.index);
        sheet.responses(response.status()).add(1);
        self.record.status = response.status();
        self.record.persistence = persistence;
        out.clear();
        response.write(to, out);
        self.record.bytes_out += out.len() as u64;
        let mut body = Body::new(from, to, self.terms.body_limits);
        let sent = if from == Framing::None {
            body.end();
            self.client.wire.write(&[io::IoSlice::new(out)]).map(|()| 0).map_err(|_failed| BodyError::Write)
        } else {
            body.forward(out, rest, &mut self.client.wire)
        };
        self.response = Response::Started(body);
        sent.map_err(response_failed)
    }

    /// Passes on what the backend sends, until its response has ended and the client has all of it.
    fn poll_response(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Failure> {
        for _ in 0..TURN {
            if self.poll_taken(cx)?.is_pending() {
                return Ok(Poll::Pending);
            }
            let Response::Started(body) = &mut self.response else { return Ok(Poll::Pending) };
            if body.is_ended() {
                return Ok(Poll::Ready(()));
            }
            let Upstream { wire, unread, .. } = &mut *self.upstream;
            let target = &mut self.client.wire;
            let read = wire.poll_read(cx, &self.client.worker, |bytes| {
                if bytes.is_empty() {
                    return body.close(target);
                }
                let taken = body.forward(&[], bytes, target)?;
                unread.append(bytes.get(taken..).unwrap_or_default());
                Ok(())
            });
            match read {
                Poll::Ready(Ok(passed)) => passed.map_err(response_failed)?,
                Poll::Ready(Err(_)) => return Err(RequestEnd::BackendClosed.into()),
                Poll::Pending => return Ok(Poll::Pending),
            }
        }
        cx.waker().wake_by_ref();
        Ok(Poll::Pending)
    }

    /// Ready once the client has taken what was sent to it.
    fn poll_taken(&mut self, cx: &mut Context<'_>) -> Result<Poll<()>, Failure> {
        match self.client.wire.poll_flush(cx) {
            Poll::Ready(Ok(())) => Ok(Poll::Ready(())),
            Poll::Ready(Err(_)) => Err(RequestEnd::ClientGone.into()),
            Poll::Pending => Ok(Poll::Pending),
        }
    }

    /// Nothing can be done now: sees to it that it does not last for ever.
    fn wait<T>(&mut self, cx: &mut Context<'_>, before: [u64; 4]) -> Poll<Result<T, Failure>> {
        let moved = if self.progress() == before { Moved::Nothing } else { Moved::Bytes };
        let wait = self.waits_for();
        let bytes = match wait {
            Wait::Body => self.request.body.content,
            Wait::Taker | Wait::Room | Wait::Head | Wait::Content => {
                let [_, content, unsent, _] = self.progress();
                content.saturating_sub(unsent)
            }
        };
        if self.patience.poll(cx, &self.client.timer, wait, moved, bytes)? == Verdict::Look {
            // Until now a client that went away would have shown at the next write only: most answers come sooner.
            self.client.wire.watch().map_err(|_failed| RequestEnd::LocalResources)?;
        }
        let listens = self.request.body.is_ended() || self.request.refused.is_some();
        if listens && self.client.poll_gone(cx).is_ready() {
            return Poll::Ready(Err(RequestEnd::ClientGone.into()));
        }
        Poll::Pending
    }

    fn waits_for(&self) -> Wait {
        let has_sent_all = self.request.body.is_ended() || self.request.refused.is_some();
        match self.response {
            _ if !self.client.wire.is_flushed() => Wait::Taker,
            Response::Started(_) => Wait::Content,
            Response::Awaited | Response::Begun if !self.upstream.wire.is_flushed() => Wait::Room,
            Response::Awaited | Response::Begun if has_sent_all => Wait::Head,
            Response::Awaited | Response::Begun => Wait::Body,
        }
    }

    /// What has moved: bytes each way, and what has still to be taken.
    fn progress(&self) -> [u64; 4] {
        let response = match &self.response {
            Response::Started(body) => body.content,
            Response::Awaited | Response::Begun => 0,
        };
        let (client, upstream) = (self.client.wire.unsent(), self.upstream.wire.unsent());
        [self.request.body.content, response, client as u64, upstream as u64]
    }
}

/// A response stopped in the middle.
fn response_failed(error: BodyError) -> Failure {
    match error {
        BodyError::Write => RequestEnd::ClientGone.into(),
        // Responses have no limit.
        BodyError::TooLarge => RequestEnd::BadResponse.into(),
        BodyError::Malformed(lb_http::Fault::Truncated) => RequestEnd::BackendClosed.into(),
        BodyError::Malformed(fault) => Failure::bad_response(fault),
    }
}
