//! Those who come while something breaks.

use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, Result};
use lb_tests::{ClosedLoop, Exchange, Exchanged, Lab, Loopback, client};

/// What each of them exchanges. More than 64 KiB in one direction, so that relays have changed to splice.
const EXCHANGE: Exchange = Exchange { seed: 0, up: 20_000, down: 100_000 };

/// Where visitors come from and go to. Each has a port of his own, by which his access record is found.
#[derive(Clone)]
pub(super) struct Visitors {
    source: IpAddr,
    listen: SocketAddr,
    lab: Option<Arc<Lab>>,
    came: Arc<AtomicUsize>,
}

/// What became of a visitor.
#[derive(Debug)]
pub(super) struct Visit {
    /// His address.
    pub(super) client: SocketAddr,
    /// What he exchanged, if all of it arrived.
    pub(super) outcome: Result<Exchanged>,
}

/// A visitor who has ordered, and has yet to do his part.
pub(super) struct Held {
    client: SocketAddr,
    exchange: Exchange,
    stream: TcpStream,
}

impl Visitors {
    /// From the test's own address to the listener at its first port.
    pub(super) fn local(at: Loopback) -> Self {
        Self::from(at, at.port(0))
    }

    /// From another address to a listener.
    pub(super) fn from(source: Loopback, listen: SocketAddr) -> Self {
        Self { source: source.ip(), listen, lab: None, came: Arc::default() }
    }

    /// From the client's namespace to the balancer's `port`.
    pub(super) fn across(lab: &Arc<Lab>, port: u16) -> Self {
        let listen = SocketAddr::new(Lab::BALANCER_V4, port);
        Self { source: Lab::CLIENT_V4, listen, lab: Some(Arc::clone(lab)), came: Arc::default() }
    }

    /// Starts traffic on as many threads.
    #[track_caller]
    pub(super) fn start(&self, threads: usize) -> ClosedLoop<Visit> {
        let visitors = self.clone();
        ClosedLoop::start(threads, move || visitors.visit())
    }

    /// How many have come, which is the number of the next.
    pub(super) fn came(&self) -> usize {
        self.came.load(Ordering::Relaxed)
    }

    /// The number of this client, in the order of their coming.
    pub(super) fn number_of(client: SocketAddr) -> usize {
        usize::from(client.port() - FIRST_PORT)
    }

    /// Opens `count` connections that will not end before [`Held::finish`].
    pub(super) fn hold(&self, count: usize) -> Vec<Held> {
        (0..count).map(|_| self.open().unwrap()).collect()
    }

    fn visit(&self) -> Visit {
        let (client, exchange) = self.next();
        let outcome = self.connect(client).and_then(|stream| exchange.run(&stream));
        Visit { client, outcome }
    }

    fn open(&self) -> Result<Held> {
        let (client, exchange) = self.next();
        let stream = self.connect(client)?;
        exchange.order(&stream)?;
        Ok(Held { client, exchange, stream })
    }

    fn next(&self) -> (SocketAddr, Exchange) {
        let number = self.came.fetch_add(1, Ordering::Relaxed);
        let port = u16::try_from(number).ok().and_then(|number| FIRST_PORT.checked_add(number));
        let port = port.expect("a drill has fewer visitors than there are ports");
        (SocketAddr::new(self.source, port), Exchange { seed: number as u64, ..EXCHANGE })
    }

    fn connect(&self, client: SocketAddr) -> Result<TcpStream> {
        let connect = || client::connect_from(client, self.listen);
        self.lab.as_ref().map_or_else(connect, |lab| lab.client.enter(connect)).context("connecting")
    }
}

/// Above those that a [`Loopback`] gives to listeners and backends.
const FIRST_PORT: u16 = 25_000;

impl Held {
    /// Does his part.
    pub(super) fn finish(self) -> Visit {
        Visit { client: self.client, outcome: self.exchange.after_order(&self.stream) }
    }

    /// All of them one after the other, with those who have finished already.
    pub(super) fn finish_all(held: Vec<Self>, finished: Vec<Visit>) -> Vec<Visit> {
        held.into_iter().map(Self::finish).chain(finished).collect()
    }
}
