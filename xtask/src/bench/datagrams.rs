//! Load and backend for datagrams: each request is one, and so is its answer. Content is checked; what is lost fails the
//! whole run.
//!
//! Both receive and send in batches: with a system call for each datagram they, on their one core, could not keep a proxy
//! busy, and whoever has time to wait for work finds less of it at a time. What leaves in one call is not coalesced: it
//! comes to a proxy datagram by datagram.

use std::io::IoSlice;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use lb_net::{Coalescing, Datagram, UdpBatch, UdpFlow, UdpOptions, UdpPort, UdpReceived, bind_udp_all};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{MMsgHdr, SendAncillaryBuffer, SendFlags, SocketAddrAny, sendmmsg};

use crate::bench::load::{Args, STALLED};
use crate::bench::peer::Peer;
use crate::bench::wire::{HEADER, Header, Pattern};

/// Room for a burst of all clients: a datagram takes some 800 bytes of it.
const OPTIONS: UdpOptions = UdpOptions { receive_buffer: 4 << 20, coalescing: Coalescing::Off };

/// Messages that are received at a time.
const BATCH: usize = 64;

/// The backend's sockets: one for each address that peers send to, so that answers come from there.
pub(crate) struct Answering {
    sockets: Vec<(OwnedFd, UdpPort)>,
    batch: UdpBatch,
}

impl Answering {
    /// Binds them. In the context of a tokio runtime, which nobody runs: who is ready, the backend's own epoll says.
    pub(crate) fn bind(port: u16) -> Result<Self> {
        let bind = |peer: &Peer| {
            let address = SocketAddr::from((peer.backend_address(), port));
            let sockets = bind_udp_all(&[address], OPTIONS, 1)?;
            let socket = sockets.into_iter().flatten().next().context("no socket")?;
            Ok((socket.try_clone()?.into(), UdpPort::new(Arc::new(socket.into()))?))
        };
        let sockets = Peer::ALL.iter().map(bind).collect::<Result<_>>()?;
        Ok(Self { sockets, batch: UdpBatch::new(BATCH) })
    }

    /// What to watch, by place.
    pub(crate) fn sockets(&self) -> impl Iterator<Item = BorrowedFd<'_>> {
        self.sockets.iter().map(|(socket, _)| socket.as_fd())
    }

    /// Answers what has arrived on the socket at `place`; says whether there is one.
    pub(crate) fn answer_all(&mut self, place: usize, pattern: &Pattern) -> Result<bool> {
        let Some((socket, port)) = self.sockets.get(place) else { return Ok(false) };
        loop {
            self.batch.clear();
            let UdpReceived { drained, .. } = port.recv(&mut self.batch)?;
            let answer =
                |request: Datagram<'_>| Ok((Some(request.peer.into()), answer(request.payload, pattern)?));
            let answers = self.batch.datagrams().map(answer).collect::<Result<Vec<_>>>()?;
            send_all(socket, &answers)?;
            if drained {
                return Ok(true);
            }
        }
    }
}

fn answer(request: &[u8], pattern: &Pattern) -> Result<Vec<u8>> {
    let (header, payload) = request.split_first_chunk::<HEADER>().context("a datagram without a header")?;
    let header = Header::decode(header);
    pattern.check(header.seed, payload)?;
    Ok(message(header, header.reply, pattern))
}

/// A datagram of `length` bytes: the header, then pattern.
fn message(header: Header, length: u64, pattern: &Pattern) -> Vec<u8> {
    let rest = usize::try_from(length).unwrap_or(usize::MAX).saturating_sub(HEADER);
    [&header.encode()[..], pattern.chunk(header.seed).get(..rest).unwrap_or_default()].concat()
}

/// Sends each of these, to the address beside it if the socket is not connected.
fn send_all(socket: impl AsFd, datagrams: &[(Option<SocketAddrAny>, Vec<u8>)]) -> Result<()> {
    let payloads: Vec<_> = datagrams.iter().map(|(_, payload)| [IoSlice::new(payload)]).collect();
    let mut controls: Vec<_> = datagrams.iter().map(|_| SendAncillaryBuffer::default()).collect();
    let mut messages = Vec::with_capacity(datagrams.len());
    for (((to, _), payload), control) in datagrams.iter().zip(&payloads).zip(&mut controls) {
        messages.push(match to {
            Some(to) => MMsgHdr::new_with_addr(to, payload, control),
            None => MMsgHdr::new(payload, control),
        });
    }
    let sent = if messages.is_empty() { 0 } else { sendmmsg(socket, &mut messages, SendFlags::empty())? };
    ensure!(sent == messages.len(), "only {sent} of {} datagrams were sent", messages.len());
    Ok(())
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
    socket: UdpFlow,
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
        batch: UdpBatch::new(BATCH),
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
    epoll: OwnedFd,
    pattern: Pattern,
    flows: Vec<Option<Flow>>,
    started: u64,
    seed: u64,
    latencies: Vec<Duration>,
    batch: UdpBatch,
}

impl Generator<'_> {
    fn run(&mut self) -> Result<()> {
        let mut events = Vec::with_capacity(256);
        while self.flows.iter().any(Option::is_some) {
            events.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&STALLED)) {
                Ok(0) => bail!("stalled: some datagram got lost, or its answer did"),
                Ok(_) | Err(Errno::INTR) => {}
                Err(error) => return Err(error).context("epoll_wait"),
            }
            for event in &events {
                let token = event.data;
                self.answered(usize::try_from(token.u64())?)?;
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
        let socket = UdpFlow::connect(self.args.target, Coalescing::Off)?;
        epoll::add(&self.epoll, &socket, EventData::new_u64(place as u64), EventFlags::IN)?;
        *slot = Some(Flow { socket, under_way: Vec::new(), left: self.args.exchanges });
        self.send(place)
    }

    /// Sends as many requests as may be under way.
    fn send(&mut self, place: usize) -> Result<()> {
        let Some(flow) = self.flows.get_mut(place).and_then(Option::as_mut) else { return Ok(()) };
        let window = self.args.window.unwrap_or(1);
        let room = flow.left.min(window.saturating_sub(flow.under_way.len() as u64));
        let payload = self.args.request - HEADER as u64;
        let headers =
            (self.seed + 1..=self.seed + room).map(|seed| Header { seed, payload, reply: self.args.reply });
        let now = Instant::now();
        flow.under_way.extend((self.seed + 1..=self.seed + room).map(|seed| (seed, now)));
        flow.left -= room;
        self.seed += room;
        let request = |header| (None, message(header, self.args.request, &self.pattern));
        send_all(&flow.socket, &headers.map(request).collect::<Vec<_>>())
    }

    /// Takes the answers that are there, each of which makes room for another request.
    fn answered(&mut self, place: usize) -> Result<()> {
        let Some(flow) = self.flows.get_mut(place).and_then(Option::as_mut) else { return Ok(()) };
        self.batch.clear();
        flow.socket.recv(&mut self.batch, self.args.target, self.args.target)?;
        for answer in self.batch.datagrams() {
            let length = answer.payload.len();
            ensure!(length as u64 == self.args.reply, "an answer of {length} bytes");
            let (header, body) =
                answer.payload.split_first_chunk::<HEADER>().context("an answer without a header")?;
            let seed = Header::decode(header).seed;
            self.pattern.check(seed, body)?;
            let asked = flow.under_way.iter().position(|(asked, _)| *asked == seed);
            let (_, since) = flow.under_way.swap_remove(asked.context("an answer to no question")?);
            self.latencies.push(since.elapsed());
        }
        if flow.left == 0 && flow.under_way.is_empty() { self.begin(place) } else { self.send(place) }
    }
}
