//! The daemon under test.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::io::{BufRead as _, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use lb_admin::{BackendState, Status};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::cli::Unprivileged;
use crate::client::Ended;
use crate::{AccessRecord, Api, End, LogLine, Namespace, Running, Watched, cli, eventually, process};

/// How long a test waits for something that has to happen, with much room for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// How a daemon is started.
#[derive(Debug)]
pub struct Launch<'a> {
    config: Source,
    namespace: Option<&'a Namespace>,
    fd_limits: Option<(u64, u64)>,
    unprivileged: Option<Unprivileged>,
    environment: Vec<OsString>,
    watchdog: Option<Duration>,
    home: TempDir,
}

#[derive(Debug)]
enum Source {
    /// `sluice.toml` in the daemon's home.
    Home,
    File(PathBuf),
    Demo,
}

impl<'a> Launch<'a> {
    /// With this configuration.
    pub fn new(config: impl fmt::Display) -> Self {
        let launch = Self::of(Source::Home);
        write_config(launch.home.path(), &config.to_string());
        launch
    }

    /// With the configuration in the file `path`.
    pub fn with_file(path: &Path) -> Self {
        Self::of(Source::File(path.into()))
    }

    /// As a demonstration, which brings its own configuration and backends.
    pub fn demo() -> Self {
        Self::of(Source::Demo)
    }

    fn of(config: Source) -> Self {
        Self {
            config,
            namespace: None,
            fd_limits: None,
            unprivileged: None,
            environment: vec![],
            watchdog: None,
            home: cli::open_directory(),
        }
    }

    /// Inside `namespace`.
    pub fn inside(self, namespace: &'a Namespace) -> Self {
        Self { namespace: Some(namespace), ..self }
    }

    /// With these limits of file descriptors.
    pub fn fd_limits(self, soft: u64, hard: u64) -> Self {
        Self { fd_limits: Some((soft, hard)), ..self }
    }

    /// Without privileges, whoever runs the test.
    pub fn unprivileged(self) -> Self {
        Self { unprivileged: Some(Unprivileged::new()), ..self }
    }

    /// With this environment variable, also in the place of one that it would have anyway.
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Self {
        let mut assignment = OsString::from(format!("{name}="));
        assignment.push(value);
        self.environment.push(assignment);
        self
    }

    /// Under a watchdog as a service manager's (`WatchdogSec=`), though nobody watches.
    pub fn watchdog(self, period: Duration) -> Self {
        Self { watchdog: Some(period), ..self }
    }

    /// Its home, for what has to be there when it starts.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Starts it and waits until it serves.
    pub fn start(self) -> Daemon {
        let daemon = self.spawn();
        daemon.wait_for_log("ready", |line| line.says("ready"));
        daemon
    }

    /// Starts it and waits for nothing: for those that will not become ready.
    pub fn spawn(self) -> Daemon {
        // All the wrappers replace themselves by what they run, so that our child's pid is the daemon's.
        let mut command = match self.namespace {
            Some(namespace) => namespace.command("env"),
            None => Command::new("env"),
        };
        // As a service manager would say it.
        command.arg(format!("RUNTIME_DIRECTORY={}", self.home.path().display()));
        command.arg(format!("STATE_DIRECTORY={}", self.home.path().join("state").display()));
        command.args(&self.environment);
        if let Some(period) = self.watchdog {
            command.arg(format!("WATCHDOG_USEC={}", period.as_micros()));
            // The shell's pid, which becomes the daemon's.
            command.args(["sh", "-c", "export WATCHDOG_PID=$$; exec \"$@\"", "sh"]);
        }
        if let Some((soft, hard)) = self.fd_limits {
            command.arg("prlimit").arg(format!("--nofile={soft}:{hard}"));
        }
        match &self.unprivileged {
            Some(unprivileged) => command.args(unprivileged.words()),
            None => command.arg(cli::program()),
        };
        match &self.config {
            Source::Home => command.args(["run", "-c"]).arg(config_path(self.home.path())),
            Source::File(path) => command.args(["run", "-c"]).arg(path),
            Source::Demo => command.arg("demo"),
        };
        Daemon::follow(command, self.home, self.unprivileged)
    }
}

fn config_path(home: &Path) -> PathBuf {
    home.join("sluice.toml")
}

/// Replaces the configuration file in one step, as `mv` and editors do.
fn write_config(home: &Path, text: &str) {
    let new = home.join("sluice.toml.new");
    std::fs::write(&new, text).expect("writing a configuration");
    std::fs::rename(new, config_path(home)).expect("putting a configuration in its place");
}

/// A running daemon, killed with this value.
#[derive(Debug)]
pub struct Daemon {
    command: Command,
    child: Child,
    log: Arc<Watched<Log>>,
    readers: Vec<JoinHandle<()>>,
    home: Option<TempDir>,
    /// Kept as long as it may be run.
    program: Option<Unprivileged>,
}

#[derive(Debug)]
struct Log {
    lines: Vec<LogLine>,
    /// Standard output and standard error, as long as the daemon has them open.
    open_streams: u8,
}

impl Daemon {
    /// Starts a daemon with this configuration and waits until it serves.
    pub fn start(config: impl fmt::Display) -> Self {
        Launch::new(config).start()
    }

    fn follow(mut command: Command, home: TempDir, program: Option<Unprivileged>) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        let log = Arc::new(Watched::new(Log { lines: vec![], open_streams: 2 }));
        let readers = vec![
            follow(child.stdout.take().expect("stdout is piped"), Arc::clone(&log)),
            follow(child.stderr.take().expect("stderr is piped"), Arc::clone(&log)),
        ];
        Self { command, child, log, readers, home: Some(home), program }
    }

    /// Kills it without a warning, and starts it again with the same files.
    pub fn kill_and_restart(mut self) -> Self {
        self.child.kill().expect("killing our child");
        self.child.wait().expect("waiting for our child");
        let command = std::mem::replace(&mut self.command, Command::new("true"));
        let home = self.home.take().expect("it is taken here only");
        let daemon = Self::follow(command, home, self.program.take());
        daemon.wait_for_log("ready", |line| line.says("ready"));
        daemon
    }

    /// Its admin socket.
    pub fn socket(&self) -> PathBuf {
        self.home().join("admin.sock")
    }

    /// The directory of its configuration, where it was started with a text.
    pub fn home(&self) -> &Path {
        self.home.as_ref().expect("it is taken by a restart only").path()
    }

    /// Replaces its configuration file. It does not know yet.
    pub fn configure(&self, config: impl fmt::Display) {
        write_config(self.home(), &config.to_string());
    }

    /// Replaces its configuration file and has it reloaded.
    #[track_caller]
    pub fn reload(&self, config: impl fmt::Display) {
        self.configure(config);
        self.sluice(["reload"]);
    }

    /// Runs a command of `sluice` that talks to it, to its end.
    pub fn command<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Output {
        let arguments = arguments.into_iter().map(OsString::from);
        cli::sluice(arguments.chain(["--socket".into(), self.socket().into()]))
    }

    /// Starts a command of `sluice` that talks to it and lasts.
    pub fn run<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> Running {
        let mut command = Command::new(cli::program());
        Running::start(command.args(arguments).arg("--socket").arg(self.socket()))
    }

    /// Its admin API, on its socket.
    pub fn api(&self) -> Api {
        Api::unix(&self.socket())
    }

    /// Runs a command of `sluice` that talks to it and has to succeed; what it prints.
    #[track_caller]
    pub fn sluice<'a>(&self, arguments: impl IntoIterator<Item = &'a str>) -> String {
        let output = self.command(arguments);
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        assert!(output.status.success(), "{}{}", text(&output.stderr), self.log_text());
        text(&output.stdout)
    }

    /// What `sluice status` says.
    #[track_caller]
    pub fn status(&self) -> Status {
        serde_json::from_str(&self.sluice(["status", "--json"])).expect("it is documented JSON")
    }

    /// What `sluice status` says of a backend.
    #[track_caller]
    pub fn backend(&self, pool: &str, backend: &str) -> lb_admin::Backend {
        let pools = self.status().pools.into_iter().filter(|status| status.name == pool);
        let found = pools.flat_map(|pool| pool.backends).find(|status| status.name == backend);
        found.unwrap_or_else(|| panic!("no backend {backend:?} in pool {pool:?}"))
    }

    /// Waits until `sluice status` has a backend in this state.
    #[track_caller]
    pub fn wait_for_state(&self, pool: &str, backend: &str, state: BackendState) {
        let what = format!("{pool}/{backend} is {}", state.label());
        eventually(PATIENCE, &what, || self.backend(pool, backend).state == state);
    }

    /// The metric with this name and these labels, written as in the exposition: `sluice_x{a="b"}`.
    #[track_caller]
    pub fn metric(&self, name: &str) -> f64 {
        let metrics = self.metrics();
        let value = metrics.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        value.unwrap_or_else(|| panic!("no {name} in\n{metrics}")).parse().expect("it is a number")
    }

    /// Everything that a scrape gives, over the admin socket and with curl.
    #[track_caller]
    pub fn metrics(&self) -> String {
        let mut curl = Command::new("curl");
        let output =
            curl.args(["-sS", "--fail", "--unix-socket"]).arg(self.socket()).arg("http://sluice/metrics");
        let output = output.output().expect("running curl");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("metrics are UTF-8")
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("our child is there until it is waited for");
    }

    /// Stops it (SIGSTOP), and returns when none of its threads runs any more. SIGCONT has it go on.
    #[track_caller]
    pub fn suspend(&self) {
        self.signal(Signal::STOP);
        eventually(PATIENCE, "all threads are stopped", || process::is_stopped(self.pid()));
    }

    /// Waits until it has ended and all that it logged is here.
    #[track_caller]
    pub fn wait_exit(&mut self, within: Duration) -> ExitStatus {
        let mut status = None;
        eventually(within, "the daemon ends", || {
            status = self.child.try_wait().expect("waiting for our child");
            status.is_some()
        });
        for reader in self.readers.drain(..) {
            reader.join().expect("a log reader does not panic");
        }
        status.expect("it has ended")
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("waiting for our child").is_none()
    }

    /// Waits for a log line that `matches`; panics with the log if there is none in time or the daemon ends.
    #[track_caller]
    pub fn wait_for_log(&self, what: &str, matches: impl Fn(&LogLine) -> bool) -> LogLine {
        self.wait_for(what, |lines| lines.iter().find(|line| matches(line)).cloned())
    }

    /// Waits for the access record of the client at `client`: the newest, if it had several connections.
    #[track_caller]
    pub fn wait_for_record(&self, client: SocketAddr) -> AccessRecord {
        self.wait_for(&format!("an access record of {client}"), |lines| {
            lines.iter().rev().filter_map(LogLine::access_record).find(|record| record.client == client)
        })
    }

    /// Waits for the access record of the connection that the proxy at `proxy` has passed on with a PROXY header.
    #[track_caller]
    pub fn wait_for_record_through(&self, proxy: SocketAddr) -> AccessRecord {
        self.wait_for(&format!("an access record of a client behind {proxy}"), |lines| {
            let mut records = lines.iter().rev().filter_map(LogLine::access_record);
            records.find(|record| record.proxied_by == Some(proxy))
        })
    }

    /// Asserts that a client was reset without a byte, and returns its access record.
    #[track_caller]
    pub fn record_of_refused(&self, ended: &Ended) -> AccessRecord {
        assert!(ended.bytes.is_empty() && ended.end == End::Reset, "{ended:?}\n{}", self.log_text());
        self.wait_for_record(ended.client)
    }

    /// Waits until there are at least `count` access records, and returns them all.
    #[track_caller]
    pub fn wait_for_records(&self, count: usize) -> Vec<AccessRecord> {
        self.wait_for(&format!("{count} access records"), |lines| {
            // This is asked again for every line.
            if lines.len() < count {
                return None;
            }
            let records: Vec<_> = lines.iter().filter_map(LogLine::access_record).collect();
            (records.len() >= count).then_some(records)
        })
    }

    /// The access records so far.
    pub fn access_records(&self) -> Vec<AccessRecord> {
        self.log.read(|log| log.lines.iter().filter_map(LogLine::access_record).collect())
    }

    /// The audit lines so far.
    pub fn audit_lines(&self) -> Vec<LogLine> {
        let is_audit = |line: &&LogLine| line.field("target") == Some("audit");
        self.log.read(|log| log.lines.iter().filter(is_audit).cloned().collect())
    }

    /// Everything that it has logged and printed so far.
    pub fn log_text(&self) -> String {
        self.log.read(|log| log.lines.iter().flat_map(|line| [line.text.as_str(), "\n"]).collect())
    }

    #[track_caller]
    fn wait_for<R>(&self, what: &str, look: impl Fn(&[LogLine]) -> Option<R>) -> R {
        let found = self.log.wait(PATIENCE, |log| match look(&log.lines) {
            Some(found) => Some(Some(found)),
            None => (log.open_streams == 0).then_some(None),
        });
        found.flatten().unwrap_or_else(|| panic!("{what} not in the daemon's log:\n{}", self.log_text()))
    }
}

fn follow(stream: impl Read + Send + 'static, log: Arc<Watched<Log>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            log.change(|log| log.lines.push(LogLine::new(line)));
        }
        log.change(|log| log.open_streams -= 1);
    })
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // Where it has been waited for, both do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
        for reader in self.readers.drain(..) {
            let _ = reader.join();
        }
        if std::thread::panicking() {
            eprintln!("log of the daemon:\n{}", self.log_text());
        }
    }
}
