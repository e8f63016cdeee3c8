//! A client that talks to one address by datagrams.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use rustix::net::sockopt;

use crate::eventually;

/// A connected socket: the kernel keeps from it what comes from anywhere else than where it sends to.
#[derive(Debug)]
pub struct UdpClient {
    socket: UdpSocket,
    address: SocketAddr,
}

/// Who has answered a datagram: a backend that [tags](crate::UdpAnswers::Tags).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Served {
    /// The backend's name.
    pub backend: String,
    /// The port of the flow's own socket: it is another if the flow is another, or has moved.
    pub port: u16,
}

impl UdpClient {
    /// Sends to `address`, from a port of its own.
    #[track_caller]
    pub fn new(address: SocketAddr) -> Self {
        let any: IpAddr =
            if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
        Self::from(SocketAddr::new(any, 0), address)
    }

    /// Sends to `address` from `source`; port 0 leaves the port to the kernel.
    #[track_caller]
    pub fn from(source: SocketAddr, address: SocketAddr) -> Self {
        let connect = || {
            let socket = UdpSocket::bind(source)?;
            socket.connect(address)?;
            socket.set_read_timeout(Some(PATIENCE))?;
            give_room(&socket);
            Ok::<_, io::Error>(Self { address: socket.local_addr()?, socket })
        };
        connect().unwrap_or_else(|error| panic!("from {source} to {address}: {error}"))
    }

    /// Sends to another address from now on, from the same port.
    #[track_caller]
    pub fn turn_to(&self, address: SocketAddr) {
        self.socket.connect(address).unwrap_or_else(|error| panic!("to {address}: {error}"));
    }

    /// Its own address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sends a datagram.
    #[track_caller]
    pub fn send(&self, payload: &[u8]) {
        let sent = self.socket.send(payload).unwrap_or_else(|error| panic!("{}: {error}", self.address));
        assert_eq!(sent, payload.len());
    }

    /// Waits for a datagram.
    #[track_caller]
    pub fn receive(&self) -> Vec<u8> {
        self.try_receive().unwrap_or_else(|error| panic!("{} receives nothing: {error}", self.address))
    }

    fn try_receive(&self) -> io::Result<Vec<u8>> {
        let mut buffer = vec![0; 64 * 1024];
        // A receive that may time out is not begun again by the kernel when a child of this process has ended.
        let length = loop {
            match self.socket.recv(&mut buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                result => break result?,
            }
        };
        buffer.truncate(length);
        Ok(buffer)
    }

    /// Sends a datagram, waits for its answer and says who has answered. The answer has to be to this datagram.
    #[track_caller]
    pub fn ask(&self, payload: &[u8]) -> Served {
        self.send(payload);
        let (served, answered) = self.receive_tagged();
        assert!(answered == payload, "{} has got the answer to another datagram", self.address);
        served
    }

    /// Waits for an answer, and says who has answered what.
    #[track_caller]
    pub fn receive_tagged(&self) -> (Served, Vec<u8>) {
        read_tag(&self.receive())
    }

    /// The same, for an answer that may not come.
    pub fn receive_within(&self, wait: Duration) -> Option<(Served, Vec<u8>)> {
        self.socket.set_read_timeout(Some(wait)).expect("it is not zero");
        let answer = self.try_receive();
        self.socket.set_read_timeout(Some(PATIENCE)).expect("it is not zero");
        answer.ok().map(|answer| read_tag(&answer))
    }

    /// The name of the backend that answers it now.
    #[track_caller]
    pub fn served_by(&self) -> String {
        self.ask(b"who?").backend
    }

    /// Asserts that nothing is here that it has not received yet.
    #[track_caller]
    pub fn assert_nothing_more(&self) {
        self.socket.set_nonblocking(true).expect("any socket can be");
        let more = self.try_receive();
        self.socket.set_nonblocking(false).expect("any socket can be");
        let error = more.expect_err("there should be nothing");
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "{}", self.address);
    }

    /// Sends until the kernel on the other side says that nobody has the port.
    #[track_caller]
    pub fn wait_refused(&self) {
        let refused = |result: io::Result<usize>| {
            result.is_err_and(|error| error.kind() == io::ErrorKind::ConnectionRefused)
        };
        self.socket.set_nonblocking(true).expect("any socket can be");
        eventually(PATIENCE, "the port is closed", || {
            // On one host the answer is there when the call returns.
            refused(self.socket.send(b"?")) || refused(self.socket.recv(&mut [0; 2048]))
        });
        self.socket.set_nonblocking(false).expect("any socket can be");
    }
}

#[track_caller]
fn read_tag(answer: &[u8]) -> (Served, Vec<u8>) {
    let tagged = || {
        let end = answer.iter().position(|&byte| byte == b'\n')?;
        let (tag, payload) = answer.split_at_checked(end)?;
        let (backend, port) = std::str::from_utf8(tag).ok()?.split_once(' ')?;
        let served = Served { backend: backend.into(), port: port.parse().ok()? };
        Some((served, payload.get(1..)?.to_vec()))
    };
    tagged().unwrap_or_else(|| panic!("no tag in {:?}", String::from_utf8_lossy(answer)))
}

/// How long a client waits for anything, with much room for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Lets a socket queue a burst.
pub(crate) fn give_room(socket: &UdpSocket) {
    /// Some five thousand small datagrams; without privileges the kernel gives less, which is some five hundred.
    const ROOM: usize = 4 << 20;

    if sockopt::set_socket_recv_buffer_size_force(socket, ROOM).is_err() {
        sockopt::set_socket_recv_buffer_size(socket, ROOM).expect("any socket has a buffer");
    }
}
