//! Load and backend for datagrams: each request is one, and so is its answer. Content is checked; what is lost fails the
//! whole run.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::sockopt::set_socket_recv_buffer_size_force;

use crate::bench::load::{Args, STALLED};
use crate::bench::peer::Peer;
use crate::bench::wire::{HEADER, Header, Pattern};

/// What each socket may queue, so that a burst of all clients is not lost: a datagram takes some 800 bytes of it.
const BUFFER: usize = 4 << 20;

/// The backend's sockets: one for each address that peers send to, so that answers come from there.
pub(crate) fn backend_sockets(port: u16) -> Result<Vec<UdpSocket>> {
    Peer::ALL.iter().map(|peer| socket(SocketAddr::from((peer.backend_address(), port)))).collect()
}

/// Answers what has arrived.
pub(crate) fn answer_all(socket: &UdpSocket, buffer: &mut [u8], pattern: &Pattern) -> Result<()> {
    while let Some((received, from)) = receive(socket, buffer)? {
        let request = buffer.get(..received).unwrap_or_default();
        let (header, payload) =
            request.split_first_chunk::<HEADER>().context("a datagram without a header")?;
        let header = Header::decode(header);
        pattern.check(header.seed, payload)?;
        socket.send_to(&message(header, header.reply, pattern), from)?;
    }
    Ok(())
}

/// A datagram of `length` bytes: the header, then pattern.
fn message(header: Header, length: u64, pattern: &Pattern) -> Vec<u8> {
    let rest = usize::try_from(length).unwrap_or(usize::MAX).saturating_sub(HEADER);
    [&header.encode()[..], pattern.chunk(header.seed).get(..rest).unwrap_or_default()].concat()
}

fn socket(address: SocketAddr) -> Result<UdpSocket> {
    let socket = UdpSocket::bind(address).with_context(|| format!("cannot bind {address}"))?;
    socket.set_nonblocking(true)?;
    // Less is enough where we may not have it.
    let _ = set_socket_recv_buffer_size_force(&socket, BUFFER);
    Ok(socket)
}

fn receive(socket: &UdpSocket, buffer: &mut [u8]) -> Result<Option<(usize, SocketAddr)>> {
    match socket.recv_from(buffer) {
        Ok(received) => Ok(Some(received)),
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => Ok(None),
        Err(error) => Err(error).context("receive"),
    }
}

/// Whether a proxy at `target` serves: a few datagrams may be lost until it does.
pub(crate) fn is_answered(target: SocketAddr) -> Result<bool> {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?;
    socket.connect(target)?;
    socket.set_read_timeout(Some(Duration::from_millis(50)))?;
    let header = Header { seed: 0, payload: 0, reply: HEADER as u64 };
    // Until somebody listens there, this and the next fail.
    Ok(socket.send(&header.encode()).is_ok() && socket.recv(&mut [0; HEADER]).is_ok())
}

/// One client.
struct Flow {
    socket: UdpSocket,
    /// When each request under way was sent, by its seed.
    under_way: Vec<(u64, Instant)>,
    /// Requests still to be sent.
    left: u64,
}

/// Generates the load; returns how long each exchange took.
pub(crate) fn generate(args: &Args) -> Result<Vec<Duration>> {
    let mut generator = Generator {
        args,
        epoll: epoll::create(epoll::CreateFlags::CLOEXEC)?,
        pattern: Pattern::new(),
        flows: Vec::new(),
        started: 0,
        seed: 0,
        latencies: Vec::new(),
    };
    for _ in 0..args.concurrency.min(args.connections) {
        generator.flows.push(None);
        generator.begin(generator.flows.len() - 1)?;
    }
    generator.run()?;
    Ok(generator.latencies)
}

struct Generator<'a> {
    args: &'a Args,
    epoll: std::os::fd::OwnedFd,
    pattern: Pattern,
    flows: Vec<Option<Flow>>,
    started: u64,
    seed: u64,
    latencies: Vec<Duration>,
}

impl Generator<'_> {
    fn run(&mut self) -> Result<()> {
        let mut events = Vec::with_capacity(256);
        let mut buffer = vec![0; 65_536];
        while self.flows.iter().any(Option::is_some) {
            events.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&STALLED)) {
                Ok(0) => bail!("stalled: some datagram got lost, or its answer did"),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error).context("epoll_wait"),
            }
            for event in &events {
                let token = event.data;
                self.answered(usize::try_from(token.u64())?, &mut buffer)?;
            }
        }
        Ok(())
    }

    /// Has another client begin in this place, if there is one left.
    fn begin(&mut self, place: usize) -> Result<()> {
        let slot = self.flows.get_mut(place).context("no such place")?;
        *slot = None;
        if self.started == self.args.connections {
            return Ok(());
        }
        self.started += 1;
        let socket = socket(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))?;
        socket.connect(self.args.target)?;
        epoll::add(&self.epoll, &socket, EventData::new_u64(place as u64), EventFlags::IN)?;
        *slot = Some(Flow { socket, under_way: Vec::new(), left: self.args.exchanges });
        for _ in 0..self.args.window.unwrap_or(1) {
            self.send(place)?;
        }
        Ok(())
    }

    fn send(&mut self, place: usize) -> Result<()> {
        let Some(flow) = self.flows.get_mut(place).and_then(Option::as_mut).filter(|flow| flow.left > 0)
        else {
            return Ok(());
        };
        self.seed += 1;
        let payload = self.args.request - HEADER as u64;
        let header = Header { seed: self.seed, payload, reply: self.args.reply };
        flow.socket.send(&message(header, self.args.request, &self.pattern))?;
        flow.left -= 1;
        flow.under_way.push((header.seed, Instant::now()));
        Ok(())
    }

    /// Takes the answers that are there, each of which makes room for another request.
    fn answered(&mut self, place: usize, buffer: &mut [u8]) -> Result<()> {
        loop {
            let Some(flow) = self.flows.get_mut(place).and_then(Option::as_mut) else { return Ok(()) };
            let Some((received, _)) = receive(&flow.socket, buffer)? else { return Ok(()) };
            let answer = buffer.get(..received).unwrap_or_default();
            ensure!(received as u64 == self.args.reply, "an answer of {received} bytes");
            let (header, body) =
                answer.split_first_chunk::<HEADER>().context("an answer without a header")?;
            let seed = Header::decode(header).seed;
            self.pattern.check(seed, body)?;
            let asked = flow.under_way.iter().position(|(asked, _)| *asked == seed);
            let (_, since) = flow.under_way.swap_remove(asked.context("an answer to no question")?);
            self.latencies.push(since.elapsed());
            if flow.left == 0 && flow.under_way.is_empty() {
                return self.begin(place);
            }
            self.send(place)?;
        }
    }
}
