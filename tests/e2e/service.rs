//! Under a service manager: what is said to it, and the unit that is shipped.

use std::ffi::OsString;
use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use lb_admin::BackendState;
use lb_tests::{Backend, Behaviour, Config, Daemon, Launch, Loopback, NotifySocket, cli, client, eventually};
use rustix::process::Signal;
use rustix::time::{ClockId, clock_gettime};

const PATIENCE: Duration = Duration::from_secs(20);

/// A daemon under a service manager, and what that hears.
struct Service {
    at: Loopback,
    backend: Backend,
    manager: NotifySocket,
    daemon: Daemon,
}

impl Service {
    /// Starts it and does not wait for anything.
    fn spawn(global: &str, launch: impl FnOnce(Launch<'static>) -> Launch<'static>) -> Self {
        let at = Loopback::new();
        let backend = Backend::start("b", at.backend(0), Behaviour::Tag);
        let manager = NotifySocket::new();
        let config = Config::new().global(global).listener("web", at.port(0), "");
        let launch = launch(Launch::new(config.pool("web", [&backend], "")));
        let daemon = launch.env("NOTIFY_SOCKET", manager.path()).spawn();
        Self { at, backend, manager, daemon }
    }

    /// Starts it, and waits until it says that it is ready.
    fn start(global: &str) -> Self {
        let service = Self::spawn(global, |launch| launch);
        assert_eq!(service.manager.next(), ["READY=1"]);
        service
    }

    #[track_caller]
    fn open(&self) -> TcpStream {
        let stream = client::connect(self.at.port(0)).unwrap();
        assert_eq!(client::read_line(&stream).unwrap(), "b");
        stream
    }

    fn config(&self, lines: &str) -> Config {
        Config::new().listener("web", self.at.port(0), lines).pool("web", [&self.backend], "")
    }

    /// Hears of a reload that begins between `before` and now, and of its end.
    #[track_caller]
    fn hear_reload(&self, before: u128) {
        let message = self.manager.next();
        let [reloading, since] = message.as_slice() else { panic!("{message:?}") };
        assert_eq!(reloading, "RELOADING=1");
        // In the same message: systemd takes it for no reload otherwise (Type=notify-reload).
        let since: u128 = since.strip_prefix("MONOTONIC_USEC=").unwrap().parse().unwrap();
        assert!((before..=monotonic_micros()).contains(&since), "{since} is not after {before}");
        assert_eq!(self.manager.next(), ["READY=1"], "the end of the reload");
    }

    #[track_caller]
    fn hear_nothing(&self) {
        let heard = self.manager.next_within(Duration::from_millis(200));
        assert_eq!(heard, None);
    }
}

fn monotonic_micros() -> u128 {
    Duration::try_from(clock_gettime(ClockId::Monotonic)).unwrap().as_micros()
}

#[test]
fn it_is_ready_when_it_serves_and_takes_commands() {
    let mut service = Service::start("");
    // Without a second try.
    service.open();
    assert_eq!(service.daemon.status().state, lb_admin::Readiness::Ready);
    assert!(service.daemon.is_running());
    service.hear_nothing();
}

#[test]
fn it_is_never_ready_where_it_cannot_listen() {
    let at = Loopback::new();
    let taken = Backend::start("b", at.port(0), Behaviour::Tag);
    let manager = NotifySocket::new();
    let config = Config::new().listener("web", at.port(0), "").pool("web", [&taken], "");
    let mut daemon = Launch::new(config).env("NOTIFY_SOCKET", manager.path()).spawn();
    assert!(!daemon.wait_exit(PATIENCE).success());
    assert_eq!(manager.next_within(Duration::ZERO), None);
    assert!(daemon.log_text().contains(&at.port(0).to_string()), "which address:\n{}", daemon.log_text());
}

#[test]
fn a_reload_begins_and_ends_whatever_comes_of_it() {
    let service = Service::start("");
    let before = monotonic_micros();
    service.daemon.reload(service.config("max_connections = 9"));
    service.hear_reload(before);
    service.open();

    let before = monotonic_micros();
    service.daemon.configure("nonsense");
    assert!(!service.daemon.command(["reload"]).status.success());
    service.hear_reload(before);
    service.open();

    let before = monotonic_micros();
    service.daemon.configure(service.config("max_connections = 8"));
    service.daemon.signal(Signal::HUP);
    service.hear_reload(before);
    eventually(PATIENCE, "SIGHUP reloads", || {
        service.daemon.status().listeners.first().unwrap().max_connections == Some(8)
    });
    service.hear_nothing();
}

#[test]
fn a_plan_and_commands_are_no_news_to_it() {
    let service = Service::start("");
    service.daemon.configure(service.config("max_connections = 9"));
    service.daemon.sluice(["plan"]);
    service.daemon.sluice(["drain", "web/b"]);
    service.daemon.sluice(["undrain", "web/b"]);
    service.hear_nothing();
}

#[test]
fn the_end_begins_with_a_word_while_connections_go_on() {
    let mut service = Service::start("drain_timeout = \"60s\"");
    let stream = service.open();
    service.daemon.signal(Signal::TERM);
    assert_eq!(service.manager.next(), ["STOPPING=1"]);
    assert!(service.daemon.is_running(), "a connection is open");
    stream.shutdown(Shutdown::Write).unwrap();
    drop(stream);
    assert!(service.daemon.wait_exit(PATIENCE).success());
    service.hear_nothing();
}

#[test]
fn the_watchdog_is_fed_again_and_again() {
    let watchdog = |launch: Launch<'static>| launch.watchdog(Duration::from_millis(300));
    let service = Service::spawn("", watchdog);
    let fed = |times: usize| (0..times).for_each(|_| drop(service.manager.wait_for("WATCHDOG=1")));
    service.manager.wait_for("READY=1");
    fed(4);
    service.daemon.reload(service.config("max_connections = 9"));
    service.open();
    // Reloading and its end come between.
    service.manager.wait_for("READY=1");
    fed(4);
}

#[test]
fn a_watchdog_of_another_process_is_not_fed() {
    let of_another = |launch: Launch<'static>| {
        launch.env("WATCHDOG_USEC", "30000").env("WATCHDOG_PID", std::process::id().to_string())
    };
    let service = Service::spawn("", of_another);
    assert_eq!(service.manager.next(), ["READY=1"]);
    service.hear_nothing();
}

#[test]
fn a_watchdog_without_a_pid_is_for_the_one_that_sees_it() {
    // As sd_watchdog_enabled(3) has it.
    let service = Service::spawn("", |launch| launch.env("WATCHDOG_USEC", "300000"));
    service.manager.wait_for("WATCHDOG=1");
}

#[test]
fn the_service_manager_may_be_at_an_abstract_address() {
    let at = Loopback::new();
    let name = format!("sluice-test-{}", at.port(0));
    let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
    let manager = UnixDatagram::bind_addr(&address).unwrap();
    manager.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let backend = Backend::start("b", at.backend(0), Behaviour::Tag);
    let config = Config::new().listener("web", at.port(0), "").pool("web", [&backend], "");
    // As sd_notify(3) has it.
    let _daemon = Launch::new(config).env("NOTIFY_SOCKET", format!("@{name}")).start();
    let mut message = [0; 100];
    let length = manager.recv(&mut message).expect("a message at the abstract address");
    assert_eq!(&message[..length], b"READY=1\n");
}

#[test]
fn a_service_manager_that_is_gone_is_no_reason_not_to_serve() {
    let at = Loopback::new();
    let backend = Backend::start("b", at.backend(0), Behaviour::Tag);
    let config = Config::new().listener("web", at.port(0), "").pool("web", [&backend], "");
    let daemon = Launch::new(config).env("NOTIFY_SOCKET", "/nonexistent/notify").start();
    assert_eq!(client::read_line(&client::connect(at.port(0)).unwrap()).unwrap(), "b");
    daemon.wait_for_log("what is the matter", |line| line.text.contains("service manager"));
}

#[test]
fn without_privileges_it_has_its_directories_and_remembers() {
    let at = Loopback::new();
    let backend = Backend::start("b", at.backend(0), Behaviour::Tag);
    let other = Backend::start("other", at.backend(1), Behaviour::Tag);
    let config = Config::new().listener("web", at.port(0), "").pool("web", [&backend, &other], "");
    let daemon = Launch::new(config).unprivileged().start();
    let process = std::fs::metadata(format!("/proc/{}", daemon.pid().as_raw_pid())).unwrap();
    if rustix::process::geteuid().is_root() {
        assert_eq!(process.uid(), 65534, "it runs as nobody");
    }
    let socket = std::fs::metadata(daemon.socket()).unwrap();
    assert_eq!((socket.uid(), socket.permissions().mode() & 0o777), (process.uid(), 0o600));
    assert!(daemon.sluice(["drain", "web/b", "--wait"]).contains("safe to stop"));
    let state = std::fs::metadata(daemon.home().join("state/overrides")).unwrap();
    assert_eq!(state.uid(), process.uid());
    assert!(daemon.status().overrides.persisted);

    let daemon = daemon.kill_and_restart();
    assert_eq!(daemon.backend("web", "b").state, BackendState::Draining, "it was drained before");
    assert_eq!(client::read_line(&client::connect(at.port(0)).unwrap()).unwrap(), "other");
}

/// The unit that is shipped, and values of its keys.
struct Unit(String);

impl Unit {
    fn read() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/systemd/sluice.service");
        Self(std::fs::read_to_string(path).unwrap())
    }

    #[track_caller]
    fn get(&self, key: &str) -> &str {
        let mut values = self.0.lines().filter_map(|line| line.strip_prefix(key)?.strip_prefix('='));
        let (Some(value), None) = (values.next(), values.next()) else { panic!("not one {key}=") };
        value
    }

    /// The words of a command, with the program where it is for a test.
    #[track_caller]
    fn command(&self, key: &str) -> Vec<OsString> {
        let mut words: Vec<_> = self.get(key).split(' ').map(OsString::from).collect();
        let program = std::mem::replace(words.first_mut().unwrap(), cli::program().into());
        assert_eq!(program, "/usr/bin/sluice");
        words
    }
}

/// Runs the words.
fn command(words: &[OsString]) -> Command {
    let (program, arguments) = words.split_first().unwrap();
    let mut command = Command::new(program);
    command.args(arguments);
    command
}

#[test]
fn systemd_has_nothing_to_say_against_the_unit() {
    let directory = tempfile::tempdir().unwrap();
    let path: PathBuf = directory.path().join("sluice.service");
    let program = cli::program().canonicalize().unwrap();
    // Only what the package brings is not here.
    let unit = Unit::read().0.replace("/usr/bin/sluice", program.to_str().unwrap());
    std::fs::write(&path, unit).unwrap();
    let output = match Command::new("systemd-analyze").args(["verify", "--man=no"]).arg(&path).output() {
        Ok(output) => output,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let required = std::env::var_os("SLUICE_REQUIRE_LAB").is_some_and(|v| v == "1");
            assert!(!required, "SLUICE_REQUIRE_LAB=1, but no systemd-analyze (Debian: systemd)");
            return;
        }
        Err(error) => panic!("systemd-analyze: {error}"),
    };
    let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    let said = String::from_utf8_lossy(&said);
    // Other units of this host may be wrong.
    let of_ours: Vec<_> = said.lines().filter(|line| line.contains("sluice")).collect();
    assert!(output.status.success() && of_ours.is_empty(), "{said}");
}

#[test]
fn the_commands_of_the_unit_are_understood() {
    let at = Loopback::new();
    let backend = Backend::start("b", at.backend(0), Behaviour::Tag);
    let config = |lines: &str| Config::new().listener("web", at.port(0), lines).pool("web", [&backend], "");
    let unit = Unit::read();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("sluice.toml");
    std::fs::write(&file, config("").to_string()).unwrap();
    let mut start = unit.command("ExecStart");
    let path = start.iter_mut().find(|word| *word == "/etc/sluice/sluice.toml").unwrap();
    *path = file.clone().into();
    let manager = NotifySocket::new();
    let mut process = Process(
        command(&start)
            .env("NOTIFY_SOCKET", manager.path())
            .env("RUNTIME_DIRECTORY", directory.path())
            .env("STATE_DIRECTORY", directory.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    assert_eq!(unit.get("Type"), "notify");
    assert_eq!(manager.next(), ["READY=1"]);

    let socket = directory.path().join("admin.sock");
    let reload = || command(&unit.command("ExecReload")).env("SLUICE_SOCKET", &socket).output().unwrap();
    std::fs::write(&file, config("max_connections = 9").to_string()).unwrap();
    let output = reload();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::write(&file, "nonsense").unwrap();
    let output = reload();
    assert!(!output.status.success(), "systemctl reload has to fail");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("sluice.toml"), "where the mistake is: {said}");
    assert!(process.0.try_wait().unwrap().is_none(), "and the service goes on");
    assert_eq!(client::read_line(&client::connect(at.port(0)).unwrap()).unwrap(), "b");
}

/// A process that does not outlive its test.
struct Process(std::process::Child);

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn commands_look_for_the_socket_where_the_unit_has_it_made() {
    let unit = Unit::read();
    let help = cli::sluice(["reload", "--help"]);
    let help = String::from_utf8_lossy(&help.stdout).into_owned();
    let place = format!("/run/{}/admin.sock", unit.get("RuntimeDirectory"));
    assert!(help.contains(&place), "{place}:\n{help}");
}
