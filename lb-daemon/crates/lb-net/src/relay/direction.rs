//! One direction of a relay: from a source to a target.

use std::cell::Cell;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use rustix::net::{SendFlags, Shutdown, send, shutdown};
use rustix::pipe::{SpliceFlags, splice};
use tokio::io::{AsyncRead, Interest, ReadBuf};
use tokio::net::TcpStream;

use super::pipe::Pipe;
use super::{End, Failed};
use crate::worker::Worker;

/// Bytes after which a direction is spliced. Splicing from the first byte on costs short connections 40 % more, copying
/// costs long ones twice as much.
const SPLICE_AFTER: u64 = 64 * 1024;

/// Most bytes to copy at a time: usually all that a socket has ready.
const COPY: usize = 64 * 1024;

/// Bytes that have to be there at a time for splicing to pay: it takes two calls where a copy takes one, and a third to
/// see that there is no more. A direction that carries small messages goes on copying, or back to it.
const SPLICE_MIN: usize = 16 * 1024;

/// Times that a poll fills the pipe before others get their turn.
const TURN: usize = 16;

/// From where to where a direction moves bytes, and by what means.
pub(super) struct Route<'a> {
    pub(super) source: End<'a>,
    pub(super) target: End<'a>,
    /// Bytes delivered so far.
    pub(super) count: &'a Cell<u64>,
    /// Lends the buffer and the pipes.
    pub(super) worker: &'a Worker,
}

/// Where a direction has got to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Progress {
    /// It waits for bytes from the source.
    Reading,
    /// It waits until the target takes what is there; the source is not read meanwhile, so that it is held back in turn.
    Writing,
    /// No more will move: the source has said all and all of it was delivered, or the target is [broken](State::Broken).
    Ended,
}

#[derive(Debug)]
pub(super) struct Direction {
    state: State,
    no_delay: NoDelay,
}

/// Whether the target was told not to wait for more before it sends little (TCP_NODELAY).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoDelay {
    /// It was, for example by inheritance from its listener.
    Set,
    /// It will be before the second write. Nothing unacknowledged can delay the first: short connections are spared the
    /// call.
    BeforeSecondWrite,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Copying,
    /// The target did not take all of a copy.
    Stalled(Box<Rest>),
    Splicing(Splicing),
    Ended,
    EndForwarded,
    /// The target takes no more. What it said before it broke is still in its socket and goes to the source first: a server
    /// that answers "too large" and closes in the middle of an upload shall be heard.
    Broken(io::Error),
}

#[derive(Debug)]
struct Rest {
    bytes: Box<[u8]>,
    sent: usize,
}

/// A pipe with so many bytes in it; none while there are none, so that idle connections hold no pipes.
#[derive(Debug, Default)]
struct Splicing {
    pipe: Option<Pipe>,
    filled: usize,
    /// What the pipe was last filled with.
    last: usize,
}

impl Direction {
    /// A direction that has moved nothing yet; `no_delay` is what the target has.
    pub(super) fn new(no_delay: NoDelay) -> Self {
        Self { state: State::default(), no_delay }
    }

    /// Moves what can be moved, and leaves the task to be woken when more can be.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, route: &mut Route<'_>) -> Result<Progress, Failed> {
        loop {
            let step = match &mut self.state {
                State::Copying => self.copy(cx, route),
                State::Stalled(rest) => rest.write(cx, route),
                State::Splicing(splicing) => splicing.step(cx, route),
                State::Ended | State::EndForwarded | State::Broken(_) => return Ok(Progress::Ended),
            };
            match step {
                Ok(Step::Enter(state)) => self.state = state,
                Ok(Step::Wait(progress)) => return Ok(progress),
                Err(Failed::Side(side, error)) if side == route.target.side => {
                    self.state = State::Broken(error)
                }
                Err(failed) => return Err(failed),
            }
        }
    }

    /// Tells the target, once, that there is no more.
    pub(super) fn forward_end(&mut self, target: &TcpStream) {
        if matches!(self.state, State::Ended) {
            self.state = State::EndForwarded;
            // Fails if the target is gone, which the other direction finds out.
            let _ = shutdown(target, Shutdown::Write);
        }
    }

    fn set_no_delay(&mut self, target: &End<'_>) {
        if std::mem::replace(&mut self.no_delay, NoDelay::Set) == NoDelay::BeforeSecondWrite {
            // Fails if the target is gone, which the next write finds out.
            let _ = target.stream.set_nodelay(true);
        }
    }

    /// How the target broke, if it did.
    pub(super) fn take_failure(&mut self) -> Option<io::Error> {
        if let State::Broken(error) = std::mem::replace(&mut self.state, State::Ended) {
            return Some(error);
        }
        None
    }

    /// One read into the worker's buffer and one write out of it.
    fn copy(&mut self, cx: &mut Context<'_>, route: &mut Route<'_>) -> Result<Step, Failed> {
        let Route { source, target, count, worker } = route;
        let mut buffer = worker.buffer.borrow_mut();
        let mut read = ReadBuf::new(buffer.get_mut(..COPY).unwrap_or_default());
        // `poll_read` and not `try_read`: it knows from a short read that the next would find nothing.
        match Pin::new(&mut *source.stream).poll_read(cx, &mut read) {
            Poll::Ready(result) => result.map_err(|error| Failed::Side(source.side, error))?,
            Poll::Pending => return Ok(Step::Wait(Progress::Reading)),
        }
        let bytes = read.filled();
        if bytes.is_empty() {
            return Ok(Step::Enter(State::Ended));
        }
        if count.get() > 0 {
            self.set_no_delay(target);
        }
        // Straight to the kernel: a socket that tokio has not heard of yet (just connected) can mostly be written to.
        let sent = match send(&*target.stream, bytes, SendFlags::NOSIGNAL) {
            Ok(sent) => sent,
            Err(rustix::io::Errno::AGAIN) => 0,
            Err(error) => return Err(Failed::Side(target.side, error.into())),
        };
        count.set(count.get() + sent as u64);
        match bytes.get(sent..) {
            Some(rest) if !rest.is_empty() => {
                Ok(Step::Enter(State::Stalled(Box::new(Rest { bytes: rest.into(), sent: 0 }))))
            }
            _ if bytes.len() >= SPLICE_MIN && count.get() >= SPLICE_AFTER => {
                self.set_no_delay(target);
                Ok(Step::Enter(State::Splicing(Splicing::default())))
            }
            _ => Ok(Step::Enter(State::Copying)),
        }
    }
}

/// What a step of a direction leads to.
enum Step {
    Enter(State),
    Wait(Progress),
}

impl Rest {
    fn write(&mut self, cx: &mut Context<'_>, route: &Route<'_>) -> Result<Step, Failed> {
        let Route { target, count, .. } = route;
        while let Some(rest) = self.bytes.get(self.sent..).filter(|rest| !rest.is_empty()) {
            match attempt(cx, target, Interest::WRITABLE, |stream| {
                Ok(send(stream, rest, SendFlags::NOSIGNAL)?)
            }) {
                Poll::Ready(sent) => {
                    let sent = sent?;
                    self.sent += sent;
                    count.set(count.get() + sent as u64);
                }
                Poll::Pending => return Ok(Step::Wait(Progress::Writing)),
            }
        }
        Ok(Step::Enter(State::Copying))
    }
}

impl Splicing {
    /// Fills the pipe and empties it, a few times. It is filled only when empty: then "would block" has one meaning.
    fn step(&mut self, cx: &mut Context<'_>, route: &Route<'_>) -> Result<Step, Failed> {
        const FLAGS: SpliceFlags = SpliceFlags::MOVE.union(SpliceFlags::NONBLOCK);

        let Route { source, target, count, worker } = route;
        let mut turns = 0;
        loop {
            let Some(pipe) = self.pipe.take().or_else(|| worker.pipes.take()) else {
                return Ok(Step::Enter(State::Copying));
            };
            if self.filled == 0 {
                let fill =
                    |source: &TcpStream| Ok(splice(source, None, &pipe.write, None, Pipe::SIZE, FLAGS)?);
                let filled = if turns < TURN {
                    attempt(cx, source, Interest::READABLE, fill)
                } else {
                    cx.waker().wake_by_ref();
                    Poll::Pending
                };
                turns += 1;
                match filled {
                    Poll::Ready(Ok(filled)) if filled > 0 => (self.filled, self.last) = (filled, filled),
                    Poll::Ready(result) => {
                        worker.pipes.give_back(pipe);
                        return result.map(|_| Step::Enter(State::Ended));
                    }
                    Poll::Pending => {
                        worker.pipes.give_back(pipe);
                        let small = turns <= TURN && (1..SPLICE_MIN).contains(&self.last);
                        return Ok(if small {
                            Step::Enter(State::Copying)
                        } else {
                            Step::Wait(Progress::Reading)
                        });
                    }
                }
            }
            let filled = self.filled;
            let empty = |target: &TcpStream| Ok(splice(&pipe.read, None, target, None, filled, FLAGS)?);
            let emptied = attempt(cx, target, Interest::WRITABLE, empty);
            self.pipe = Some(pipe);
            match emptied {
                Poll::Ready(sent) => {
                    let sent = sent?;
                    self.filled -= sent.min(self.filled);
                    count.set(count.get() + sent as u64);
                }
                Poll::Pending => return Ok(Step::Wait(Progress::Writing)),
            }
        }
    }
}

/// Tries a call on a socket, and again whenever the socket is ready for it, until the call does not block.
fn attempt<T>(
    cx: &mut Context<'_>,
    end: &End<'_>,
    interest: Interest,
    call: impl Fn(&TcpStream) -> io::Result<T>,
) -> Poll<Result<T, Failed>> {
    let failed = |error| Failed::Side(end.side, error);
    loop {
        match end.stream.try_io(interest, || call(end.stream)) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            result => return Poll::Ready(result.map_err(failed)),
        }
        let ready = if interest.is_writable() {
            end.stream.poll_write_ready(cx)
        } else {
            end.stream.poll_read_ready(cx)
        };
        match ready {
            Poll::Ready(Ok(())) => {}
            Poll::Ready(Err(error)) => return Poll::Ready(Err(failed(error))),
            Poll::Pending => return Poll::Pending,
        }
    }
}
