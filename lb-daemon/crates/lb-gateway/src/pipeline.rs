//! The phases of a request, in their order.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;

use lb_balance::{Protocol, Turn};
use lb_dial::{Dial, Dialled};
use lb_http::{Expectation, Framing, Persistence};
use lb_model::Termination;
use lb_net::clock;
use lb_runtime::{PoolView, Tried};
use lb_telemetry::metrics::RequestEnd;

use crate::conn::After;
use crate::conversation::{Conversation, Heard, Sent};
use crate::exchange::Exchange;
use crate::failure::Failure;
use crate::filter::{Filter, resume, walk};
use crate::forwarded;
use crate::patience::{Limits, Patience};
use crate::refusal::{close, refuse};
use crate::route::Route;
use crate::terms::Terms;
use crate::upgrade;
use crate::upstream::Upstream;

/// What every request goes through.
pub(crate) async fn pipeline(exchange: &mut Exchange<'_>) -> After {
    match serve(exchange).await {
        Ok(after) => after,
        Err(failure) => refuse(exchange, failure).await,
    }
}

async fn serve(exchange: &mut Exchange<'_>) -> Result<After, Failure> {
    let terms = Rc::clone(&exchange.terms);
    exchange.check()?;
    exchange.prepare()?;
    let route = exchange.route(&terms)?;
    let pool = Arc::clone(terms.pool(route.pool).ok_or(RequestEnd::NoRoute)?);
    // Last, so that a route can change what was prepared for all.
    exchange.filter(route).await?;
    let mut kept = Kept::Allowed;
    loop {
        let mut upstream = exchange.upstream(&pool, kept).await?;
        let mut conversation = exchange.converse(&mut upstream, &terms, route, &pool);
        let heard = conversation.hold().await;
        let outcome = conversation.outcome();
        exchange.record.bytes_in += outcome.bytes_in;
        exchange.record.bytes_out += outcome.bytes_out;
        match heard {
            // Not in the midst of a body.
            Ok(Heard::Switched) if outcome.sent == Sent::NotAll => return Err(RequestEnd::BadResponse.into()),
            Ok(Heard::Switched) => return upgrade::run(exchange, upstream).await,
            Ok(_) => {
                if outcome.reusable == Persistence::KeepAlive {
                    upstream.keep(&exchange.client.service.local.idle, &pool);
                }
                return Ok(exchange.finish(outcome.sent).await);
            }
            Err(failure) if outcome.may_repeat(failure) => {
                // The next one is new: a backend that has restarted has closed all that were kept.
                kept = Kept::Refused;
                exchange.record.repeats += 1;
            }
            Err(failure) if outcome.started => return Ok(exchange.abort(failure)),
            Err(failure) => return Err(failure),
        }
    }
}

/// Whether a connection that has served others may be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kept {
    Allowed,
    Refused,
}

impl Exchange<'_> {
    /// What can be refused from the head alone.
    fn check(&self) -> Result<(), Failure> {
        let request = &self.message.request;
        if request.expectation() == Expectation::Unknown {
            return Err(Failure { status: Some(417), ..RequestEnd::BadRequest.into() });
        }
        match (request.framing(), self.terms.http().max_body_bytes) {
            (Framing::Length(length), Some(most)) if length > most => Err(RequestEnd::BodyTooLarge.into()),
            _ => Ok(()),
        }
    }

    fn route<'t>(&self, terms: &'t Terms) -> Result<&'t Route, Failure> {
        let route = terms.routes.find(terms.http(), &self.message.request);
        route.ok_or_else(|| RequestEnd::NoRoute.into())
    }

    async fn filter(&mut self, route: &Route) -> Result<(), Failure> {
        let request = &mut self.message.request;
        let walked = walk(&route.on_request, 0, request, Filter::on_request);
        let answered = resume(&route.on_request, walked, request, Filter::on_request).await;
        answered.map_err(|status| Failure { status: Some(status), ..RequestEnd::Answered.into() })
    }

    fn prepare(&mut self) -> Result<(), Failure> {
        let (ends, id) = ((self.client.address, self.client.local), self.record.id);
        let prepared = forwarded::prepare(&mut self.message, ends, self.terms.http(), id);
        // More than a head may have.
        self.record.named =
            prepared.map_err(|_too_long| Failure { status: Some(431), ..RequestEnd::BadRequest.into() })?;
        Ok(())
    }

    /// A connection to a backend of the pool, unless the client goes away meanwhile.
    async fn upstream(&mut self, pool: &PoolView, kept: Kept) -> Result<Upstream, Failure> {
        let Self { client, record, terms, .. } = self;
        let service = &client.service;
        let source = (record.client, client.address.port()).into();
        let turn = Turn {
            flow: pool.flow_hash(terms.seed, Protocol::Tcp, source, client.local),
            count: service.next_turn(),
            random: fastrand::u64(..),
        };
        let dial = Dial {
            runtime: service.runtime(),
            pool,
            turn,
            worker: client.worker.index,
            port: client.local.port(),
            first: &[],
            timer: &client.timer,
        };
        let idle = &service.local.idle;
        let mut tried = Tried::default();
        let mut dialling = pin!(dial.dial(&mut tried, &mut record.trail, |lease| match kept {
            Kept::Allowed => idle.take(lease.backend()),
            Kept::Refused => None,
        }));
        let wire = &mut client.wire;
        let (lease, dialled) = poll_fn(|cx| match dialling.as_mut().poll(cx) {
            Poll::Pending => {
                // This may take long, for example in the queue.
                let watched = wire.watch();
                let gone = watched.is_err() || wire.poll_gone(cx).is_ready();
                if gone { Poll::Ready(Err(Termination::ClientGone)) } else { Poll::Pending }
            }
            dialled => dialled,
        })
        .await?;
        Ok(match dialled {
            Dialled::Kept(wire) => Upstream::kept(wire, lease),
            Dialled::New(stream) => Upstream::new(stream, lease),
        })
    }

    fn converse<'x>(
        &'x mut self,
        upstream: &'x mut Upstream,
        terms: &'x Terms,
        route: &'x Route,
        pool: &'x PoolView,
    ) -> Conversation<'x> {
        let limits = Limits { listener: &terms.listener, http: terms.http(), upstream: &pool.settings.http };
        self.record.sent = Some(clock::now());
        let Self { client, message, record, .. } = self;
        Conversation::new(client, upstream, message, record, (terms, route), Patience::new(limits))
    }

    /// The response has been delivered.
    async fn finish(&mut self, sent: Sent) -> After {
        self.record.end = Some(RequestEnd::Served);
        match (self.record.persistence, sent) {
            (Persistence::KeepAlive, Sent::All) => After::Next,
            (Persistence::Close, Sent::All) if !self.client.has_sent_more() => {
                After::End(Termination::Finished)
            }
            // What nobody reads would have the kernel reset the connection, and the end of the response with it.
            (Persistence::Close, Sent::All) | (_, Sent::NotAll) => close(self.client).await,
        }
    }

    /// The response ends in the middle, and must not look whole.
    fn abort(&mut self, failure: Failure) -> After {
        (self.record.end, self.record.fault) = (Some(failure.end), failure.fault);
        self.client.wire.reset();
        After::End(failure.connection_end())
    }
}
