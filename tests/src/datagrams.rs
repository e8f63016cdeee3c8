//! A UDP server whose answers the test gives.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use crate::script::Script;
use crate::service::Service;

/// What is sent back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reply {
    /// These bytes.
    Bytes(Vec<u8>),
    /// Nothing.
    Silence,
}

/// A UDP server. It stops with this value.
#[derive(Debug)]
pub struct Datagrams {
    replies: Arc<Script<Vec<u8>, Reply>>,
    _service: Service,
}

impl Datagrams {
    /// Starts it on `address`, with this reply to everything.
    pub fn start(address: SocketAddr, reply: Reply) -> Self {
        let socket = UdpSocket::bind(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        socket.set_nonblocking(true).expect("any socket can be");
        let replies = Arc::new(Script::new(Some(reply)));
        let shared = Arc::clone(&replies);
        Self { replies, _service: Service::start(&format!("udp {address}"), move || serve(socket, shared)) }
    }

    /// Replies like this from now on.
    pub fn always(&self, reply: Reply) {
        self.replies.always(reply);
    }

    /// Waits until there were at least `count` datagrams, and returns them.
    #[track_caller]
    pub fn wait_received(&self, count: usize) -> Vec<Vec<u8>> {
        self.replies.wait_asked(count)
    }
}

async fn serve(socket: UdpSocket, replies: Arc<Script<Vec<u8>, Reply>>) -> io::Result<Infallible> {
    let socket = tokio::net::UdpSocket::from_std(socket)?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let (length, peer) = socket.recv_from(&mut buffer).await?;
        let datagram = buffer.get(..length).unwrap_or_default().to_vec();
        if let Reply::Bytes(bytes) = replies.answer(datagram).await {
            socket.send_to(&bytes, peer).await?;
        }
    }
}
