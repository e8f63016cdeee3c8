//! What comes first on a connection, seen before anybody takes it from there; and the end of those who began badly.

use std::io;
use std::net::Shutdown;

use rustix::net::{RecvFlags, SendFlags};
use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::sniff::Progress;
use crate::worker::Worker;

/// Why what should come first has not come.
#[derive(Debug)]
pub enum PeekError<E> {
    /// It is something else.
    Invalid(E),
    /// The peer has said all that it has to say before it was whole. `seen`: how many bytes of it there are.
    Ended {
        /// In bytes.
        seen: usize,
    },
    /// The connection has failed.
    Failed(io::Error),
}

/// Waits until `parse` has made out what the peer's first bytes say; how many those are comes with it. They stay where
/// they are, for whoever reads from the connection next: see [`discard`].
///
/// `parse` gets all bytes that there are, from the first, at most [`MOST_PEEKED`].
pub async fn peek<T, E>(
    worker: &Worker,
    stream: &TcpStream,
    mut parse: impl FnMut(&[u8]) -> Result<Progress<T>, E>,
) -> Result<(T, usize), PeekError<E>> {
    let mut seen = 0;
    loop {
        let readiness = stream.ready(Interest::READABLE).await.map_err(PeekError::Failed)?;
        let mut buffer = worker.buffer.borrow_mut();
        let buffer = buffer.get_mut(..MOST_PEEKED).unwrap_or_default();
        let more = stream.try_io(Interest::READABLE, || {
            let (_, count) = rustix::net::recv(stream, &mut *buffer, RecvFlags::PEEK)?;
            // Nothing new: has tokio wait for the kernel to tell of more.
            if count > seen { Ok(count) } else { Err(io::ErrorKind::WouldBlock.into()) }
        });
        match more {
            Ok(count) => seen = count,
            // The end of what the peer says is no readiness that passes.
            Err(error) if error.kind() == io::ErrorKind::WouldBlock && readiness.is_read_closed() => {
                return Err(PeekError::Ended { seen });
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
            Err(error) => return Err(PeekError::Failed(error)),
        }
        match parse(buffer.get(..seen).unwrap_or_default()).map_err(PeekError::Invalid)? {
            Progress::Done { value, length } => return Ok((value, length)),
            Progress::NeedMore { .. } => {}
        }
    }
}

/// Most bytes that are looked at: more than any parser of [`sniff`](crate::sniff) asks for.
pub const MOST_PEEKED: usize = 32 * 1024;

/// Takes the first `length` bytes from the connection, which have been [peeked](peek) at, and throws them away.
pub fn discard(stream: &TcpStream, length: usize) -> io::Result<()> {
    let mut left = length;
    while left > 0 {
        let mut scratch = [0; 512];
        let most = left.min(scratch.len());
        let (_, taken) =
            rustix::net::recv(stream, scratch.get_mut(..most).unwrap_or_default(), RecvFlags::empty())?;
        if taken == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        left -= taken;
    }
    Ok(())
}

/// Tells the peer why its connection ends, and closes it so that the peer hears that: what it has sent and nobody reads
/// would make the kernel reset the connection, and the last words would be lost. Takes as long as the peer does.
pub async fn close_with(stream: &TcpStream, last_words: &[u8]) -> io::Result<()> {
    // Not through tokio, which may not know yet that there is room.
    rustix::net::send(stream, last_words, SendFlags::NOSIGNAL)?;
    linger(stream).await
}

/// Closes a connection so that the peer hears all that was sent to it, whatever it goes on sending: see [`close_with`].
pub async fn linger(stream: &TcpStream) -> io::Result<()> {
    SockRef::from(stream).shutdown(Shutdown::Write)?;
    loop {
        stream.readable().await?;
        let mut scratch = [0; 4096];
        match stream.try_read(&mut scratch) {
            Ok(0) => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests;
