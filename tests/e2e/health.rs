//! Health checks: what is asked, what counts, and what comes of it.

mod changes;
mod probes;
mod verdicts;

use std::fs::Permissions;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use lb_admin::{BackendState, HealthStatus};
use lb_model::Termination;
use lb_tests::{
    Authority, Backend, Behaviour, Config, Daemon, Datagrams, Hang, LogLine, Loopback, NameServer, Page,
    Records, Reply, WebServer, cli, client, eventually, process,
};

const SOON: Duration = Duration::from_secs(20);

/// Nothing but health checks keeps clients away from a backend.
const NO_PASSIVE: &str = "passive_health = { failures = 1000000 }";

/// An entry of a pool whose health check is `check`, the keys of a table.
fn entry(address: SocketAddr, name: &str, check: &str) -> String {
    format!("{{ address = \"{address}\", name = \"{name}\", health_check = {{ {check} }} }}")
}

/// The keys of a check of the web server `web`, quick as it is where it answers; more `keys` begin with a comma.
fn http(web: &WebServer, keys: &str) -> String {
    let port = web.address().port();
    format!(
        "type = \"http\", port = {port}, interval = \"50ms\", fast_interval = \"20ms\", timeout = \"60s\"{keys}"
    )
}

fn connect(at: Loopback) -> String {
    client::read_line(&client::connect(at.port(0)).unwrap()).unwrap()
}

fn open(at: Loopback, name: &str) -> TcpStream {
    let mut stream = None;
    eventually(SOON, &format!("a connection to {name}"), || {
        let candidate = client::connect(at.port(0)).unwrap();
        let found = client::read_line(&candidate).unwrap() == name;
        stream = Some(candidate);
        found
    });
    stream.unwrap()
}

fn is_verdict(line: &LogLine, backend: &str, verdict: &str) -> bool {
    line.field("backend") == Some(backend) && line.field("message") == Some(verdict)
}

fn wait_verdict(daemon: &Daemon, backend: &str, verdict: &str) -> LogLine {
    let verdict = format!("backend is {verdict}");
    daemon.wait_for_log(&format!("{backend}: {verdict}"), |line| is_verdict(line, backend, &verdict))
}

/// How many verdicts the log has on a backend.
fn verdicts(daemon: &Daemon, backend: &str) -> usize {
    let name = format!("\"backend\":\"{backend}\"");
    let is_verdict = |line: &&str| {
        line.contains(&name)
            && (line.contains("\"backend is healthy\"") || line.contains("\"backend is unhealthy\""))
    };
    daemon.log_text().lines().filter(is_verdict).count()
}

/// Waits until `sluice status` has a result of a check, and returns the verdict and the result.
fn checked(daemon: &Daemon, backend: &str) -> (HealthStatus, String) {
    let mut last = None;
    eventually(SOON, &format!("{backend} is checked"), || {
        last = daemon.backend("web", backend).health.last;
        last.is_some()
    });
    (daemon.backend("web", backend).health.status, last.unwrap())
}

/// One backend that is always healthy, and one whose checks get the answers that the test gives.
struct Pair {
    at: Loopback,
    steady: Backend,
    shaky: Backend,
    web: WebServer,
    daemon: Daemon,
}

impl Pair {
    fn start(keys: &str) -> Self {
        let at = Loopback::new();
        let steady = Backend::start("steady", at.backend(0), Behaviour::Tag);
        let shaky = Backend::start("shaky", at.backend(1), Behaviour::Tag);
        let web = WebServer::start(at.backend(2));
        let daemon = Daemon::start(Self::config(at, &steady, &shaky, &http(&web, keys), ""));
        Self { at, steady, shaky, web, daemon }
    }

    fn config(at: Loopback, steady: &Backend, shaky: &Backend, check: &str, listener: &str) -> Config {
        let entries = [steady.entry(""), entry(shaky.address(), "shaky", check)];
        let pool = format!("balance = \"round_robin\"\n{NO_PASSIVE}");
        Config::new().listener("web", at.port(0), listener).pool_of("web", &entries, &pool)
    }

    /// The same configuration with another check, and further lines for the listener.
    fn with(&self, check: &str, listener: &str) -> Config {
        Self::config(self.at, &self.steady, &self.shaky, check, listener)
    }

    fn wait_state(&self, state: BackendState) {
        self.daemon.wait_for_state("web", "shaky", state);
    }

    fn state(&self) -> BackendState {
        self.daemon.backend("web", "shaky").state
    }
}

/// A pool whose checks are a clock: with it a test sees that something does not happen, however slow the machine is.
struct Clock(WebServer);

impl Clock {
    fn start(at: Loopback) -> Self {
        let web = WebServer::start(at.backend(900));
        web.always(Page::Status(200));
        Self(web)
    }

    fn add_to(&self, config: Config) -> Config {
        config.pool_of("clock", &[entry(self.0.address(), "clock", &http(&self.0, ""))], "")
    }

    fn wait_ticks(&self, ticks: usize) {
        self.0.wait_requests(self.0.requests().len() + ticks);
    }
}
