//! The TCP relay: bytes between a client and a backend, both ways, until both have said all.
//!
//! Each [direction](direction::Direction) copies through the worker's shared buffer at first, which is cheapest for
//! short exchanges and needs no memory per connection, and splices through a pooled pipe once it has moved much.
//! One future polls both directions; there is one timer for both.

mod direction;
mod pipe;

use std::cell::Cell;
use std::future::Future;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use lb_model::Termination;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::net::TcpStream;

use self::direction::{Direction, NoDelay, Progress, Route};
pub(crate) use self::pipe::Pipes;
use crate::clock;
use crate::timer::Timer;
use crate::worker::Worker;

/// One end of a relay.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The client.
    Client,
    /// The backend.
    Backend,
}

/// How a relay ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RelayEnd {
    /// Both sides have closed in order and all was delivered.
    Finished,
    /// This side reset its connection; the other one was reset in turn.
    Reset(Side),
    /// This side stopped answering, or its network failed; the other one was reset.
    Lost(Side),
    /// Nothing moved for the idle timeout; both were reset.
    Idle,
}

impl From<RelayEnd> for Termination {
    fn from(end: RelayEnd) -> Self {
        match end {
            RelayEnd::Finished => Self::Finished,
            RelayEnd::Reset(Side::Client) => Self::ClientReset,
            RelayEnd::Reset(Side::Backend) => Self::BackendReset,
            RelayEnd::Lost(Side::Client) => Self::ClientLost,
            RelayEnd::Lost(Side::Backend) => Self::BackendLost,
            RelayEnd::Idle => Self::IdleTimeout,
        }
    }
}

/// Bytes delivered so far; readable while the relay runs, and after it was cut off.
#[derive(Debug, Default, Clone)]
pub struct Counts {
    /// From the client to the backend.
    pub to_backend: Cell<u64>,
    /// From the backend to the client.
    pub to_client: Cell<u64>,
}

/// Hears of a relay while it runs.
pub trait RelayObserver {
    /// The first bytes of the backend have gone to the client, this long after the relay began. Told once, unless the
    /// [`Counts`] already had some.
    fn answered(&self, after: Duration);

    /// So many bytes more were delivered each way. Told whenever the relay has been woken and moved something, with
    /// the sum of that turn.
    fn moved(&self, to_backend: u64, to_client: u64);
}

/// Hears nothing.
impl RelayObserver for () {
    fn answered(&self, _after: Duration) {}
    fn moved(&self, _to_backend: u64, _to_client: u64) {}
}

/// Ends a connection with RST instead of FIN: what the peer has of it is not whole.
pub fn reset(stream: TcpStream) {
    // An error leaves it at FIN; there is nothing better to do.
    let _ = stream.set_zero_linger();
}

/// Resets a connection that is dropped because its worker is [cut](Worker::is_cut): what ends in the middle must
/// not look whole to the peer.
#[derive(Debug)]
pub struct ResetIfCut<'a> {
    /// The connection.
    pub stream: &'a TcpStream,
    /// Its worker.
    pub worker: &'a Worker,
}

impl Drop for ResetIfCut<'_> {
    fn drop(&mut self) {
        if self.worker.is_cut() {
            let _ = self.stream.set_zero_linger();
        }
    }
}

/// Relays until both sides have closed, one fails, or nothing moves for `idle`. `timer` is the connection's. What
/// `observer` is told adds up to what is added to `counts`, also when the relay is dropped.
///
/// Not an `async fn`: those keep their arguments twice, and an idle connection is little more than this future.
pub fn relay<'a, O: RelayObserver + ?Sized>(
    worker: &'a Worker,
    client: TcpStream,
    backend: TcpStream,
    idle: Option<Duration>,
    timer: &'a Timer,
    counts: &'a Counts,
    observer: &'a O,
) -> impl Future<Output = RelayEnd> + use<'a, O> {
    timer.disarm();
    Relay {
        worker,
        client,
        backend,
        to_backend: Direction::new(NoDelay::BeforeSecondWrite),
        to_client: Direction::new(NoDelay::Set),
        deadline: Deadline::new(idle, timer),
        counts,
        observer,
        begun: clock::now(),
    }
}

struct Relay<'a, O: RelayObserver + ?Sized> {
    worker: &'a Worker,
    client: TcpStream,
    backend: TcpStream,
    to_backend: Direction,
    to_client: Direction,
    deadline: Deadline<'a>,
    counts: &'a Counts,
    observer: &'a O,
    begun: Instant,
}

impl<O: RelayObserver + ?Sized> Future for Relay<'_, O> {
    type Output = RelayEnd;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<RelayEnd> {
        let result = ready!(self.advance(cx));
        Poll::Ready(result.map_or_else(
            |failed| {
                // What either side has of the other is not whole: say so with RST. Fails for a side that is gone.
                let _ = self.client.set_zero_linger();
                let _ = self.backend.set_zero_linger();
                failed.into()
            },
            |()| RelayEnd::Finished,
        ))
    }
}

impl<O: RelayObserver + ?Sized> Drop for Relay<'_, O> {
    fn drop(&mut self) {
        for stream in [&self.client, &self.backend] {
            drop(ResetIfCut { stream, worker: self.worker });
        }
    }
}

impl<O: RelayObserver + ?Sized> Relay<'_, O> {
    fn advance(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Failed>> {
        let before = self.counts.clone();
        let progress = self.copy(cx);
        // Before any error: what was delivered by then was.
        let moved = self.report(&before);
        let (to_backend, to_client) = progress?;
        match (to_backend, to_client) {
            (Progress::Ended, Progress::Ended) => return Poll::Ready(self.both_ended()),
            (Progress::Ended, _) => self.to_backend.forward_end(&self.backend),
            (_, Progress::Ended) => self.to_client.forward_end(&self.client),
            _ => {}
        }
        let listening = match (to_backend, to_client) {
            (Progress::Reading, Progress::Reading) => Listening::ToBoth,
            _ => Listening::NotToBoth,
        };
        match self.deadline.poll(cx, moved, listening) {
            Look::NotYet => Poll::Pending,
            Look::AtSides => self.find_failed().map_or(Poll::Pending, |failed| Poll::Ready(Err(failed))),
            Look::Idle => Poll::Ready(Err(Failed::Idle)),
        }
    }

    /// Lets both directions move what they can.
    fn copy(&mut self, cx: &mut Context<'_>) -> Result<(Progress, Progress), Failed> {
        let (worker, counts) = (self.worker, self.counts);
        let client = End { stream: &mut self.client, side: Side::Client };
        let backend = End { stream: &mut self.backend, side: Side::Backend };
        let mut route = Route { source: client, target: backend, count: &counts.to_backend, worker };
        let to_backend = self.to_backend.poll(cx, &mut route)?;
        let Route { source: client, target: backend, .. } = route;
        let mut route = Route { source: backend, target: client, count: &counts.to_client, worker };
        let to_client = self.to_client.poll(cx, &mut route)?;
        Ok((to_backend, to_client))
    }

    /// Tells the observer what has moved since `before`.
    fn report(&self, before: &Counts) -> Moved {
        let to_backend = self.counts.to_backend.get() - before.to_backend.get();
        let to_client = self.counts.to_client.get() - before.to_client.get();
        if (to_backend, to_client) == (0, 0) {
            return Moved::Nothing;
        }
        if before.to_client.get() == 0 && to_client > 0 {
            self.observer.answered(clock::now().saturating_duration_since(self.begun));
        }
        self.observer.moved(to_backend, to_client);
        Moved::Bytes
    }

    /// Closing both connections tells both sides: no shutdown needed.
    fn both_ended(&mut self) -> Result<(), Failed> {
        if let Some(error) = self.to_backend.take_failure() {
            return Err(Failed::Side(Side::Backend, error));
        }
        self.to_client.take_failure().map_or(Ok(()), |error| Err(Failed::Side(Side::Client, error)))
    }

    /// The side, if any, whose connection has failed without anybody reading from it.
    fn find_failed(&self) -> Option<Failed> {
        [(&self.client, Side::Client), (&self.backend, Side::Backend)].into_iter().find_map(
            |(stream, side)| {
                let mut fds = [PollFd::new(stream, PollFlags::empty())];
                let ready = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).is_ok_and(|n| n > 0);
                let failed = ready && fds.iter().any(|fd| fd.revents().contains(PollFlags::ERR));
                failed
                    .then(|| stream.take_error().ok().flatten())
                    .flatten()
                    .map(|error| Failed::Side(side, error))
            },
        )
    }
}

/// One connection of the relay, and whose it is.
struct End<'a> {
    stream: &'a mut TcpStream,
    side: Side,
}

/// Why a relay ended before its time.
enum Failed {
    Side(Side, io::Error),
    Idle,
}

impl From<Failed> for RelayEnd {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Idle => Self::Idle,
            Failed::Side(side, error)
                if matches!(error.kind(), io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe) =>
            {
                Self::Reset(side)
            }
            Failed::Side(side, _) => Self::Lost(side),
        }
    }
}

/// When to look up although no byte moves: at the idle timeout, and every so often while a side is not listened to.
struct Deadline<'a> {
    idle: Option<Duration>,
    timer: &'a Timer,
    /// When a byte moved last, on the coarse clock.
    last_moved: Duration,
    /// What the timer was last armed for; `None` before it was armed at all.
    armed: Option<Listening>,
}

/// Whether both sides are being read from: a side that is not is not heard when it resets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Listening {
    ToBoth,
    NotToBoth,
}

enum Look {
    /// Nothing to do yet.
    NotYet,
    /// See whether a side that is not listened to has gone.
    AtSides,
    /// The idle timeout has passed.
    Idle,
}

impl<'a> Deadline<'a> {
    /// How often to see whether a side that is not listened to has gone.
    const LOOK: Duration = Duration::from_secs(1);

    fn new(idle: Option<Duration>, timer: &'a Timer) -> Self {
        Self { idle, timer, last_moved: clock::coarse(), armed: None }
    }

    fn poll(&mut self, cx: &Context<'_>, moved: Moved, listening: Listening) -> Look {
        let fired = self.timer.poll(cx).is_ready();
        if moved == Moved::Nothing && !fired && self.armed == Some(listening) {
            return Look::NotYet;
        }
        let now = clock::coarse();
        if moved == Moved::Bytes {
            self.last_moved = now;
        }
        let left = self.idle.map(|idle| (self.last_moved + idle).saturating_sub(now));
        if left == Some(Duration::ZERO) {
            return Look::Idle;
        }
        self.armed = Some(listening);
        let look = (listening == Listening::NotToBoth).then_some(Self::LOOK);
        match left.into_iter().chain(look).min() {
            Some(next) => self.timer.arm(next),
            None => self.timer.disarm(),
        }
        // Registers the waker for the new deadline, which is in the future.
        let _ = self.timer.poll(cx);
        if fired && look.is_some() { Look::AtSides } else { Look::NotYet }
    }
}

/// Whether a poll moved anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Moved {
    Bytes,
    Nothing,
}

#[cfg(test)]
mod tests;
