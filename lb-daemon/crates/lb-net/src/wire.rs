//! A connection whose protocol Sluice speaks itself: HTTP's to clients and to backends.
//!
//! It has no buffer. What is read is lent to a function for the duration of one call, out of the worker's buffer; what is
//! written is sent at once, and only what the socket does not take is kept.

use std::io::{self, IoSlice, Read as _};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use rustix::net::{RecvFlags, SendAncillaryBuffer, SendFlags, recv, sendmsg};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, Interest, ReadBuf};
use tokio::net::TcpStream;

use crate::worker::Worker;

/// A connection. Dropping it closes it.
#[derive(Debug)]
pub struct Wire {
    socket: Socket,
    /// What the socket has not taken yet. Boxed, because nearly never there is any.
    unsent: Option<Box<Unsent>>,
    no_delay: NoDelay,
}

/// The socket, and how far it has got towards being waited for. A connection that brings one request and takes one answer
/// never has to be, and is spared two calls.
#[derive(Debug)]
enum Socket {
    /// Accepted: its first read is likely to find something.
    Accepted(std::net::TcpStream),
    /// It was read from once. What comes next has to be waited for.
    Read(std::net::TcpStream),
    /// Registered with the worker's runtime.
    Registered(TcpStream),
    /// Registering it has failed, and has closed it.
    Closed,
}

#[derive(Debug, Default)]
struct Unsent {
    bytes: Vec<u8>,
    sent: usize,
}

/// Whether the peer's acknowledgement is not waited for before little is sent (TCP_NODELAY).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum NoDelay {
    Set,
    /// It will be before the second write. Nothing unacknowledged can delay the first: short connections are spared the
    /// call.
    BeforeSecondWrite,
    BeforeNextWrite,
}

impl Wire {
    /// A connection from [`Accepted`](crate::Accepted).
    pub fn accepted(stream: std::net::TcpStream) -> Self {
        Self { socket: Socket::Accepted(stream), unsent: None, no_delay: NoDelay::Set }
    }

    /// A connection that was made by [`connect`](crate::connect()), which has written nothing to it.
    pub fn connected(stream: TcpStream) -> Self {
        Self { socket: Socket::Registered(stream), unsent: None, no_delay: NoDelay::BeforeSecondWrite }
    }

    /// None: everything that it is asked for fails. Stands in for one that is elsewhere for a moment.
    pub fn closed() -> Self {
        Self { socket: Socket::Closed, unsent: None, no_delay: NoDelay::Set }
    }

    /// Reads what has come, at most what the worker's buffer holds, and gives it to `take`; nothing, if the peer has said all.
    pub fn poll_read<T>(
        &mut self,
        cx: &mut Context<'_>,
        worker: &Worker,
        take: impl FnOnce(&mut [u8]) -> T,
    ) -> Poll<io::Result<T>> {
        let mut buffer = worker.buffer.borrow_mut();
        if let Socket::Accepted(stream) = &mut self.socket {
            let read = stream.read(&mut buffer);
            self.was_read();
            match read {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(length) => return Poll::Ready(Ok(take(buffer.get_mut(..length).unwrap_or_default()))),
            }
        }
        // Not by trying: only tokio's own read knows from a short read that there is no more, without asking.
        let mut read = ReadBuf::new(&mut buffer);
        ready!(Pin::new(self.registered()?).poll_read(cx, &mut read))?;
        Poll::Ready(Ok(take(read.filled_mut())))
    }

    /// Sends `parts` in one call. What the socket does not take now is kept, and has to be [flushed](Self::poll_flush).
    pub fn write(&mut self, parts: &[IoSlice<'_>]) -> io::Result<()> {
        if let Some(unsent) = &mut self.unsent {
            unsent.keep(parts, 0);
            return Ok(());
        }
        self.prepare_write();
        let sent = match self.send(parts) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            sent => sent?,
        };
        if sent < parts.iter().map(|part| part.len()).sum() {
            self.unsent.insert(Box::default()).keep(parts, sent);
        }
        Ok(())
    }

    /// Whether the socket has taken all that was written.
    pub fn is_flushed(&self) -> bool {
        self.unsent.is_none()
    }

    /// Bytes that the socket has not taken yet.
    pub fn unsent(&self) -> usize {
        self.unsent.as_ref().map_or(0, |unsent| unsent.rest().len())
    }

    /// Ready once the socket has taken all that was written.
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while let Some(mut unsent) = self.unsent.take() {
            let written = self.registered().map(|stream| Pin::new(stream).poll_write(cx, unsent.rest()));
            match written? {
                Poll::Ready(written) => unsent.sent += written?,
                Poll::Pending => {
                    self.unsent = Some(unsent);
                    return Poll::Pending;
                }
            }
            if !unsent.rest().is_empty() {
                self.unsent = Some(unsent);
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Has the worker's runtime tell when something comes: until then the peer's end goes unnoticed.
    pub fn watch(&mut self) -> io::Result<()> {
        self.registered().map(drop)
    }

    /// Ready if the peer has closed or reset the connection and nothing is left to read; else the task is woken when that
    /// happens, if the connection is [watched](Self::watch). Costs no system call as long as nothing comes.
    pub fn poll_gone(&self, cx: &mut Context<'_>) -> Poll<()> {
        let Socket::Registered(stream) = &self.socket else { return Poll::Pending };
        while stream.poll_read_ready(cx).is_ready() {
            match peek_one(stream) {
                // Not ready after all: wait for the kernel to tell.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Ok(0) | Err(_) => return Poll::Ready(()),
                Ok(_) => return Poll::Pending,
            }
        }
        Poll::Pending
    }

    /// Whether nothing has come since the last read, the peer's end included. Costs no system call where nothing has, and does
    /// not see what the kernel has not told of yet.
    pub fn is_quiet(&self) -> bool {
        let Socket::Registered(stream) = &self.socket else { return false };
        peek_one(stream).is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
    }

    /// Whether something has come that was not read, as far as the kernel has told.
    pub fn has_input(&self) -> bool {
        let Socket::Registered(stream) = &self.socket else { return false };
        peek_one(stream).is_ok_and(|length| length > 0)
    }

    /// Has the connection end with RST instead of FIN when it is dropped: what the peer has of it is not whole.
    pub fn reset(&self) {
        // An error leaves it at FIN; there is nothing better to do.
        let _ = match &self.socket {
            Socket::Accepted(stream) | Socket::Read(stream) => {
                SockRef::from(stream).set_linger(Some(Duration::ZERO))
            }
            Socket::Registered(stream) => stream.set_zero_linger(),
            Socket::Closed => Ok(()),
        };
    }

    /// The bare connection, for [`relay`](crate::relay()). What was not flushed is lost.
    pub fn into_stream(mut self) -> io::Result<TcpStream> {
        self.registered()?;
        match self.socket {
            Socket::Registered(stream) => Ok(stream),
            Socket::Accepted(_) | Socket::Read(_) | Socket::Closed => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn was_read(&mut self) {
        self.socket = match std::mem::replace(&mut self.socket, Socket::Closed) {
            Socket::Accepted(stream) | Socket::Read(stream) => Socket::Read(stream),
            other @ (Socket::Registered(_) | Socket::Closed) => other,
        };
    }

    fn registered(&mut self) -> io::Result<&mut TcpStream> {
        if matches!(self.socket, Socket::Accepted(_) | Socket::Read(_)) {
            self.socket = match std::mem::replace(&mut self.socket, Socket::Closed) {
                Socket::Accepted(stream) | Socket::Read(stream) => {
                    Socket::Registered(TcpStream::from_std(stream)?)
                }
                other @ (Socket::Registered(_) | Socket::Closed) => other,
            };
        }
        match &mut self.socket {
            Socket::Registered(stream) => Ok(stream),
            Socket::Accepted(_) | Socket::Read(_) | Socket::Closed => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    fn prepare_write(&mut self) {
        self.no_delay = match self.no_delay {
            NoDelay::BeforeSecondWrite => NoDelay::BeforeNextWrite,
            NoDelay::BeforeNextWrite => {
                if let Socket::Registered(stream) = &self.socket {
                    // Fails if the peer is gone, which the write finds out.
                    let _ = stream.set_nodelay(true);
                }
                NoDelay::Set
            }
            NoDelay::Set => NoDelay::Set,
        };
    }

    /// Not through tokio, which may not know yet that there is room.
    fn send(&self, parts: &[IoSlice<'_>]) -> io::Result<usize> {
        let none = &mut SendAncillaryBuffer::default();
        let sent = match &self.socket {
            Socket::Accepted(stream) | Socket::Read(stream) => {
                sendmsg(stream, parts, none, SendFlags::NOSIGNAL)
            }
            Socket::Registered(stream) => sendmsg(stream, parts, none, SendFlags::NOSIGNAL),
            Socket::Closed => return Err(io::ErrorKind::NotConnected.into()),
        };
        Ok(sent?)
    }
}

/// How many bytes there are, up to one, if tokio takes the connection for readable.
fn peek_one(stream: &TcpStream) -> io::Result<usize> {
    stream.try_io(Interest::READABLE, || {
        let (_, length) = recv(stream, &mut [0; 1], RecvFlags::PEEK)?;
        Ok(length)
    })
}

impl Unsent {
    /// Keeps what is left of `parts` without the first `sent` bytes.
    fn keep(&mut self, parts: &[IoSlice<'_>], mut sent: usize) {
        for part in parts {
            self.bytes.extend_from_slice(part.get(sent..).unwrap_or_default());
            sent = sent.saturating_sub(part.len());
        }
    }

    fn rest(&self) -> &[u8] {
        self.bytes.get(self.sent..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
