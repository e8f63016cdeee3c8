//! Workers, sockets, timers and the relay: the userspace crate that makes syscalls. It knows nothing of pools or policy:
//! what to do with an accepted connection is a [`Service`]'s business.
//!
//! A connection lives and dies on one worker: accepted from that worker's own SO_REUSEPORT socket, served by a task on
//! its single-threaded runtime, relayed through its buffer and pipes, timed by its wheel.

mod accept;
pub mod client_limit;
pub mod clock;
mod commands;
mod connect;
mod directories;
mod fds;
mod limit;
mod listen;
mod observer;
mod peek;
mod relay;
pub mod sniff;
mod sockopt;
mod timer;
mod udp;
mod wire;
mod worker;

pub use accept::{Accepted, MakeService, Service};
pub use client_limit::{ClientPlace, ClientPlaces};
pub use commands::{Accepting, Changing, Receiving, WorkerCommands, WorkerGone};
pub use connect::{ConnectError, connect};
pub use directories::Directories;
pub use fds::{FdBudget, raise_fd_limit};
pub use limit::{Limit, Permit};
pub use listen::{AcceptWhen, BindError, ListenOptions, Presence, bind_all, ensure_free, has_ipv6};
pub use observer::{SAMPLE_EVERY, WorkerObserver};
pub use peek::{MOST_PEEKED, PeekError, close_with, discard, linger, peek};
pub use relay::{Counts, RelayEnd, RelayObserver, ResetIfCut, Side, relay, reset};
pub use timer::{Timer, Timers};
pub use udp::{
    Coalescing, Datagram, MakeUdpService, UdpBatch, UdpBuffers, UdpError, UdpFlow, UdpFlowEvents, UdpOptions,
    UdpPort, UdpReceived, UdpSender, UdpSent, UdpService, bind_udp_all, ensure_udp_free,
};
pub use wire::Wire;
pub use worker::{Worker, WorkerHandle, auto_workers};
