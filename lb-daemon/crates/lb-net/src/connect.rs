//! Connections to backends.

use std::future::{Future, poll_fn};
use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use rustix::io::Errno;
use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, ipproto, socket_with};
use socket2::Socket;
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::clock;
use crate::listen::set_keepalive;
use crate::timer::Timer;

/// Why a backend could not be connected to.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// The backend, or the network on the way to it, refused.
    #[error("cannot connect: {0}")]
    Refused(io::Error),
    /// No answer in time.
    #[error("no answer within the connect timeout")]
    TimedOut,
    /// This host has no port or address left to connect to this backend from. It may have one for another backend.
    #[error("no local port or address to connect from: {0}")]
    NoLocalPort(io::Error),
    /// This host lacks descriptors or memory; trying another backend would not help.
    #[error("this host is out of resources: {0}")]
    LocalResources(io::Error),
}

/// Connects to `address` within `timeout`, and sends `first` there, of which a new connection's buffer has room for all.
/// While this host is out of descriptors or memory it tries again until the timeout. `timer` is the connection's and comes
/// back armed or not.
pub async fn connect(
    address: SocketAddr,
    first: &[u8],
    keepalive: Option<Duration>,
    timeout: Duration,
    timer: &Timer,
) -> Result<TcpStream, ConnectError> {
    /// How long to wait for a descriptor that somebody closes.
    const RETRY: Duration = Duration::from_millis(100);

    let deadline = clock::now() + timeout;
    loop {
        let left = deadline.saturating_duration_since(clock::now());
        match attempt(address, keepalive, left, timer).await {
            Err(ConnectError::LocalResources(_)) if left > RETRY => timer.sleep(RETRY).await,
            Ok(stream) => return send_first(stream, first),
            error => return error,
        }
    }
}

async fn attempt(
    address: SocketAddr,
    keepalive: Option<Duration>,
    timeout: Duration,
    timer: &Timer,
) -> Result<TcpStream, ConnectError> {
    let family = if address.is_ipv6() { AddressFamily::INET6 } else { AddressFamily::INET };
    let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
    let socket =
        Socket::from(socket_with(family, SocketType::STREAM, flags, Some(ipproto::TCP)).map_err(blame)?);
    if let Some(after) = keepalive {
        set_keepalive(&socket, after).map_err(ConnectError::LocalResources)?;
    }
    let in_progress = match rustix::net::connect(&socket, &address) {
        Ok(()) => false,
        Err(Errno::INPROGRESS) => true,
        Err(error) => return Err(blame(error)),
    };
    let stream = TcpStream::from_std(socket.into()).map_err(ConnectError::LocalResources)?;
    if in_progress {
        timer.arm(timeout);
        let mut answered = pin!(stream.ready(Interest::WRITABLE | Interest::ERROR));
        let ready = poll_fn(|cx| match answered.as_mut().poll(cx) {
            Poll::Ready(ready) => Poll::Ready(Some(ready)),
            Poll::Pending => timer.poll(cx).map(|()| None),
        });
        let ready = ready.await.ok_or(ConnectError::TimedOut)?.map_err(ConnectError::LocalResources)?;
        // Asking every socket how it went would be one call more for each connection.
        if (ready.is_error() || ready.is_write_closed())
            && let Some(error) = stream.take_error().map_err(ConnectError::LocalResources)?
        {
            return Err(ConnectError::Refused(error));
        }
    }
    Ok(stream)
}

fn send_first(stream: TcpStream, first: &[u8]) -> Result<TcpStream, ConnectError> {
    if first.is_empty() {
        return Ok(stream);
    }
    // What the client says next must not wait until this is acknowledged.
    stream.set_nodelay(true).map_err(ConnectError::LocalResources)?;
    // Not through tokio, which may not know yet that there is room.
    match rustix::net::send(&stream, first, SendFlags::NOSIGNAL) {
        Ok(sent) if sent == first.len() => Ok(stream),
        Ok(_) => Err(ConnectError::LocalResources(io::ErrorKind::WouldBlock.into())),
        Err(error) => Err(blame(error)),
    }
}

/// Whose fault an error is.
fn blame(error: Errno) -> ConnectError {
    match error {
        Errno::MFILE | Errno::NFILE | Errno::NOBUFS | Errno::NOMEM => {
            ConnectError::LocalResources(error.into())
        }
        Errno::ADDRNOTAVAIL | Errno::AGAIN | Errno::AFNOSUPPORT => ConnectError::NoLocalPort(error.into()),
        error => ConnectError::Refused(error.into()),
    }
}
