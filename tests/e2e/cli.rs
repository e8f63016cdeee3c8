//! The commands that talk to a running Sluice: what they print, and how they end.

use std::fs::File;
use std::io::Write as _;
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use lb_admin::{BackendState, Changed, Plan, Reloaded, Status};
use lb_tests::{Backend, Behaviour, Config, Daemon, Loopback, Running, cli, client, observe};
use rustix::process::Signal;

struct Site {
    at: Loopback,
    daemon: Daemon,
    backends: [Backend; 2],
}

impl Site {
    fn start() -> Self {
        let at = Loopback::new();
        let backends = [("b0", 0), ("b1", 1)].map(|(n, i)| Backend::start(n, at.backend(i), Behaviour::Tag));
        let daemon = Daemon::start(config(at, &backends));
        Self { at, daemon, backends }
    }

    fn open(&self) -> (String, TcpStream) {
        let stream = client::connect(self.at.port(0)).unwrap();
        (client::read_line(&stream).unwrap(), stream)
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(cli::program());
        command.args(arguments).env("SLUICE_SOCKET", self.daemon.socket());
        command
    }
}

fn config(at: Loopback, backends: &[Backend]) -> Config {
    let entries: Vec<_> = backends.iter().map(|backend| backend.entry("max_connections = 50")).collect();
    Config::new().listener("web", at.port(0), "max_connections = 99").pool_of(
        "web",
        &entries,
        "balance = \"round_robin\"",
    )
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// What the table says in the columns with these titles, in the line that begins with `name`.
#[track_caller]
fn cells(table: &str, title: &str, name: &str, columns: &[&str]) -> Vec<String> {
    let line = |start: &str| {
        let found = table.lines().find(|line| line.split_whitespace().next() == Some(start));
        found.unwrap_or_else(|| panic!("no {start} in\n{table}"))
    };
    // The header and the lines below it have the same number of words where every cell has one.
    let titles: Vec<_> = line(title).split_whitespace().collect();
    let words: Vec<_> = line(name).split_whitespace().collect();
    let cell = |column: &&str| {
        let index = titles.iter().position(|title| title == column);
        let index = index.unwrap_or_else(|| panic!("no {column} in\n{table}"));
        words.get(index).unwrap_or_else(|| panic!("nothing in {column} of {name} in\n{table}")).to_string()
    };
    columns.iter().map(cell).collect()
}

#[test]
fn the_status_in_a_pipe_is_a_plain_table_with_the_right_numbers() {
    let site = Site::start();
    let (name, mut open) = site.open();
    open.write_all(&[b'x'; 100]).unwrap();
    client::read_bytes(&open, 100).unwrap();
    let others: Vec<_> = (0..4).map(|_| site.open()).collect();
    drop(others);
    site.daemon.wait_for_records(4);
    let other = if name == "b0" { "b1" } else { "b0" };
    site.daemon.sluice(["drain", &format!("web/{other}")]);
    let table = site.daemon.sluice(["status"]);
    assert!(!table.contains('\u{1b}'), "colours are for terminals:\n{table:?}");
    let header = table.lines().next().unwrap();
    for part in [
        format!("sluice {}", site.daemon.status().version),
        "ready".into(),
        format!("pid {}", site.daemon.pid().as_raw_pid()),
        "workers 4".into(),
        "generation 1".into(),
        "sluice.toml".into(),
    ] {
        assert!(header.contains(&part), "no {part:?} in {header}");
    }
    let listener = ["BIND", "PROTOCOL", "POOL", "DATAPATH", "CONNS", "TOTAL", "IN", "OUT"];
    let bind = site.at.port(0).to_string();
    assert_eq!(
        cells(&table, "LISTENER", "web", &listener),
        [&bind, "tcp", "web", "splice", "1/99", "5", "100B", "115B"]
    );
    let backend = ["ADDRESS", "STATE", "HEALTH", "WEIGHT", "CONNS", "FAILED", "IN", "OUT"];
    let of = |name: &str| cells(&table, "BACKEND", name, &backend);
    let address = |name: &str| site.daemon.backend("web", name).address;
    assert_eq!(of(&name)[..6], [&address(&name), "active", "-", "1", "1/50", "0"]);
    assert_eq!(of(other)[..6], [&address(other), "draining", "-", "1", "0/50", "0"]);
    assert!(table.contains("web  round_robin  1 of 2 active"), "{table}");
    let told = site.daemon.backend("web", &name);
    assert_eq!((told.bytes_in, told.connections), (100, 1));
    for column in ["FOR", "TOTAL", "REASON"] {
        assert!(table.contains(column), "no {column} in\n{table}");
    }
}

#[test]
fn a_terminal_gets_colours_unless_it_wants_none() {
    let site = Site::start();
    let on_terminal = |no_color: Option<&str>| {
        let mut script = Command::new("script");
        let command =
            format!("{} status --socket {}", cli::program().display(), site.daemon.socket().display());
        script.args(["-qec", &command, "/dev/null"]).stdin(Stdio::null()).env_remove("NO_COLOR");
        script.envs(no_color.map(|value| ("NO_COLOR", value)));
        let output = script.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        stdout(&output)
    };
    let coloured = on_terminal(None);
    assert!(coloured.contains("\u{1b}[32m") && coloured.contains("active"), "{coloured:?}");
    let plain = on_terminal(Some("1"));
    assert!(!plain.contains('\u{1b}') && plain.contains("active"), "{plain:?}");
}

#[test]
fn every_answer_can_be_had_as_json() {
    let site = Site::start();
    let text = |arguments: &[&str]| site.daemon.sluice(arguments.iter().copied().chain(["--json"]));
    let status: Status = serde_json::from_str(&text(&["status"])).unwrap();
    assert_eq!((status.pools[0].backends.len(), status.listeners[0].max_connections), (2, Some(99)));
    for (command, state, weight) in [
        (&["drain", "web/b0"][..], BackendState::Draining, 1),
        (&["undrain", "web/b0"], BackendState::Active, 1),
        (&["weight", "web/b0", "0"], BackendState::Disabled, 0),
        (&["weight", "web/b0", "reset"], BackendState::Active, 1),
    ] {
        let changed: Changed = serde_json::from_str(&text(command)).unwrap();
        let [backend] = changed.backends.as_slice() else { panic!("one backend: {changed:?}") };
        assert_eq!((backend.name.as_str(), backend.state, backend.weight), ("b0", state, weight));
    }
    let done = text(&["drain", "web/b0", "--wait"]);
    assert_eq!(serde_json::from_str::<serde_json::Value>(&done).unwrap()["connections"], 0);
    site.daemon.configure(config(site.at, &site.backends[..1]));
    let plan: Plan = serde_json::from_str(&text(&["plan"])).unwrap();
    assert_eq!((plan.changed, plan.pools[0].backends[0].name.as_str()), (true, "b1"));
    let reloaded: Reloaded = serde_json::from_str(&text(&["reload"])).unwrap();
    assert_eq!((reloaded.generation, reloaded.changed, reloaded.plan), (2, true, plan));
    let again: Reloaded = serde_json::from_str(&text(&["reload"])).unwrap();
    assert!(!again.changed);
}

#[test]
fn a_reload_says_what_it_has_done_and_not_what_it_would_do() {
    let site = Site::start();
    assert!(site.daemon.sluice(["plan"]).contains("nothing would change"));
    let told = site.daemon.sluice(["reload"]);
    assert!(!told.contains("would") && told.contains("generation 1"), "{told}");
    site.daemon.configure(config(site.at, &site.backends[..1]));
    let told = site.daemon.sluice(["reload"]);
    assert!(told.contains("- b1") && told.contains("generation 2"), "{told}");
}

#[test]
fn watching_shows_it_again_until_it_is_interrupted() {
    let site = Site::start();
    let mut watch = site.daemon.run(["status", "--watch"]);
    watch.wait_for(2, "BACKEND");
    site.daemon.sluice(["drain", "web/b0"]);
    watch.wait_for(1, "draining");
    assert!(watch.is_running());
    watch.signal(Signal::INT);
    let status = watch.wait_exit();
    assert!(
        status.signal() == Some(Signal::INT.as_raw()) || status.code().is_some_and(|c| c == 0 || c == 130)
    );
    assert!(!watch.printed().contains('\u{1b}'), "it is not a terminal: {:?}", watch.printed());
    assert!(!watch.printed().contains("panicked"), "{}", watch.printed());
}

#[test]
fn watching_ends_when_nobody_reads_any_more() {
    let site = Site::start();
    let mut shell = Command::new("bash");
    shell.args(["-c", "set -o pipefail; \"$0\" status --watch | head -1"]).arg(cli::program());
    shell.env("SLUICE_SOCKET", site.daemon.socket());
    let mut watch = Running::start(&mut shell);
    assert!(watch.wait_exit().success(), "{}", watch.printed());
    assert!(
        watch.printed().starts_with("sluice ") && !watch.printed().contains("panic"),
        "{}",
        watch.printed()
    );
}

#[test]
fn no_command_panics_when_nobody_reads_what_it_prints() {
    let site = Site::start();
    let config = site.daemon.home().join("sluice.toml");
    let config = config.to_str().unwrap();
    for arguments in [
        &["status"][..],
        &["status", "--json"],
        &["plan"],
        &["plan", "--json"],
        &["reload"],
        &["reload", "--json"],
        &["drain", "web/b0"],
        &["drain", "web/b0", "--wait"],
        &["drain", "web/b0", "--json"],
        &["weight", "web/b0", "3"],
        &["undrain", "web/b0"],
        &["check", "-c", config],
        &["check", "--print-effective", "-c", config],
        &["version", "--verbose"],
    ] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = site.command(arguments).stdout(writer).output().unwrap();
        assert!(!stderr(&output).contains("panicked"), "{arguments:?}: {}", stderr(&output));
        assert_ne!(output.status.code(), Some(101), "{arguments:?}");
    }
}

#[test]
fn what_cannot_be_written_is_an_error() {
    let site = Site::start();
    for arguments in [&["status"][..], &["status", "--json"], &["plan"]] {
        let full = File::options().write(true).open("/dev/full").unwrap();
        let output = site.command(arguments).stdout(full).output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{arguments:?}: {}", stderr(&output));
        assert!(!stderr(&output).contains("panicked"), "{arguments:?}: {}", stderr(&output));
        assert!(stderr(&output).contains("No space left"), "{arguments:?}: {}", stderr(&output));
    }
}

#[test]
fn without_a_sluice_every_command_says_what_to_do() {
    let nowhere = tempfile::tempdir().unwrap();
    let missing = nowhere.path().join("admin.sock");
    // One that nobody listens on any more.
    let dead = nowhere.path().join("dead.sock");
    drop(std::os::unix::net::UnixListener::bind(&dead).unwrap());
    for socket in [missing, dead] {
        for command in [
            &["status"][..],
            &["status", "--watch"],
            &["drain", "web"],
            &["undrain", "web"],
            &["weight", "web", "1"],
            &["plan"],
            &["reload"],
        ] {
            let output =
                Command::new(cli::program()).args(command).arg("--socket").arg(&socket).output().unwrap();
            assert_eq!(output.status.code(), Some(1), "{command:?}");
            let told = stderr(&output);
            assert!(told.contains("is Sluice running?") && told.contains(socket.to_str().unwrap()), "{told}");
            assert!(told.starts_with("sluice: ") && output.stdout.is_empty(), "{output:?}");
        }
    }
}

#[test]
fn the_socket_comes_from_the_environment_unless_it_is_named() {
    let (one, two) = (Site::start(), Site::start());
    let pid = |output: Output| serde_json::from_str::<Status>(&stdout(&output)).unwrap().pid;
    let of = |site: &Site| site.daemon.pid().as_raw_pid().cast_unsigned();
    let mut command = one.command(&["status", "--json"]);
    assert_eq!(pid(command.output().unwrap()), of(&one));
    assert_eq!(pid(command.arg("--socket").arg(two.daemon.socket()).output().unwrap()), of(&two));
}

#[test]
fn help_says_what_each_command_does() {
    let help = |arguments: &[&str]| {
        let output = cli::sluice(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        stdout(&output)
    };
    let all = help(&["--help"]);
    for (command, words) in [
        ("run", &["--config"][..]),
        ("check", &["--print-effective", "error"]),
        ("status", &["--json", "--watch", "--socket", "SLUICE_SOCKET", "listeners", "pools", "backends"]),
        ("drain", &["--wait", "--timeout", "--json", "--socket", "no new connections", "POOL[/BACKEND]"]),
        ("undrain", &["--json", "--socket", "again", "POOL[/BACKEND]"]),
        ("weight", &["--json", "--socket", "reset", "65535", "POOL[/BACKEND]"]),
        ("plan", &["--json", "--socket", "would change"]),
        ("reload", &["--json", "--socket", "configuration", "nothing"]),
        ("demo", &["--listen"]),
        ("version", &["--verbose"]),
    ] {
        assert!(all.lines().any(|line| line.trim_start().starts_with(command)), "no {command} in\n{all}");
        let text = help(&[command, "--help"]);
        assert!(!text.lines().next().unwrap().is_empty(), "{command} begins with what it does:\n{text}");
        for word in words {
            assert!(text.contains(word), "no {word:?} in the help of {command}:\n{text}");
        }
    }
}

#[test]
fn a_refused_reload_is_told_with_its_place_and_is_in_the_status_until_the_next() {
    let site = Site::start();
    let good = config(site.at, &site.backends);
    site.daemon.configure(good.to_string().replace("round_robin", "round_robbin"));
    for command in ["plan", "reload"] {
        let output = site.daemon.command([command]);
        assert_eq!(output.status.code(), Some(1), "{command}");
        let told = stderr(&output);
        assert!(told.contains("sluice.toml:") && told.contains("round_robbin"), "{command}: {told}");
        assert!(output.stdout.is_empty(), "{command}: {}", stdout(&output));
    }
    let reload = site.daemon.command(["reload"]);
    assert!(stderr(&reload).contains("old configuration stays"), "{}", stderr(&reload));
    let status = site.daemon.sluice(["status"]);
    let line = status.lines().find(|line| line.contains("refused"));
    assert!(line.is_some_and(|line| line.contains("round_robbin")), "{status}");
    assert!(site.open().0.starts_with('b'));
    site.daemon.reload(good);
    assert!(!site.daemon.sluice(["status"]).contains("refused"));
}

#[test]
fn a_stopped_sluice_is_waited_for() {
    let site = Site::start();
    site.daemon.signal(Signal::STOP);
    let mut status = site.daemon.run(["status"]);
    // To see that it does not give up.
    observe(Duration::from_millis(300));
    assert!(status.is_running(), "{}", status.printed());
    site.daemon.signal(Signal::CONT);
    assert!(status.wait_exit().success(), "{}", status.printed());
}
