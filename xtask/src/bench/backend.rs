//! The backend of every case: one thread, one epoll, answers what [`wire`] asks for.
//!
//! [`wire`]: crate::bench::wire

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::fd::AsFd;

use anyhow::{Context, Result, ensure};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::net::SocketFlags;
use socket2::{Domain, Socket, Type};

use crate::bench::datagrams::Answering;
use crate::bench::wire::{CHUNK, Framing, Header, IncomingHead, Outgoing, Pattern, Preamble, Written, read};

/// The backend's ports, on every loopback address: one for each thing that a connection may begin with, and framing.
const PORTS: [(Preamble, Framing, u16); 4] = [
    (Preamble::None, Framing::Plain, 7100),
    (Preamble::ProxyHeader, Framing::Plain, 7101),
    (Preamble::ClientHello, Framing::Plain, 7102),
    (Preamble::None, Framing::Http, 7103),
];

/// The port for such connections.
pub(crate) fn port(preamble: Preamble, framing: Framing) -> u16 {
    let is_it = |(of_port, framed, _): &&(Preamble, Framing, u16)| (*of_port, *framed) == (preamble, framing);
    PORTS.iter().find(is_it).map_or(0, |(_, _, port)| *port)
}

/// Runs the backend.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// What a connection is at.
enum State {
    /// Reading what comes before everything else, of which this is there.
    Preamble(Preamble, Vec<u8>),
    /// Reading a header.
    Header(IncomingHead),
    /// Reading a payload, of which so much is there.
    Payload(Header, u64),
    /// Writing a reply.
    Reply(Outgoing),
}

/// One accepted connection.
struct Connection {
    stream: TcpStream,
    framing: Framing,
    state: State,
    /// What epoll watches it for.
    interest: EventFlags,
}

/// What becomes of a connection after an event.
enum Next {
    Keep,
    Close,
}

/// Serves until it is killed.
pub(crate) fn run(Args {}: &Args) -> Result<()> {
    /// Tokens of listeners and sockets are above those of connections.
    const LISTENERS: u64 = 1 << 32;
    const DATAGRAMS: u64 = 1 << 33;

    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let listeners = PORTS
        .map(|(preamble, framing, port)| Ok((preamble, framing, listen(port)?)))
        .into_iter()
        .collect::<Result<Vec<_>>>()?;
    for ((_, _, listener), token) in listeners.iter().zip(LISTENERS..) {
        epoll::add(&epoll, listener, EventData::new_u64(token), EventFlags::IN)?;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let _in_its_context = runtime.enter();
    let mut answering = Answering::bind(port(Preamble::None, Framing::Plain))?;
    for (socket, token) in answering.sockets().zip(DATAGRAMS..) {
        epoll::add(&epoll, socket, EventData::new_u64(token), EventFlags::IN)?;
    }
    let pattern = Pattern::new();
    let mut buffer = vec![0; CHUNK];
    let mut connections: Vec<Option<Connection>> = Vec::new();
    let mut free: Vec<usize> = Vec::new();
    let mut events = Vec::with_capacity(256);
    loop {
        events.clear();
        match epoll::wait(&epoll, rustix::buffer::spare_capacity(&mut events), None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error).context("epoll_wait"),
        }
        for event in &events {
            let token = event.data;
            let at = |first: u64| usize::try_from(token.u64().wrapping_sub(first)).unwrap_or(usize::MAX);
            if answering.answer_all(at(DATAGRAMS), &pattern)? {
                continue;
            }
            if let Some((preamble, framing, listener)) = listeners.get(at(LISTENERS)) {
                accept_all(&epoll, listener, (*preamble, *framing), &mut connections, &mut free)?;
                continue;
            }
            let slot = usize::try_from(token.u64()).unwrap_or(usize::MAX);
            let Some(connection) = connections.get_mut(slot).and_then(Option::as_mut) else { continue };
            // A proxy that resets a connection, or sends what is no request, shows at the generator.
            let next = connection.advance(&mut buffer, &pattern).unwrap_or(Next::Close);
            match next {
                Next::Keep => connection.watch(&epoll, slot)?,
                Next::Close => {
                    connections.get_mut(slot).and_then(Option::take);
                    free.push(slot);
                }
            }
        }
    }
}

fn listen(port: u16) -> Result<Socket> {
    let address = SocketAddr::from((Ipv4Addr::UNSPECIFIED, port));
    let listener = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking(), None)?;
    listener.set_reuse_address(true)?;
    listener.set_tcp_nodelay(true)?;
    listener.bind(&address.into()).with_context(|| format!("backend cannot bind {address}"))?;
    listener.listen(i32::from(u16::MAX))?;
    Ok(listener)
}

fn accept_all(
    epoll: impl AsFd,
    listener: &Socket,
    (preamble, framing): (Preamble, Framing),
    connections: &mut Vec<Option<Connection>>,
    free: &mut Vec<usize>,
) -> Result<()> {
    loop {
        let stream = match rustix::net::accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
            Ok(socket) => TcpStream::from(socket),
            Err(rustix::io::Errno::AGAIN) => return Ok(()),
            Err(rustix::io::Errno::CONNABORTED | rustix::io::Errno::INTR) => continue,
            Err(error) => return Err(error).context("backend cannot accept"),
        };
        let slot = free.pop().unwrap_or_else(|| {
            connections.push(None);
            connections.len() - 1
        });
        let interest = EventFlags::IN;
        epoll::add(&epoll, &stream, EventData::new_u64(slot as u64), interest)?;
        if let Some(place) = connections.get_mut(slot) {
            let state = match preamble {
                Preamble::None => State::Header(IncomingHead::default()),
                Preamble::ProxyHeader | Preamble::ClientHello => State::Preamble(preamble, Vec::new()),
            };
            *place = Some(Connection { stream, framing, state, interest });
        }
    }
}

impl Connection {
    /// One read or write, and at once the reply's first write when the request is complete.
    fn advance(&mut self, buffer: &mut [u8], pattern: &Pattern) -> Result<Next> {
        if !matches!(self.state, State::Reply(_)) {
            let Some(received) = read(&self.stream, buffer)? else { return Ok(Next::Keep) };
            if received.is_empty() {
                return Ok(Next::Close);
            }
            self.receive(received, pattern)?;
        }
        if let State::Reply(reply) = &mut self.state
            && reply.write(&self.stream, pattern)? == Written::All
        {
            self.state = State::Header(IncomingHead::default());
        }
        Ok(Next::Keep)
    }

    /// Takes received bytes into the state.
    fn receive(&mut self, mut received: &[u8], pattern: &Pattern) -> Result<()> {
        if let State::Preamble(preamble, beginning) = &mut self.state {
            let before = beginning.len();
            beginning.extend_from_slice(received);
            let Some(length) = preamble.length(beginning).filter(|length| *length <= beginning.len()) else {
                return Ok(());
            };
            received = received.get(length - before..).unwrap_or_default();
            self.state = State::Header(IncomingHead::default());
        }
        if let State::Header(head) = &mut self.state {
            let Some((header, rest)) = head.request(self.framing, received)? else { return Ok(()) };
            received = rest;
            self.state = State::Payload(header, 0);
        }
        if let State::Payload(header, have) = &mut self.state {
            pattern.check(header.seed.wrapping_add(*have), received)?;
            *have += received.len() as u64;
            ensure!(*have <= header.payload, "more payload than announced");
            if *have == header.payload {
                self.state = State::Reply(Outgoing::reply(self.framing, *header));
            }
        }
        Ok(())
    }

    /// Watches for what the state waits for.
    fn watch(&mut self, epoll: impl AsFd, slot: usize) -> Result<()> {
        let wanted = match self.state {
            State::Reply(_) => EventFlags::OUT,
            State::Preamble(..) | State::Header(..) | State::Payload(..) => EventFlags::IN,
        };
        if wanted != self.interest {
            epoll::modify(epoll, &self.stream, EventData::new_u64(slot as u64), wanted)?;
            self.interest = wanted;
        }
        Ok(())
    }
}
