//! The harness of the end-to-end tests: everything around the daemon is made here, and everything is real.
//!
//! A test starts [`Backend`]s, writes a configuration, starts a [`Daemon`] and then does what a user would do, with
//! sockets from [`client`] or with real programs. Where loopback is enough it uses addresses of its own
//! ([`Loopback`]), so that tests never meet; where it is not, a [`Lab`] of network namespaces.
//!
//! Tests wait for events, never for time to pass: [`Watched`] blocks until something changes, [`eventually`] asks again
//! and again where there is nothing to block on. Both have a deadline and say what they waited for.
#![forbid(unsafe_code)]

pub mod cli;
pub mod client;
pub mod process;

mod api;
mod authority;
mod backend;
mod backend_process;
mod behaviour;
mod closed_loop;
mod config;
mod content;
mod daemon;
mod datagrams;
mod exchange;
mod hello;
mod http_backend;
mod http_client;
mod http_message;
mod lab;
mod log;
mod loopback;
mod name_server;
mod namespace;
mod notify;
mod peer;
mod proxy_header;
mod running;
mod script;
mod secure_server;
mod service;
mod tardy;
mod time;
mod udp_backend;
mod udp_client;
mod watched;
mod web;

pub use api::{Answer, Api};
pub use authority::{Authority, SecureStream};
pub use backend::{Backend, Hang};
pub use backend_process::BackendProcess;
pub use behaviour::Behaviour;
pub use closed_loop::ClosedLoop;
pub use config::Config;
pub use content::{Content, Digest, Hasher};
pub use daemon::{Daemon, Launch};
pub use datagrams::{Datagrams, Reply};
pub use exchange::{Exchange, Exchanged};
pub use hello::Hello;
pub use http_backend::{HttpBackend, Served as HttpServed, chunked, response};
pub use http_client::HttpClient;
pub use http_message::{BodyEnd, Message as HttpMessage};
pub use lab::{Lab, LabBackend};
pub use log::{AccessRecord, LogLine};
pub use loopback::Loopback;
pub use name_server::{NameServer, Records, Service};
pub use namespace::{LinkState, Namespace, Verdict};
pub use notify::NotifySocket;
pub use peer::Peer;
pub use proxy_header::ProxyHeader;
pub use running::Running;
pub use secure_server::SecureServer;
pub use tardy::Tardy;
pub use time::{Deadline, eventually, observe};
pub use udp_backend::{Received, UdpAnswers, UdpBackend};
pub use udp_client::{Served, UdpClient};
pub use watched::Watched;
pub use web::{Page, WebRequest, WebServer};

/// How one side of a connection saw it end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// The other side closed in order.
    Closed,
    /// The other side reset the connection (ECONNRESET).
    Reset,
    /// Something else went wrong, timeouts included.
    Failed(std::io::ErrorKind),
}

impl From<&std::io::Error> for End {
    fn from(error: &std::io::Error) -> Self {
        let kind = error.kind();
        // A broken pipe is the reset of a moment ago, met while writing.
        if matches!(kind, std::io::ErrorKind::ConnectionReset | std::io::ErrorKind::BrokenPipe) {
            return Self::Reset;
        }
        Self::Failed(kind)
    }
}
