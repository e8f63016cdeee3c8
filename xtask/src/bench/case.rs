//! The cases: which load, what of it is counted, and what the result is held to.

use crate::bench::peer::Peer;
use crate::bench::wire::{Framing, Preamble, Transport};

/// One case of the bench.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    /// Its name, as in `--only`.
    pub(crate) name: &'static str,
    /// What it measures, for people.
    pub(crate) title: &'static str,
    /// What the proxies are set up for.
    pub(crate) job: Job,
    /// What is counted.
    pub(crate) cost: Cost,
    /// Who takes part.
    pub(crate) peers: &'static [Peer],
    /// Ratios are to the best of these.
    pub(crate) reference: &'static [Peer],
    /// What our figure is held to.
    pub(crate) gate: Option<Gate>,
    /// Rounds, unless the command line says otherwise.
    pub(crate) rounds: usize,
    /// The load of one round.
    pub(crate) load: Load,
    /// Threads that a proxy works with, each on a CPU.
    pub(crate) workers: usize,
}

/// What proxies are set up for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Job {
    /// To relay TCP.
    Tcp,
    /// The same, for clients that begin with a PROXY protocol header.
    ProxyIn,
    /// The same, with a PROXY protocol header for the backend, version 2 where the peer can.
    ProxyOut,
    /// The same, with the pool chosen by the name in a TLS ClientHello.
    Sni,
    /// To relay UDP, in flows.
    Udp,
    /// The same, in flows that end with the first reply.
    Dns,
    /// To proxy HTTP/1.1, as a gateway that logs nothing.
    Http,
    /// The same, with a JSON line in the access log for each request.
    HttpLogged,
}

impl Job {
    /// What a client of the proxy begins with.
    pub(crate) fn client_preamble(self) -> Preamble {
        match self {
            Self::Tcp | Self::ProxyOut | Self::Udp | Self::Dns | Self::Http | Self::HttpLogged => {
                Preamble::None
            }
            Self::ProxyIn => Preamble::ProxyHeader,
            Self::Sni => Preamble::ClientHello,
        }
    }

    /// What the proxy, as the backend's client, begins with.
    pub(crate) fn backend_preamble(self) -> Preamble {
        match self {
            Self::Tcp | Self::ProxyIn | Self::Udp | Self::Dns | Self::Http | Self::HttpLogged => {
                Preamble::None
            }
            Self::ProxyOut => Preamble::ProxyHeader,
            Self::Sni => Preamble::ClientHello,
        }
    }

    /// Whether it is about datagrams.
    pub(crate) fn transport(self) -> Transport {
        match self {
            Self::Tcp | Self::ProxyIn | Self::ProxyOut | Self::Sni | Self::Http | Self::HttpLogged => {
                Transport::Stream
            }
            Self::Udp | Self::Dns => Transport::Datagram,
        }
    }

    /// How requests and replies are written.
    pub(crate) fn framing(self) -> Framing {
        match self {
            Self::Tcp | Self::ProxyIn | Self::ProxyOut | Self::Sni | Self::Udp | Self::Dns => Framing::Plain,
            Self::Http | Self::HttpLogged => Framing::Http,
        }
    }
}

/// What is counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cost {
    /// Microseconds of CPU time an exchange, which is a connection or a message.
    PerExchange(Exchange),
    /// Microseconds of CPU time a datagram, either way.
    PerDatagram,
    /// Seconds of CPU time a GiB.
    PerGibibyte,
    /// Bytes of memory an idle connection.
    Memory,
    /// System calls a request.
    SystemCalls,
    /// Allocations of memory a request.
    Allocations,
}

/// What an exchange stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exchange {
    Connection,
    Message,
    /// A flow of one datagram and its answer.
    Flow,
    Request,
}

/// What our figure is held to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Gate {
    /// At most so many times the reference.
    Ratio(f64),
    /// A ratio within 5 % of the best bound known: the aim. Met when the 95 % interval of at least
    /// [`AIM_ROUNDS`] paired rounds lies under 1.0.
    Aim(f64),
    /// At most so much.
    Absolute(f64),
}

/// Paired rounds that [`Gate::Aim`] asks for.
pub(crate) const AIM_ROUNDS: usize = 15;

/// The load of one round.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Connections in all.
    pub(crate) connections: u64,
    /// Connections at a time.
    pub(crate) concurrency: u64,
    /// Exchanges on each.
    pub(crate) exchanges: u64,
    /// Bytes of a request.
    pub(crate) request: u64,
    /// Bytes of a reply.
    pub(crate) reply: u64,
    /// Exchanges a second, where they come by the clock.
    pub(crate) rate: Option<u32>,
    /// Exchanges at a time in each flow of datagrams.
    pub(crate) window: u64,
}

const PEERS: &[Peer] = &[Peer::Sluice, Peer::Nginx, Peer::Haproxy, Peer::Envoy];
/// Those that are set up for more than plain relaying.
const TCP_PEERS: &[Peer] = &[Peer::Sluice, Peer::Nginx, Peer::Haproxy];
/// HAProxy relays no datagrams; Envoy's filter for them is another configuration language altogether.
const DATAGRAM_PEERS: &[Peer] = &[Peer::Sluice, Peer::Nginx];
const BULK_PEERS: &[Peer] =
    &[Peer::Sluice, Peer::Nginx, Peer::Haproxy, Peer::HaproxyAuto, Peer::HaproxySplice, Peer::Envoy];
/// Whichever of them does best.
const HAPROXY: &[Peer] = &[Peer::Haproxy, Peer::HaproxyAuto, Peer::HaproxySplice];

/// 64 clients, each: connect, send 100 B, receive 1 KiB, close.
const CONNECTIONS: Load = Load {
    connections: 20_000,
    concurrency: 64,
    exchanges: 1,
    request: 100,
    reply: 1024,
    rate: None,
    window: 1,
};

/// Four connections that move 2 GiB one way.
const BULK: Load = Load {
    connections: 4,
    concurrency: 4,
    exchanges: 1,
    request: 100,
    reply: 512 << 20,
    rate: None,
    window: 1,
};

/// 64 flows with 5,000 exchanges each.
const DATAGRAMS: Load = Load {
    connections: 64,
    concurrency: 64,
    exchanges: 5000,
    request: 200,
    reply: 200,
    rate: None,
    window: 8,
};

/// What is read or written beside the bytes that are relayed, of which each case has its own.
const OVERHEAD: Case = Case {
    name: "",
    title: "",
    job: Job::Tcp,
    cost: Cost::PerExchange(Exchange::Connection),
    peers: TCP_PEERS,
    reference: &[Peer::Haproxy],
    gate: None,
    rounds: 5,
    load: CONNECTIONS,
    workers: 1,
};

/// The cases of the L4 proxy, in the order in which they run.
pub(crate) const L4: [Case; 12] = [
    Case {
        name: "l4.conn",
        title: "CPU per TCP connection, 64 clients at full speed",
        job: Job::Tcp,
        cost: Cost::PerExchange(Exchange::Connection),
        peers: PEERS,
        reference: &[Peer::Nginx],
        gate: Some(Gate::Aim(0.95)),
        rounds: AIM_ROUNDS,
        load: CONNECTIONS,
        workers: 1,
    },
    Case {
        name: "l4.conn.rate",
        title: "CPU per TCP connection at 4,000 a second",
        job: Job::Tcp,
        cost: Cost::PerExchange(Exchange::Connection),
        peers: PEERS,
        reference: &[Peer::Nginx],
        gate: None,
        rounds: 5,
        load: Load { connections: 12_000, rate: Some(4000), ..CONNECTIONS },
        workers: 1,
    },
    Case {
        name: "l4.bulk",
        title: "CPU for bulk from the backend, 4 connections",
        job: Job::Tcp,
        cost: Cost::PerGibibyte,
        peers: BULK_PEERS,
        reference: HAPROXY,
        gate: Some(Gate::Ratio(0.75)),
        rounds: 5,
        load: BULK,
        workers: 1,
    },
    Case {
        name: "l4.bulk.up",
        title: "CPU for bulk to the backend, 4 connections",
        job: Job::Tcp,
        cost: Cost::PerGibibyte,
        peers: BULK_PEERS,
        reference: HAPROXY,
        gate: None,
        rounds: 5,
        load: Load { request: BULK.reply, reply: BULK.request, ..BULK },
        workers: 1,
    },
    Case {
        name: "l4.idle",
        title: "memory per idle connection that has carried one small exchange",
        job: Job::Tcp,
        cost: Cost::Memory,
        peers: PEERS,
        reference: &[Peer::Haproxy],
        gate: Some(Gate::Absolute(2500.0)),
        rounds: 5,
        load: Load { connections: 10_000, ..CONNECTIONS },
        workers: 1,
    },
    Case {
        name: "l4.stream",
        title: "CPU per 200-byte message and its answer, 64 kept connections",
        job: Job::Tcp,
        cost: Cost::PerExchange(Exchange::Message),
        peers: PEERS,
        reference: &[Peer::Nginx],
        gate: None,
        rounds: 5,
        load: Load {
            connections: 64,
            concurrency: 64,
            exchanges: 3000,
            request: 200,
            reply: 200,
            rate: None,
            window: 1,
        },
        workers: 1,
    },
    Case {
        name: "l4.proxy.in",
        title: "CPU per TCP connection that begins with a PROXY header (v2) from the client's side",
        job: Job::ProxyIn,
        ..OVERHEAD
    },
    Case {
        name: "l4.proxy.out",
        title: "CPU per TCP connection whose backend gets a PROXY header (nginx: v1, others: v2)",
        job: Job::ProxyOut,
        ..OVERHEAD
    },
    Case {
        name: "l4.sni",
        title: "CPU per TCP connection that is passed on by the name in its TLS ClientHello",
        job: Job::Sni,
        ..OVERHEAD
    },
    Case {
        name: "l4.udp",
        title: "CPU per 200-byte datagram, 64 flows with 8 exchanges under way each",
        job: Job::Udp,
        cost: Cost::PerDatagram,
        peers: DATAGRAM_PEERS,
        reference: &[Peer::Nginx],
        gate: Some(Gate::Ratio(0.70)),
        rounds: 9,
        load: DATAGRAMS,
        workers: 1,
    },
    Case {
        name: "l4.udp.single",
        title: "CPU per 200-byte datagram, 64 flows with one exchange under way each",
        job: Job::Udp,
        cost: Cost::PerDatagram,
        peers: DATAGRAM_PEERS,
        reference: &[Peer::Nginx],
        gate: None,
        rounds: 5,
        load: Load { window: 1, ..DATAGRAMS },
        workers: 1,
    },
    Case {
        name: "l4.udp.dns",
        title: "CPU per flow of one 60-byte question and its 200-byte answer, 64 clients",
        job: Job::Dns,
        cost: Cost::PerExchange(Exchange::Flow),
        peers: DATAGRAM_PEERS,
        reference: &[Peer::Nginx],
        gate: None,
        rounds: 5,
        load: Load { connections: 40_000, exchanges: 1, request: 60, window: 1, ..DATAGRAMS },
        workers: 1,
    },
];

/// 64 clients that keep their connections, 1 KiB each time.
const REQUESTS: Load = Load {
    connections: 64,
    concurrency: 64,
    exchanges: 2500,
    request: 0,
    reply: 1024,
    rate: None,
    window: 1,
};

/// What most cases of HTTP have in common.
const REQUEST: Case = Case {
    name: "",
    title: "",
    job: Job::Http,
    cost: Cost::PerExchange(Exchange::Request),
    peers: PEERS,
    reference: &[Peer::Nginx],
    gate: None,
    rounds: 7,
    load: REQUESTS,
    workers: 1,
};

/// The same 20,000 times a second.
const PACED: Load = Load { rate: Some(20_000), ..REQUESTS };

/// 64 KiB each time.
const LARGE: Load = Load { exchanges: 1000, reply: 64 << 10, ..REQUESTS };

/// A connection for each request.
const SHORT: Load = Load { connections: 20_000, exchanges: 1, ..REQUESTS };

/// The cases of the gateway, in the order in which they run.
pub(crate) const HTTP: [Case; 13] = [
    Case {
        name: "http.keepalive",
        title: "CPU per request, 64 kept connections, 1 KiB",
        gate: Some(Gate::Ratio(0.85)),
        ..REQUEST
    },
    Case {
        name: "http.keepalive.rate",
        title: "CPU per request at 20,000 a second, 64 kept connections, 1 KiB",
        gate: Some(Gate::Aim(0.96)),
        rounds: AIM_ROUNDS,
        load: PACED,
        ..REQUEST
    },
    Case {
        name: "http.large",
        title: "CPU per request, 64 kept connections, 64 KiB",
        gate: Some(Gate::Ratio(0.80)),
        load: LARGE,
        ..REQUEST
    },
    Case {
        name: "http.conn",
        title: "CPU per request on a connection of its own, 64 clients, 1 KiB",
        gate: Some(Gate::Ratio(0.88)),
        load: SHORT,
        ..REQUEST
    },
    Case {
        name: "http.workers",
        title: "CPU per request, two workers, 64 kept connections, 1 KiB",
        gate: Some(Gate::Ratio(0.87)),
        workers: 2,
        ..REQUEST
    },
    Case {
        name: "http.idle",
        title: "memory per idle connection that has carried one request",
        cost: Cost::Memory,
        gate: Some(Gate::Absolute(1200.0)),
        rounds: 5,
        load: Load { connections: 10_000, exchanges: 1, ..REQUESTS },
        ..REQUEST
    },
    Case {
        name: "http.calls",
        title: "system calls per request, 64 kept connections, 1 KiB",
        cost: Cost::SystemCalls,
        rounds: 1,
        load: Load { exchanges: 200, ..REQUESTS },
        ..REQUEST
    },
    Case {
        name: "http.allocations",
        title: "allocations per request, 64 kept connections, 1 KiB",
        cost: Cost::Allocations,
        rounds: 1,
        load: Load { exchanges: 200, ..REQUESTS },
        ..REQUEST
    },
    Case {
        name: "http.logged.keepalive",
        title: "as http.keepalive, with a JSON line of access log each",
        job: Job::HttpLogged,
        gate: Some(Gate::Ratio(0.85)),
        ..REQUEST
    },
    Case {
        name: "http.logged.keepalive.rate",
        title: "as http.keepalive.rate, with a JSON line of access log each",
        job: Job::HttpLogged,
        gate: Some(Gate::Aim(0.96)),
        rounds: AIM_ROUNDS,
        load: PACED,
        ..REQUEST
    },
    Case {
        name: "http.logged.large",
        title: "as http.large, with a JSON line of access log each",
        job: Job::HttpLogged,
        gate: Some(Gate::Ratio(0.80)),
        load: LARGE,
        ..REQUEST
    },
    Case {
        name: "http.logged.conn",
        title: "as http.conn, with a JSON line of access log each",
        job: Job::HttpLogged,
        gate: Some(Gate::Ratio(0.88)),
        load: SHORT,
        ..REQUEST
    },
    Case {
        name: "http.logged.workers",
        title: "as http.workers, with a JSON line of access log each",
        job: Job::HttpLogged,
        gate: Some(Gate::Ratio(0.87)),
        workers: 2,
        ..REQUEST
    },
];

impl Load {
    /// A tenth of the work, to see that it works.
    pub(crate) fn quick(self) -> Self {
        let tenth = |n: u64| if n > 1000 { n / 10 } else { n };
        Self {
            connections: tenth(self.connections),
            exchanges: tenth(self.exchanges),
            request: tenth(self.request),
            reply: if self.reply > 1 << 20 { self.reply / 10 } else { self.reply },
            ..self
        }
    }

    /// Bytes that one round moves.
    pub(crate) fn bytes(self) -> u64 {
        self.connections * self.exchanges * (self.request + self.reply)
    }
}

impl Cost {
    /// The unit of the figure.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::PerExchange(Exchange::Connection) => "µs/connection",
            Self::PerExchange(Exchange::Message) => "µs/message",
            Self::PerExchange(Exchange::Flow) => "µs/flow",
            Self::PerExchange(Exchange::Request) => "µs/request",
            Self::PerDatagram => "µs/datagram",
            Self::PerGibibyte => "s/GiB",
            Self::Memory => "B/connection",
            Self::SystemCalls => "calls/request",
            Self::Allocations => "allocations/request",
        }
    }

    /// The unit of its throughput; memory has none.
    pub(crate) fn throughput_unit(self) -> Option<&'static str> {
        match self {
            Self::PerExchange(Exchange::Connection) => Some("connections/s"),
            Self::PerExchange(Exchange::Message) => Some("messages/s"),
            Self::PerExchange(Exchange::Flow) => Some("flows/s"),
            Self::PerExchange(Exchange::Request) => Some("requests/s"),
            Self::PerDatagram => Some("datagrams/s"),
            Self::PerGibibyte => Some("GiB/s"),
            Self::Memory | Self::SystemCalls | Self::Allocations => None,
        }
    }

    /// Whether the time of one exchange says something.
    pub(crate) fn has_latency(self) -> bool {
        matches!(self, Self::PerExchange(_) | Self::PerDatagram)
    }
}
