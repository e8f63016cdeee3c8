//! Client sockets that never wait for ever.

use std::io::{self, Read};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::End;

/// How long a client waits for anything, with much room for a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Connects to `address`.
pub fn connect(address: SocketAddr) -> io::Result<TcpStream> {
    connect_within(address, PATIENCE)
}

/// Connects to `address`, in at most `patience`.
pub fn connect_within(address: SocketAddr, patience: Duration) -> io::Result<TcpStream> {
    with_patience(TcpStream::connect_timeout(&address, patience)?)
}

/// Connects from `source` to `address`; port 0 leaves the port to the kernel.
pub fn connect_from(source: SocketAddr, address: SocketAddr) -> io::Result<TcpStream> {
    let socket = bound_to(source)?;
    socket.connect_timeout(&address.into(), PATIENCE)?;
    with_patience(socket.into())
}

fn bound_to(source: SocketAddr) -> io::Result<Socket> {
    let socket = Socket::new(Domain::for_address(source), Type::STREAM, None)?;
    // The port of an earlier connection to the same address may be used again at once.
    socket.set_reuse_address(true)?;
    socket.bind(&source.into())?;
    Ok(socket)
}

fn with_patience(stream: TcpStream) -> io::Result<TcpStream> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// Reads a line, byte by byte so that nothing after it is lost, and returns it without its newline.
pub fn read_line(mut stream: impl Read) -> io::Result<String> {
    let mut line = Vec::new();
    loop {
        let mut byte = [0];
        stream.read_exact(&mut byte)?;
        if byte == *b"\n" {
            return String::from_utf8(line).map_err(io::Error::other);
        }
        line.extend(byte);
    }
}

/// Reads exactly `length` bytes.
pub fn read_bytes(mut stream: impl Read, length: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; length];
    stream.read_exact(&mut bytes)?;
    Ok(bytes)
}

/// Reads until the connection ends, and says what came and how it ended.
pub fn read_to_end(mut stream: impl Read) -> (Vec<u8>, End) {
    let mut bytes = Vec::new();
    let end = stream.read_to_end(&mut bytes).as_ref().map_or_else(End::from, |_| End::Closed);
    (bytes, end)
}

/// What became of a connection that the other side was to refuse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The client's own address.
    pub client: SocketAddr,
    /// What it received.
    pub bytes: Vec<u8>,
    /// How it ended.
    pub end: End,
}

/// Connects from `source` to `address`, sends nothing and reads to the end. The end may come so early that it is
/// `connect` that reports it.
pub fn connect_and_read_to_end(source: IpAddr, address: SocketAddr) -> io::Result<Ended> {
    let socket = bound_to(SocketAddr::new(source, 0))?;
    let client = socket.local_addr()?.as_socket().ok_or(io::ErrorKind::AddrNotAvailable)?;
    let (bytes, end) = match socket.connect_timeout(&address.into(), PATIENCE) {
        Ok(()) => read_to_end(&with_patience(socket.into())?),
        Err(error) => (vec![], End::from(&error)),
    };
    Ok(Ended { client, bytes, end })
}

/// Closes the connection with a reset.
pub fn reset(stream: TcpStream) {
    // The one thing that SO_LINGER is good for: with a time of zero, close sends RST.
    let socket = Socket::from(stream);
    socket.set_linger(Some(Duration::ZERO)).expect("a TCP socket has SO_LINGER");
}
