//! Reloads that come by themselves when a file changes: `watch = true`.

use std::fs;
use std::time::Duration;

use lb_tests::{Backend, Behaviour, Config, Daemon, Launch, Loopback, eventually, observe, process};

use super::{PATIENCE, lines, listener, pool_beside, pool_of, refused_reload, reloads, served_by};

struct Site {
    at: Loopback,
    a: Backend,
    b: Backend,
}

impl Site {
    fn new() -> Self {
        let at = Loopback::new();
        let a = Backend::start("a", at.backend(0), Behaviour::Tag);
        let b = Backend::start("b", at.backend(1), Behaviour::Tag);
        Self { at, a, b }
    }

    /// `web` is served by `pool`.
    fn config(&self, pool: &str) -> String {
        self.config_with("watch = true", pool)
    }

    fn config_with(&self, global: &str, pool: &str) -> String {
        let pools = pool_beside(pool_of(&self.a), &self.b).global(global);
        format!("{pools}{}", listener("web", &[self.at.port(0)], pool, ""))
    }

    #[track_caller]
    fn wait_served_by(&self, daemon: &Daemon, pool: &str) {
        eventually(PATIENCE, &format!("{pool} serves\n{}", daemon.log_text()), || {
            served_by(self.at.port(0)) == pool
        });
    }
}

/// Lets the daemon come to rest: the next change is one that it has to be told of, not one that it finds because it looks
/// again after a reload anyway.
#[track_caller]
fn rest(daemon: &Daemon) {
    observe(Duration::from_millis(50));
    eventually(PATIENCE, "the daemon is idle", || process::is_idle(daemon.pid()));
}

/// Catches: a watch on the file itself, which is lost with the first rename.
#[test]
fn a_file_that_is_replaced_is_read_again_each_time() {
    let site = Site::new();
    let daemon = Daemon::start(site.config("a"));
    for pool in ["b", "a", "b"] {
        rest(&daemon);
        daemon.configure(site.config(pool));
        site.wait_served_by(&daemon, pool);
    }
    assert_eq!(reloads(&daemon, "refused"), 0.0);
}

/// Catches: a watcher that knows renames only.
#[test]
fn a_file_that_is_written_in_place_is_read_again() {
    let site = Site::new();
    let daemon = Daemon::start(site.config("a"));
    for pool in ["b", "a"] {
        rest(&daemon);
        fs::write(daemon.home().join("sluice.toml"), site.config(pool)).unwrap();
        site.wait_served_by(&daemon, pool);
    }
}

/// Catches: a watch that begins some time after the file was read, and misses what happened between.
#[test]
fn a_change_before_it_is_ready_is_not_missed() {
    let site = Site::new();
    for _ in 0..3 {
        let daemon = Launch::new(site.config("a")).spawn();
        daemon.wait_for_log("it has read its file", |line| line.says("listening"));
        daemon.configure(site.config("b"));
        site.wait_served_by(&daemon, "b");
    }
}

/// Catches: included files that nobody watches, the first of a directory above all.
#[test]
fn included_files_are_watched_those_that_come_and_go_too() {
    let site = Site::new();
    let main = site.config("a").replace("version = 1", "version = 1\ninclude = [\"conf.d/*.toml\"]");
    let files = tempfile::tempdir().unwrap();
    fs::create_dir(files.path().join("conf.d")).unwrap();
    fs::write(files.path().join("sluice.toml"), &main).unwrap();
    let daemon = Launch::with_file(&files.path().join("sluice.toml")).start();
    let at = [0, 1].map(|i| site.at.port(i + 1));
    let file = |i: u16| files.path().join(format!("conf.d/{i}.toml"));
    for i in [0, 1] {
        rest(&daemon);
        fs::write(file(i), listener(&format!("l{i}"), &[at[usize::from(i)]], "b", "")).unwrap();
        eventually(PATIENCE, &format!("file {i} is taken in"), || {
            lb_tests::client::connect(at[usize::from(i)]).is_ok()
        });
    }
    rest(&daemon);
    fs::remove_file(file(0)).unwrap();
    eventually(PATIENCE, "what was in the file is gone", || lb_tests::client::connect(at[0]).is_err());
    assert_eq!(served_by(at[1]), "b");
    drop(daemon);
}

/// Catches: a watch that is decided once and for all at the start.
#[test]
fn it_can_be_switched_on_and_off() {
    let site = Site::new();
    let daemon = Daemon::start(site.config_with("watch = false", "a"));
    daemon.configure(site.config_with("watch = false", "b"));
    observe(Duration::from_millis(500));
    assert_eq!(served_by(site.at.port(0)), "a", "nobody watches");
    daemon.reload(site.config_with("watch = true", "a"));
    rest(&daemon);
    daemon.configure(site.config_with("watch = true", "b"));
    site.wait_served_by(&daemon, "b");
    daemon.configure(site.config_with("watch = false", "a"));
    site.wait_served_by(&daemon, "a");
    daemon.configure(site.config_with("watch = false", "b"));
    observe(Duration::from_millis(500));
    assert_eq!(served_by(site.at.port(0)), "a", "nobody watches any more");
}

/// Catches: a watcher that gives up after a file that is no good.
#[test]
fn a_broken_file_is_refused_and_the_next_good_one_applied() {
    let site = Site::new();
    let daemon = Daemon::start(site.config("a"));
    rest(&daemon);
    daemon.configure(format!("{}\nbroken", site.config("b")));
    daemon.wait_for_log("the refusal", |line| line.text.contains("reload refused"));
    assert_eq!(served_by(site.at.port(0)), "a");
    rest(&daemon);
    daemon.configure(site.config("b"));
    site.wait_served_by(&daemon, "b");
    assert_eq!(daemon.metric("sluice_config_last_reload_success"), 1.0);
}

/// Catches: an alert on the last reload that never ends, because the file that is good again is the one in force.
#[test]
fn a_broken_file_that_is_put_back_as_it_was_ends_the_alarm() {
    let site = Site::new();
    let daemon = Daemon::start(site.config("a"));
    rest(&daemon);
    daemon.configure("broken");
    daemon.wait_for_log("the refusal", |line| line.text.contains("reload refused"));
    rest(&daemon);
    daemon.configure(site.config("a"));
    eventually(PATIENCE, "all is well again", || daemon.metric("sluice_config_last_reload_success") > 0.5);
    assert!(daemon.status().last_reload.unwrap().ok);
}

/// Catches: one mistake that is tried, logged and counted again and again, by itself or whenever another file changes.
#[test]
fn what_cannot_be_bound_is_tried_once_not_for_ever() {
    let site = Site::new();
    let daemon = Daemon::start(site.config("a"));
    rest(&daemon);
    let taken = std::net::TcpListener::bind(site.at.port(1)).unwrap();
    daemon.configure(format!("{}{}", site.config("a"), listener("new", &[site.at.port(1)], "a", "")));
    daemon.wait_for_log("the refusal", |line| line.text.contains("reload refused"));
    for _ in 0..3 {
        fs::write(daemon.home().join("unrelated"), "x").unwrap();
        observe(Duration::from_millis(500));
    }
    assert_eq!(lines(&daemon, "reload refused"), 1, "it was said once\n{}", daemon.log_text());
    drop(taken);
    // Somebody who has freed the port says so.
    daemon.sluice(["reload"]);
    assert_eq!(served_by(site.at.port(1)), "a");
}

/// Catches: a watch that is on while the reload by command is refused, and then not any more.
#[test]
fn a_refused_command_leaves_the_watch_alone() {
    let site = Site::new();
    let daemon = Daemon::start(site.config("a"));
    daemon.configure(format!("{}{}", Config::new(), "nonsense = 1"));
    refused_reload(&daemon);
    rest(&daemon);
    daemon.configure(site.config("b"));
    site.wait_served_by(&daemon, "b");
}

/// Catches: a watch that does not follow how Kubernetes changes a mounted ConfigMap: two symbolic links, the outer of which
/// never changes.
#[test]
fn a_config_map_is_followed() {
    use std::os::unix::fs::symlink;

    let site = Site::new();
    let mount = tempfile::tempdir().unwrap();
    let path = |name: &str| mount.path().join(name);
    let publish = |version: &str, pool: &str| {
        fs::create_dir(path(version)).unwrap();
        fs::write(path(version).join("sluice.toml"), site.config(pool)).unwrap();
        symlink(version, path("..data_tmp")).unwrap();
        fs::rename(path("..data_tmp"), path("..data")).unwrap();
    };
    publish("..1", "a");
    symlink("..data/sluice.toml", path("sluice.toml")).unwrap();
    let daemon = Launch::with_file(&path("sluice.toml")).start();
    for (version, pool) in [("..2", "b"), ("..3", "a"), ("..4", "b")] {
        rest(&daemon);
        publish(version, pool);
        site.wait_served_by(&daemon, pool);
    }
}
