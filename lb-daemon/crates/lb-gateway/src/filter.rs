//! Filters: what requests and responses go through between a client and a backend (ADR 16).
//!
//! A closed set in a fixed order. A step is a plain function; only what has to ask somebody suspends.

mod headers;

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use lb_http::{RequestHead, ResponseHead};
use lb_model::HeaderEdit;

pub use self::headers::Edits;

/// One filter of a route.
#[derive(Debug)]
pub enum Filter {
    /// Header fields that are set, added or removed.
    Headers(Edits),
}

/// What becomes of a message `M` after a filter has seen it.
pub enum Step<M> {
    /// It goes on.
    Continue,
    /// The client gets this status with a body of ours instead, and a backend no request.
    Respond(u16),
    /// Somebody has to be asked first. What they say is applied to the message, and is a step again.
    Suspend(Pin<Box<dyn Future<Output = Resume<M>>>>),
}

/// What is to be done with a message once its filter knows what it had to ask.
pub type Resume<M> = Box<dyn FnOnce(&mut M) -> Step<M>>;

impl Filter {
    /// The filters that make these edits.
    pub(crate) fn edits(edits: &[HeaderEdit]) -> Box<[Self]> {
        if edits.is_empty() { Box::default() } else { Box::new([Self::Headers(Edits::new(edits))]) }
    }

    /// A request on its way to a backend.
    pub(crate) fn on_request(&self, head: &mut RequestHead) -> Step<RequestHead> {
        match self {
            Self::Headers(edits) => edits.apply(head.fields_mut()),
        }
        Step::Continue
    }

    /// A response on its way to the client.
    pub(crate) fn on_response(&self, head: &mut ResponseHead) -> Step<ResponseHead> {
        match self {
            Self::Headers(edits) => edits.apply(head.fields_mut()),
        }
        Step::Continue
    }
}

/// How far a message has got along a chain of filters.
pub(crate) enum Walk<M> {
    /// All have seen the message.
    Done,
    /// One of them responds.
    Respond(u16),
    /// One of them waits; it goes on with those from `next`.
    Suspended { pending: Pin<Box<dyn Future<Output = Resume<M>>>>, next: usize },
}

/// Lets the filters from the one at `first` see `message`, one after the other.
pub(crate) fn walk<M>(
    filters: &[Filter],
    first: usize,
    message: &mut M,
    step: fn(&Filter, &mut M) -> Step<M>,
) -> Walk<M> {
    for (place, filter) in filters.iter().enumerate().skip(first) {
        match step(filter, message) {
            Step::Continue => {}
            Step::Respond(status) => return Walk::Respond(status),
            Step::Suspend(pending) => return Walk::Suspended { pending, next: place + 1 },
        }
    }
    Walk::Done
}

/// Goes on with a chain that waits, to its end.
pub(crate) async fn resume<M>(
    filters: &[Filter],
    mut walk_so_far: Walk<M>,
    message: &mut M,
    step: fn(&Filter, &mut M) -> Step<M>,
) -> Result<(), u16> {
    loop {
        let (pending, next) = match walk_so_far {
            Walk::Done => return Ok(()),
            Walk::Respond(status) => return Err(status),
            Walk::Suspended { pending, next } => (pending, next),
        };
        let then = pending.await;
        walk_so_far = match then(message) {
            Step::Continue => walk(filters, next, message, step),
            Step::Respond(status) => Walk::Respond(status),
            Step::Suspend(pending) => Walk::Suspended { pending, next },
        };
    }
}

impl<M> fmt::Debug for Step<M> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Continue => f.write_str("Continue"),
            Self::Respond(status) => f.debug_tuple("Respond").field(status).finish(),
            Self::Suspend(_) => f.write_str("Suspend"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    use super::*;

    /// What each filter of a chain did, in order.
    type Seen = Vec<usize>;

    fn chain(length: usize) -> Box<[Filter]> {
        (0..length).map(|_| Filter::Headers(Edits::new(&[]))).collect()
    }

    fn run(length: usize, step: fn(&Filter, &mut Seen) -> Step<Seen>) -> (Seen, Result<(), u16>) {
        let (filters, mut seen) = (chain(length), Seen::new());
        let walked = walk(&filters, 0, &mut seen, step);
        let end = now(resume(&filters, walked, &mut seen, step));
        (seen, end)
    }

    /// What a future says that has nothing to wait for.
    fn now<T>(future: impl Future<Output = T>) -> T {
        match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(said) => said,
            Poll::Pending => panic!("all that is waited for is there"),
        }
    }

    fn next(seen: &mut Seen) -> usize {
        seen.push(seen.len());
        seen.len() - 1
    }

    #[test]
    fn all_filters_see_a_message_in_their_order() {
        let step = |_: &Filter, seen: &mut Seen| {
            next(seen);
            Step::Continue
        };
        assert_eq!(run(3, step), (vec![0, 1, 2], Ok(())));
        assert_eq!(run(0, step), (vec![], Ok(())));
    }

    #[test]
    fn none_sees_what_one_before_it_has_answered() {
        let step =
            |_: &Filter, seen: &mut Seen| if next(seen) == 1 { Step::Respond(403) } else { Step::Continue };
        assert_eq!(run(3, step), (vec![0, 1], Err(403)));
    }

    #[test]
    fn what_one_had_to_ask_comes_before_the_next() {
        let step = |_: &Filter, seen: &mut Seen| {
            if next(seen) > 0 {
                return Step::Continue;
            }
            // Asks twice.
            Step::Suspend(Box::pin(ready(Box::new(|seen: &mut Seen| {
                seen.push(10);
                Step::Suspend(Box::pin(ready(Box::new(|seen: &mut Seen| {
                    seen.push(20);
                    Step::Continue
                }) as Resume<Seen>)))
            }) as Resume<Seen>)))
        };
        assert_eq!(run(2, step), (vec![0, 10, 20, 3], Ok(())));
    }

    #[test]
    fn what_was_asked_may_be_the_answer() {
        let step = |_: &Filter, _: &mut Seen| {
            Step::Suspend(Box::pin(ready(Box::new(|_: &mut Seen| Step::Respond(401)) as Resume<Seen>)))
        };
        assert_eq!(run(2, step), (vec![], Err(401)));
    }
}
