//! `sluice check`, and what `run` does with a configuration that cannot be run.

use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use lb_tests::{Backend, Behaviour, Config, Launch, Loopback, cli};

const GOOD: &str = r#"version = 1
[listeners.web]
bind = ["127.0.0.1:8080", "[::1]:8080"]
protocol = "tcp"
pool = "web"
max_connections = 100
[pools.web]
backends = ["10.0.0.1:80", { address = "10.0.0.2:80", name = "b2", weight = 3 }]
"#;

/// Three mistakes, in three tables.
const BROKEN: &str = r#"version = 1
[listeners.web]
bind = ["127.0.0.1"]
protocol = "tcp"
pool = "wep"
[pools.web]
balanse = "hash"
backends = ["10.0.0.1:80"]
"#;

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

#[track_caller]
fn assert_names_every_mistake(errors: &str, file: &Path) {
    let at = |position: &str| format!("{}:{position}", file.display());
    let line = |start: &str| {
        let found = errors.lines().find(|line| line.contains(start));
        found.unwrap_or_else(|| panic!("no error at {start} in\n{errors}"))
    };
    let no_port = line(&at("3:9: listeners.web.bind"));
    assert!(no_port.contains("127.0.0.1"), "{no_port}");
    assert!(line(&at("5:8: listeners.web.pool")).contains("wep"));
    assert!(line(&at("7:1: pools.web.balanse")).contains("balanse"));
    assert!(errors.contains("did you mean") && errors.contains("balance"), "{errors}");
}

#[test]
fn a_good_file_passes() {
    let file = cli::config_file(GOOD);
    let output = cli::sluice(["check".as_ref(), "-c".as_ref(), file.path().as_os_str()]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn a_broken_file_fails_with_all_its_mistakes() {
    let file = cli::config_file(BROKEN);
    let output = cli::sluice(["check".as_ref(), "-c".as_ref(), file.path().as_os_str()]);
    assert_eq!(output.status.code(), Some(1));
    assert_names_every_mistake(&stderr(&output), file.path());
}

#[test]
fn run_refuses_a_broken_file_with_the_same_words() {
    let file = cli::config_file(BROKEN);
    let check = cli::sluice(["check".as_ref(), "-c".as_ref(), file.path().as_os_str()]);
    let run = cli::sluice(["run".as_ref(), "-c".as_ref(), file.path().as_os_str()]);
    assert_eq!(run.status.code(), Some(1));
    assert_names_every_mistake(&stderr(&run), file.path());
    for error in stderr(&check).lines().filter(|line| line.contains(".toml:")) {
        assert!(stderr(&run).contains(error), "{error:?} is not in\n{}", stderr(&run));
    }
}

#[test]
fn a_file_that_is_missing_is_named() {
    let output = cli::sluice(["check", "-c", "/nonexistent/sluice.toml"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("/nonexistent/sluice.toml"), "{}", stderr(&output));
}

#[test]
fn the_effective_configuration_shows_defaults_and_loads_again() {
    let print = |file: &Path| {
        let output =
            cli::sluice(["check".as_ref(), "--print-effective".as_ref(), "-c".as_ref(), file.as_os_str()]);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    let effective = print(cli::config_file(GOOD).path());
    for default in
        ["connect_timeout", "connect_tries", "drain_timeout", "idle_timeout", "max_backoff", "balance"]
    {
        assert!(effective.contains(default), "{default} is not in\n{effective}");
    }
    assert_eq!(print(cli::config_file(&effective).path()), effective, "nothing changes the second time");
}

#[test]
fn checking_needs_no_privileges() {
    let program = cli::Unprivileged::new();
    // A port that only root could bind.
    let file = cli::config_file(&GOOD.replace("127.0.0.1:8080", "127.0.0.1:80"));
    let mut words = program.words().into_iter();
    let mut command = Command::new(words.next().unwrap());
    let output = command.args(words).args(["check", "-c"]).arg(file.path()).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

#[test]
fn an_address_that_is_taken_is_named_with_its_listener() {
    let at = Loopback::new();
    let backend = Backend::start("b", at.backend(0), Behaviour::Tag);
    // Without SO_REUSEPORT: nobody can share it.
    let _taken = TcpListener::bind(at.port(1)).unwrap();
    let config = Config::new()
        .listener("free", at.port(0), "")
        .pool("free", [&backend], "")
        .listener("taken", at.port(1), "")
        .pool("taken", [&backend], "");
    let mut daemon = Launch::new(config).spawn();
    assert_eq!(daemon.wait_exit(Duration::from_secs(10)).code(), Some(1));
    let log = daemon.log_text();
    assert!(log.contains("taken") && log.contains(&at.port(1).to_string()), "{log}");
    assert!(!log.contains("\"ready\""), "{log}");
}
