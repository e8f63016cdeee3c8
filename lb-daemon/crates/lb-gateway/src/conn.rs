//! A connection's task: it waits for requests, and runs them one after the other.

use std::future::Future;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};

use lb_model::Termination;

use crate::client::{Client, Next};
use crate::failure::Failure;
use crate::message::Message;
use crate::recycled::Place;
use crate::stock::Loan;

/// A request to run, and the connection that it came on.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) client: Box<Client>,
    pub(crate) message: Loan<Message>,
    /// What is wrong with it, if something is.
    pub(crate) refused: Option<Failure>,
}

/// A request that has been run.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) client: Box<Client>,
    pub(crate) after: After,
}

/// What becomes of a connection after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum After {
    /// It waits for the next one.
    Next,
    /// It is over.
    End(Termination),
}

/// The task. Two pointers and a connection's state: that is what an idle connection is (ADR 14).
pub(crate) struct Connection(Phase);

enum Phase {
    Idle(Box<Client>),
    Busy(Place<Run, Ran>),
    Over,
}

impl Connection {
    pub(crate) fn new(client: Box<Client>) -> Self {
        Self(Phase::Idle(client))
    }
}

impl Future for Connection {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        /// Requests that were sent at once are answered at once: so many, before others get their turn.
        const TURN: u32 = 16;

        for _ in 0..2 * TURN {
            let next = match &mut self.0 {
                Phase::Idle(client) => ready!(client.poll_next(cx)),
                Phase::Busy(exchange) => {
                    let Ran { client, after } = ready!(exchange.poll(cx));
                    self.ran(client, after);
                    continue;
                }
                Phase::Over => return Poll::Ready(()),
            };
            self.idle(next);
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }
}

impl Connection {
    /// A request comes, or the end.
    fn idle(&mut self, next: Next) {
        let Phase::Idle(client) = std::mem::replace(&mut self.0, Phase::Over) else { return };
        let (message, refused) = match next {
            Next::Request(message) => (message, None),
            Next::Refuse(message, failure) => (message, Some(failure)),
            Next::End(termination) => return client.end(termination),
        };
        let local = Rc::clone(&client.service.local);
        self.0 = Phase::Busy(local.exchanges.begin(Run { client, message, refused }));
    }

    /// A request is over.
    fn ran(&mut self, mut client: Box<Client>, after: After) {
        if let Phase::Busy(place) = std::mem::replace(&mut self.0, Phase::Over) {
            client.service.local.exchanges.end(place);
        }
        match after {
            After::Next => {
                client.await_next();
                self.0 = Phase::Idle(client);
            }
            After::End(termination) => client.end(termination),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Beside its sockets this is all that an idle connection costs: every byte of it a hundred thousand times.
    #[test]
    fn an_idle_connection_is_small() {
        assert!(size_of::<Connection>() <= 24, "{} bytes", size_of::<Connection>());
        assert!(size_of::<Client>() <= 320, "{} bytes", size_of::<Client>());
    }
}
