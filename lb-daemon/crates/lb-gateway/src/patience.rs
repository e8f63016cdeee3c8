//! How long an exchange waits for whom: one timer for all of it.

use std::num::NonZeroU32;
use std::task::Context;
use std::time::Duration;

use lb_model::{ByteRate, Http, HttpUpstream, Listener};
use lb_net::{Timer, clock};
use lb_telemetry::metrics::RequestEnd;

/// Whom an exchange waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Wait {
    /// The client, for more of the request's body.
    Body,
    /// The backend, to take more of the request.
    Room,
    /// The backend, to begin its response.
    Head,
    /// The backend, for more of its response.
    Content,
    /// The client, to take more of the response.
    Taker,
}

/// What may be waited for, and how long.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Limits<'a> {
    pub(crate) listener: &'a Listener,
    pub(crate) http: &'a Http,
    pub(crate) upstream: &'a HttpUpstream,
}

/// How an exchange waits.
#[derive(Debug)]
pub(crate) struct Patience<'a> {
    limits: Limits<'a>,
    begun: Duration,
    wait: Wait,
    /// Since when, on the coarse clock.
    since: Duration,
    /// For how long the client has been waited for before that, in this `wait`.
    waited: Duration,
    armed: bool,
    /// Whether it has looked up already.
    looked: bool,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// Wait on.
    Wait,
    /// Wait on, and see whether the client is still there: it has been a while.
    Look,
}

impl<'a> Patience<'a> {
    /// How often to look up where nothing comes by itself.
    const LOOK: Duration = Duration::from_secs(1);

    /// Nothing limits the wait.
    const FOREVER: Duration = Duration::from_secs(24 * 60 * 60);

    pub(crate) fn new(limits: Limits<'a>) -> Self {
        let now = clock::coarse();
        Self {
            limits,
            begun: now,
            wait: Wait::Head,
            since: now,
            waited: Duration::ZERO,
            armed: false,
            looked: false,
        }
    }

    /// The exchange can do nothing but wait. `moved`: whether it did something since the last time; `bytes`: what the one who
    /// is waited for has sent or taken in all.
    pub(crate) fn poll(
        &mut self,
        cx: &Context<'_>,
        timer: &Timer,
        wait: Wait,
        moved: Moved,
        bytes: u64,
    ) -> Result<Verdict, RequestEnd> {
        let fired = self.armed && timer.poll(cx).is_ready();
        if !fired && self.armed && wait == self.wait && moved == Moved::Nothing {
            return Ok(Verdict::Wait);
        }
        let now = clock::coarse();
        if wait != self.wait {
            self.waited = Duration::ZERO;
            (self.wait, self.since) = (wait, now);
        } else if moved == Moved::Bytes || !self.armed {
            self.waited += now.saturating_sub(self.since);
            self.since = now;
        }
        self.judge(now, bytes)?;
        self.looked |= fired;
        timer.arm(self.next(now));
        self.armed = true;
        // Registers the waker: the new deadline is in the future.
        let _ = timer.poll(cx);
        Ok(if fired { Verdict::Look } else { Verdict::Wait })
    }

    fn judge(&self, now: Duration, bytes: u64) -> Result<(), RequestEnd> {
        let is_over = |limit: Option<Duration>, since: Duration| {
            limit.is_some_and(|limit| now.saturating_sub(since) >= limit)
        };
        if is_over(self.limits.upstream.total_timeout, self.begun) {
            return Err(RequestEnd::TotalTimeout);
        }
        let (limit, end) = self.silence();
        if is_over(limit, self.since) || self.is_too_slow(now, bytes) {
            return Err(end);
        }
        Ok(())
    }

    /// How long the one who is waited for may do nothing, and how the request ends then.
    fn silence(&self) -> (Option<Duration>, RequestEnd) {
        let Limits { listener, http, upstream } = self.limits;
        match self.wait {
            Wait::Body => (http.body_timeout, RequestEnd::BodyTimeout),
            Wait::Room => (upstream.idle_timeout, RequestEnd::BackendIdle),
            Wait::Head => (upstream.first_byte_timeout, RequestEnd::FirstByteTimeout),
            Wait::Content => (upstream.idle_timeout, RequestEnd::BackendIdle),
            Wait::Taker => (listener.idle_timeout, RequestEnd::ClientTooSlow),
        }
    }

    fn rate(&self) -> Option<ByteRate> {
        match self.wait {
            Wait::Body => self.limits.http.min_body_rate,
            Wait::Taker => self.limits.http.min_response_rate,
            Wait::Room | Wait::Head | Wait::Content => None,
        }
    }

    fn is_too_slow(&self, now: Duration, bytes: u64) -> bool {
        let waited = self.waited + now.saturating_sub(self.since);
        let Some(ByteRate(rate)) = self.rate().filter(|_| waited > self.limits.http.min_rate_grace) else {
            return false;
        };
        u128::from(bytes) * 1000 < u128::from(NonZeroU32::get(rate)) * waited.as_millis()
    }

    /// When to look up next.
    fn next(&self, now: Duration) -> Duration {
        let left = |limit: Option<Duration>, since: Duration| Some((since + limit?).saturating_sub(now));
        let total = left(self.limits.upstream.total_timeout, self.begun);
        let silence = left(self.silence().0, self.since);
        // Long waits are left alone, once the client is watched.
        let look = (!self.looked || self.rate().is_some()).then_some(Self::LOOK);
        [total, silence, look].into_iter().flatten().min().unwrap_or(Self::FOREVER)
    }
}

/// Whether an exchange has moved anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Moved {
    Bytes,
    Nothing,
}
