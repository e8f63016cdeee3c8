//! A UDP server that a pool may have.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use crate::service::Service;
use crate::{Config, UdpClient, Watched, udp_client};

/// A UDP server that remembers what it received. It stops with this value.
#[derive(Debug)]
pub struct UdpBackend {
    name: String,
    address: SocketAddr,
    answers: UdpAnswers,
    received: Arc<Watched<Vec<Received>>>,
    running: Option<Running>,
}

/// What a backend sends for each datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UdpAnswers {
    /// So many times: its name, the port that the datagram came from, which is the flow's, and the datagram. Clients read
    /// them by [`UdpClient::ask`](crate::UdpClient::ask).
    Tags(usize),
    /// The datagram.
    Echo,
    /// Nothing: it is the test that [sends](UdpBackend::send).
    None,
}

/// A datagram that a backend has received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    /// The flow's own address: answers go there.
    pub from: SocketAddr,
    /// What it says.
    pub payload: Vec<u8>,
}

#[derive(Debug)]
struct Running {
    _service: Service,
    /// The same socket, for what the test sends.
    socket: UdpSocket,
}

impl UdpBackend {
    /// Starts it on `address`, with one tag for each datagram.
    pub fn start(name: &str, address: SocketAddr) -> Self {
        Self::answering(UdpAnswers::Tags(1), name, address)
    }

    /// Starts it on `address`, with these answers.
    pub fn answering(answers: UdpAnswers, name: &str, address: SocketAddr) -> Self {
        let mut backend =
            Self { name: name.into(), address, answers, received: Arc::default(), running: None };
        backend.restart();
        backend
    }

    /// Closes its socket, so that the kernel refuses what is sent there.
    #[track_caller]
    pub fn stop(&mut self) {
        if self.running.take().is_some() {
            // A child that another test has just forked may have it open for an instant.
            UdpClient::new(self.address).wait_refused();
        }
    }

    /// Starts it again after [`Self::stop`]. It remembers what it received before.
    pub fn restart(&mut self) {
        let socket =
            UdpSocket::bind(self.address).unwrap_or_else(|error| panic!("{}: {error}", self.address));
        udp_client::give_room(&socket);
        socket.set_nonblocking(true).expect("any socket can be");
        let own = socket.try_clone().expect("there are descriptors");
        let (tag, answers, received) = (self.name.clone(), self.answers, Arc::clone(&self.received));
        let service =
            Service::start(&format!("udp {}", self.name), move || serve(socket, tag, answers, received));
        self.running = Some(Running { _service: service, socket: own });
    }

    /// Sends a datagram to a flow.
    #[track_caller]
    pub fn send(&self, to: SocketAddr, payload: &[u8]) {
        let running = self.running.as_ref().expect("it runs");
        running.socket.send_to(payload, to).expect("the kernel takes a datagram");
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What it has received so far.
    pub fn received(&self) -> Vec<Received> {
        self.received.read(Clone::clone)
    }

    /// How much it has received so far.
    pub fn count(&self) -> usize {
        self.received.read(Vec::len)
    }

    /// Waits until it has received so many datagrams, and returns them all.
    #[track_caller]
    pub fn wait_received(&self, count: usize) -> Vec<Received> {
        let enough = self.received.wait(PATIENCE, |all| (all.len() >= count).then(|| all.clone()));
        enough.unwrap_or_else(|| panic!("{} has received {}, not {count}", self.name, self.count()))
    }

    /// Its entry in a pool's `backends`, with further keys (`weight = 3`).
    pub fn entry(&self, keys: &str) -> String {
        let comma = if keys.is_empty() { "" } else { ", " };
        format!("{{ address = \"{}\", name = \"{}\"{comma}{keys} }}", self.address, self.name)
    }
}

impl Config {
    /// Adds a pool of `backends` with further `lines`.
    pub fn udp_pool<'a>(
        self,
        name: &str,
        backends: impl IntoIterator<Item = &'a UdpBackend>,
        lines: &str,
    ) -> Self {
        let entries: Vec<_> = backends.into_iter().map(|backend| backend.entry("")).collect();
        self.pool_of(name, &entries, lines)
    }
}

/// How long a test waits for something that has to happen, with much room for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

async fn serve(
    socket: UdpSocket,
    name: String,
    answers: UdpAnswers,
    received: Arc<Watched<Vec<Received>>>,
) -> io::Result<Infallible> {
    let socket = tokio::net::UdpSocket::from_std(socket)?;
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let (length, from) = socket.recv_from(&mut buffer).await?;
        let payload = buffer.get(..length).unwrap_or_default().to_vec();
        let (answer, times) = match answers {
            UdpAnswers::Tags(times) => ([tag(&name, from), payload.clone()].concat(), times),
            UdpAnswers::Echo => (payload.clone(), 1),
            UdpAnswers::None => (vec![], 0),
        };
        received.change(|all| all.push(Received { from, payload }));
        for _ in 0..times {
            // The flow may be gone: nobody that a server of UDP would care about.
            let _ = socket.send_to(&answer, from).await;
        }
    }
}

fn tag(name: &str, from: SocketAddr) -> Vec<u8> {
    format!("{name} {}\n", from.port()).into_bytes()
}
