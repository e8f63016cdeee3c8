//! Connects, and that is all.

use std::net::SocketAddr;

use socket2::SockRef;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use super::Deadline;
use crate::error::{ProbeError, Step};

/// As HAProxy does it: the handshake's last ACK is held back and closing sends RST instead, so that the backend's kernel
/// drops the half-open connection. Its application neither accepts nor logs anything, and no side keeps TIME_WAIT.
pub(super) async fn probe(address: SocketAddr, deadline: Deadline) -> Result<(), ProbeError> {
    let socket = socket(address)?;
    SockRef::from(&socket).set_tcp_quickack(false).map_err(|error| ProbeError::from_io(&error))?;
    finish(socket, address, deadline).await?;
    Ok(())
}

/// A connection that vanishes when it is dropped: with RST, without TIME_WAIT here. Whoever drops it has read what it
/// wanted or has given up. `first` is sent already.
pub(super) async fn connect(
    address: SocketAddr,
    first: &[u8],
    deadline: Deadline,
) -> Result<TcpStream, ProbeError> {
    let mut stream = finish(socket(address)?, address, deadline).await?;
    stream.set_nodelay(true).map_err(|error| ProbeError::from_io(&error))?;
    // The buffer of a new connection has room for it.
    stream.write_all(first).await.map_err(|error| ProbeError::from_io(&error))?;
    Ok(stream)
}

fn socket(address: SocketAddr) -> Result<TcpSocket, ProbeError> {
    let socket = if address.is_ipv6() { TcpSocket::new_v6() } else { TcpSocket::new_v4() };
    let socket = socket.map_err(|error| ProbeError::from_io(&error))?;
    socket.set_zero_linger().map_err(|error| ProbeError::from_io(&error))?;
    Ok(socket)
}

async fn finish(socket: TcpSocket, address: SocketAddr, deadline: Deadline) -> Result<TcpStream, ProbeError> {
    let connected = deadline.within(Step::Connect, socket.connect(address)).await?;
    connected.map_err(|error| ProbeError::from_io(&error))
}
