//! HTTP: what clients and backends see of requests that go through.

mod aborts;
mod access_log;
mod bodies;
mod drain;
mod forwarded;
mod hostile;
mod interim;
mod keep_alive;
mod refused;
mod reload;
mod routes;
mod smuggling;
mod timeouts;
mod upgrade;

use std::net::SocketAddr;
use std::time::Duration;

use lb_tests::{Config, Daemon, HttpBackend, HttpClient, HttpMessage, Loopback, response};

/// How long a test waits for something that has to happen, with much room for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// One backend, and a daemon with the listener `web` for it.
struct Site {
    at: Loopback,
    backend: HttpBackend,
    daemon: Daemon,
}

impl Site {
    /// With a backend that `backend` starts, further lines for the listener, and for the pool.
    fn start(backend: impl FnOnce(SocketAddr) -> HttpBackend, listener: &str, pool: &str) -> Self {
        let at = Loopback::new();
        let backend = backend(at.backend(0));
        let daemon = Daemon::start(config(at, &backend, listener, pool));
        Self { at, backend, daemon }
    }

    /// With a backend that says what it was asked for.
    fn tagging(listener: &str) -> Self {
        Self::start(|address| HttpBackend::answering("b", address, tag), listener, "")
    }

    fn connect(&self) -> HttpClient {
        HttpClient::connect(self.at.port(0))
    }

    fn url(&self, target: &str) -> String {
        format!("http://{}{target}", self.at.port(0))
    }
}

fn config(at: Loopback, backend: &HttpBackend, listener: &str, pool: &str) -> Config {
    let config = Config::new().http_listener("web", at.port(0), listener);
    config.pool_of("web", &[backend.entry("")], pool)
}

/// `METHOD target` as the body.
fn tag(request: &HttpMessage) -> Vec<u8> {
    response(200, format!("{} {}", request.method(), request.target()).as_bytes())
}
