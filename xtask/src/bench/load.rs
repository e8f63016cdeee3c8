//! The load generator: one thread, one epoll, a fixed amount of work, checked content.
//!
//! It prints one JSON object when the work is done. Any error of any connection fails the whole run: a proxy that
//! drops work must not look fast.

use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};
use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use clap::ValueEnum as _;
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec};
use socket2::{Domain, Socket, Type};

use crate::bench::datagrams;
use crate::bench::stats::percentile;
use crate::bench::wire::{
    CHUNK, Framing, HEADER, Header, IncomingHead, Outgoing, Pattern, Position, Preamble, Written, read,
};

/// No event for so long means that the proxy has lost something.
pub(crate) const STALLED: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// epoll's token of the pace timer.
const PACE: u64 = u64::MAX;

/// Generates one load.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Args {
    /// Where the proxy listens.
    #[arg(long)]
    pub(crate) target: SocketAddr,
    /// Connections to make in all.
    #[arg(long)]
    pub(crate) connections: u64,
    /// Connections at work at a time; with a rate, no limit.
    #[arg(long)]
    pub(crate) concurrency: u64,
    /// Exchanges on each connection.
    #[arg(long)]
    pub(crate) exchanges: u64,
    /// Bytes of a request, its header included; of HTTP, its body.
    #[arg(long)]
    pub(crate) request: u64,
    /// Bytes of a reply.
    #[arg(long)]
    pub(crate) reply: u64,
    /// Exchanges to begin per second, whether earlier ones are done or not: with more than one on a connection, each
    /// connection has its turn, late if it is not done with the one before.
    #[arg(long)]
    pub(crate) rate: Option<u32>,
    /// How requests and replies are written.
    #[arg(long, value_enum, default_value = "plain")]
    pub(crate) framing: Framing,
    /// What each connection begins with.
    #[arg(long, value_enum, default_value = "none")]
    pub(crate) preamble: Preamble,
    /// Datagrams instead of connections, so many exchanges at a time in each flow.
    #[arg(long)]
    pub(crate) window: Option<u64>,
    /// Keep all connections open after their exchanges, until standard input ends.
    #[arg(long)]
    pub(crate) hold: bool,
}

impl Args {
    /// The arguments as a command line.
    pub(crate) fn to_command_line(&self) -> Vec<String> {
        let mut line = vec![format!("--target={}", self.target)];
        line.push(format!("--connections={}", self.connections));
        line.push(format!("--concurrency={}", self.concurrency));
        line.push(format!("--exchanges={}", self.exchanges));
        line.push(format!("--request={}", self.request));
        line.push(format!("--reply={}", self.reply));
        line.extend(self.rate.map(|rate| format!("--rate={rate}")));
        let framing = self.framing.to_possible_value();
        line.extend(framing.map(|framing| format!("--framing={}", framing.get_name())));
        let preamble = self.preamble.to_possible_value();
        line.extend(preamble.map(|preamble| format!("--preamble={}", preamble.get_name())));
        line.extend(self.window.map(|window| format!("--window={window}")));
        line.extend(self.hold.then(|| "--hold".to_owned()));
        line
    }
}

/// Generates the load and prints what it took.
pub(crate) fn run(args: &Args) -> Result<()> {
    ensure!(
        args.framing == Framing::Http || args.request >= HEADER as u64,
        "a request is at least {HEADER} bytes"
    );
    let began = Instant::now();
    let (mut latencies, _held) = match args.window {
        Some(_) => (datagrams::generate(args)?, None),
        None => {
            let mut generator = Generator::new(args, began)?;
            generator.run()?;
            (std::mem::take(&mut generator.latencies), Some(generator))
        }
    };
    let elapsed = began.elapsed();
    latencies.sort_unstable();
    let micros = |share| percentile(&latencies, share).as_nanos() as f64 / 1e3;
    let report = serde_json::json!({
        "elapsed_s": elapsed.as_secs_f64(),
        "exchanges": latencies.len(),
        "p50_us": micros(0.50),
        "p99_us": micros(0.99),
    });
    println!("{report}");
    if args.hold {
        io::stdin().read_to_end(&mut Vec::new()).context("standard input")?;
    }
    Ok(())
}

/// What a connection is at.
enum State {
    /// Waiting for its turn.
    Idle,
    Request(Outgoing),
    /// Reading the head of the reply.
    Head(IncomingHead),
    /// Reading the reply, of which so much is there.
    Reply(u64),
}

struct Connection {
    stream: TcpStream,
    state: State,
    header: Header,
    /// When the exchange began; for a paced one, when it should have.
    since: Instant,
    /// Exchanges to make after this one.
    left: u64,
    interest: Option<EventFlags>,
}

/// Whether a connection has more to do.
enum Next {
    Keep,
    Finished,
}

struct Generator<'a> {
    args: &'a Args,
    epoll: OwnedFd,
    pace: Option<Pace>,
    pattern: Pattern,
    buffer: Vec<u8>,
    slots: Vec<Option<Connection>>,
    free: VecDeque<usize>,
    /// Connections that wait for their turn, and when that is.
    idle: BinaryHeap<Reverse<(Instant, usize)>>,
    /// Connections that are done, kept open.
    held: Vec<TcpStream>,
    started: u64,
    working: u64,
    seed: u64,
    latencies: Vec<Duration>,
}

/// Starts connections by the clock.
struct Pace {
    timer: OwnedFd,
    began: Instant,
    interval: Duration,
}

impl<'a> Generator<'a> {
    fn new(args: &'a Args, began: Instant) -> Result<Self> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let pace = args.rate.map(|rate| Pace::new(began, Duration::from_secs(1) / rate)).transpose()?;
        if let Some(pace) = &pace {
            epoll::add(&epoll, &pace.timer, EventData::new_u64(PACE), EventFlags::IN)?;
        }
        let exchanges = usize::try_from(args.connections * args.exchanges)?;
        Ok(Self {
            args,
            epoll,
            pace,
            pattern: Pattern::new(),
            buffer: vec![0; CHUNK],
            slots: Vec::new(),
            free: VecDeque::new(),
            idle: BinaryHeap::new(),
            held: Vec::new(),
            started: 0,
            working: 0,
            seed: 0,
            latencies: Vec::with_capacity(exchanges),
        })
    }

    fn run(&mut self) -> Result<()> {
        let mut events = Vec::with_capacity(256);
        loop {
            self.start_due()?;
            if self.working == 0 && self.started == self.args.connections {
                return Ok(());
            }
            events.clear();
            match epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&STALLED)) {
                Ok(0) => bail!("stalled: {} connections got no answer for 10 s", self.working),
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(error) => return Err(error).context("epoll_wait"),
            }
            for event in &events {
                let token = event.data;
                match token.u64() {
                    PACE => self.pace.as_ref().map_or(Ok(()), Pace::acknowledge)?,
                    slot => self.handle(usize::try_from(slot)?)?,
                }
            }
        }
    }

    /// Starts the connections whose time has come.
    fn start_due(&mut self) -> Result<()> {
        match &self.pace {
            None => {
                while self.started < self.args.connections && self.working < self.args.concurrency {
                    self.start(Instant::now())?;
                }
            }
            Some(pace) => {
                let (began, interval) = (pace.began, pace.interval);
                while self.started < self.args.connections {
                    let due = began + interval.mul_f64(self.started as f64);
                    if due > Instant::now() {
                        break;
                    }
                    self.start(due)?;
                }
                let now = Instant::now();
                while let Some(&Reverse((due, slot))) = self.idle.peek()
                    && due <= now
                {
                    self.idle.pop();
                    self.request(slot, due);
                    self.handle(slot)?;
                }
            }
        }
        Ok(())
    }

    fn start(&mut self, since: Instant) -> Result<()> {
        let stream = connect(self.args.target)?;
        let header = self.next_header();
        let left = self.args.exchanges - 1;
        let request = Outgoing::request(self.args.framing, header, self.position(left));
        let state = State::Request(request.after(self.args.preamble));
        let connection = Connection { stream, state, header, since, left, interest: None };
        let slot = self.free.pop_front().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        if let Some(place) = self.slots.get_mut(slot) {
            *place = Some(connection);
        }
        self.started += 1;
        self.working += 1;
        self.handle(slot)
    }

    /// A header with a seed that no other exchange of this run has.
    fn next_header(&mut self) -> Header {
        self.seed += 1;
        let payload = match self.args.framing {
            Framing::Plain => self.args.request - HEADER as u64,
            Framing::Http => self.args.request,
        };
        Header { seed: self.seed, payload, reply: self.args.reply }
    }

    fn handle(&mut self, slot: usize) -> Result<()> {
        let next = self.advance(slot).with_context(|| format!("connection to {}", self.args.target))?;
        if let Next::Finished = next {
            let finished = self.slots.get_mut(slot).and_then(Option::take);
            self.working -= 1;
            self.free.push_back(slot);
            if self.args.hold {
                self.held.extend(finished.map(|connection| connection.stream));
            }
        }
        Ok(())
    }

    /// Makes the next request of an idle connection, which was due at that moment.
    fn request(&mut self, slot: usize, due: Instant) {
        let header = self.next_header();
        let (framing, last) = (self.args.framing, self.position(0));
        if let Some(connection) = self.slots.get_mut(slot).and_then(Option::as_mut) {
            connection.left -= 1;
            connection.since = due;
            connection.header = header;
            let position = if connection.left == 0 { last } else { Position::Inner };
            connection.state = State::Request(Outgoing::request(framing, header, position));
        }
    }

    /// Where a request stands that so many follow. A connection that is held is not to be closed.
    fn position(&self, left: u64) -> Position {
        if left == 0 && !self.args.hold { Position::Last } else { Position::Inner }
    }

    fn advance(&mut self, slot: usize) -> Result<Next> {
        let turn = self.pace.as_ref().map(|pace| {
            let turns = u32::try_from(self.args.connections).unwrap_or(u32::MAX);
            pace.interval * turns
        });
        let Some(connection) = self.slots.get_mut(slot).and_then(Option::as_mut) else {
            return Ok(Next::Keep);
        };
        if connection.receive(&mut self.buffer, &self.pattern)? {
            let now = Instant::now();
            self.latencies.push(now.saturating_duration_since(connection.since));
            if connection.left == 0 {
                return Ok(Next::Finished);
            }
            connection.state = State::Idle;
            let due = turn.map_or(now, |turn| connection.since + turn);
            if due > now {
                self.idle.push(Reverse((due, slot)));
            } else {
                self.request(slot, due);
            }
        }
        let Some(connection) = self.slots.get_mut(slot).and_then(Option::as_mut) else {
            return Ok(Next::Keep);
        };
        if let State::Request(request) = &mut connection.state
            && request.write(&connection.stream, &self.pattern)? == Written::All
        {
            connection.state = match self.args.framing {
                Framing::Plain => State::Reply(0),
                Framing::Http => State::Head(IncomingHead::default()),
            };
        }
        connection.watch(&self.epoll, slot)?;
        Ok(Next::Keep)
    }
}

impl Connection {
    /// Reads once, if it waits for that. Whether the reply is whole.
    fn receive(&mut self, buffer: &mut [u8], pattern: &Pattern) -> Result<bool> {
        let expected = self.header.reply;
        if !matches!(self.state, State::Head(_) | State::Reply(_)) {
            return Ok(false);
        }
        let Some(mut received) = read(&self.stream, buffer)? else { return Ok(false) };
        ensure!(!received.is_empty(), "closed within a reply of {expected} bytes");
        if let State::Head(head) = &mut self.state {
            let Some((length, rest)) = head.response(received)? else { return Ok(false) };
            ensure!(length == expected, "a reply of {length} bytes instead of {expected}");
            received = rest;
            self.state = State::Reply(0);
        }
        let State::Reply(have) = &mut self.state else { return Ok(false) };
        pattern.check(self.header.seed.wrapping_add(*have), received)?;
        *have += received.len() as u64;
        ensure!(*have <= expected, "more bytes than the backend sent");
        Ok(*have == expected)
    }

    /// Watches for what the state waits for.
    fn watch(&mut self, epoll: impl AsFd, slot: usize) -> Result<()> {
        let wanted = match self.state {
            State::Request(_) => EventFlags::OUT,
            // A connection without a request is not to have anything.
            State::Idle | State::Head(_) | State::Reply(_) => EventFlags::IN,
        };
        let token = EventData::new_u64(slot as u64);
        match self.interest {
            None => epoll::add(epoll, &self.stream, token, wanted)?,
            Some(interest) if interest != wanted => epoll::modify(epoll, &self.stream, token, wanted)?,
            Some(_) => {}
        }
        self.interest = Some(wanted);
        Ok(())
    }
}

impl Pace {
    fn new(began: Instant, interval: Duration) -> Result<Self> {
        let timer = rustix::time::timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC,
        )?;
        let every = Timespec::try_from(interval).context("the rate is too low")?;
        let setting = Itimerspec { it_interval: every, it_value: every };
        rustix::time::timerfd_settime(&timer, TimerfdTimerFlags::empty(), &setting)?;
        Ok(Self { timer, began, interval })
    }

    /// Reads the timer's count, so that it can fire again. How many are due, the clock says.
    fn acknowledge(&self) -> Result<()> {
        match rustix::io::read(&self.timer, &mut [0_u8; 8]) {
            Ok(_) | Err(rustix::io::Errno::AGAIN) => Ok(()),
            Err(error) => Err(error).context("timer"),
        }
    }
}

/// Begins to connect. On loopback the handshake is over when this returns, so that the request can go out at once.
fn connect(target: SocketAddr) -> Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(target), Type::STREAM.nonblocking(), None)?;
    match socket.connect(&target.into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {}
        Err(error) => return Err(error).with_context(|| format!("cannot connect to {target}")),
    }
    Ok(socket.into())
}
