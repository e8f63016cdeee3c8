//! Drains and weights that an operator sets while it runs.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use lb_admin::{BackendState, Changed};
use lb_model::Termination;
use lb_tests::{Backend, Behaviour, Config, Daemon, End, Launch, Loopback, client, eventually, observe};

const SOON: Duration = Duration::from_secs(10);
const NAMES: [&str; 4] = ["b0", "b1", "b2", "b3"];

/// A pool "web" with three backends in turn; a fourth is ready to be added.
struct Site {
    at: Loopback,
    backends: Vec<Backend>,
    daemon: Daemon,
}

impl Site {
    fn start() -> Self {
        Self::launch(|launch| launch)
    }

    fn launch(with: impl FnOnce(Launch<'static>) -> Launch<'static>) -> Self {
        let at = Loopback::new();
        let backends: Vec<_> = (0..).zip(NAMES).map(|(index, name)| tag(at, index, name)).collect();
        let daemon = with(Launch::new(config(at, backends.iter().take(3)))).start();
        Self { at, backends, daemon }
    }

    /// The configuration with only the first `count` backends.
    fn config(&self, count: usize) -> Config {
        config(self.at, self.backends.iter().take(count))
    }

    fn listen(&self) -> SocketAddr {
        self.at.port(0)
    }

    /// A connection to a backend, and the backend's name.
    #[track_caller]
    fn open(&self) -> (String, TcpStream) {
        let stream = client::connect(self.listen()).unwrap();
        (client::read_line(&stream).unwrap(), stream)
    }

    /// A connection to this backend.
    #[track_caller]
    fn open_to(&self, name: &str) -> TcpStream {
        let mut found = None;
        eventually(SOON, &format!("{name} gets a connection"), || {
            found = Some(self.open()).filter(|(tag, _)| tag == name);
            found.is_some()
        });
        found.unwrap().1
    }

    /// Who serves 60 clients.
    #[track_caller]
    fn served_by(&self) -> BTreeSet<String> {
        (0..60).map(|_| self.open().0).collect()
    }

    #[track_caller]
    fn assert_served_by(&self, names: &[&str]) {
        let expected: BTreeSet<_> = names.iter().map(ToString::to_string).collect();
        assert_eq!(self.served_by(), expected, "{}", self.daemon.sluice(["status"]));
    }

    #[track_caller]
    fn state(&self, backend: &str) -> BackendState {
        self.daemon.backend("web", backend).state
    }

    fn kill_and_restart(self) -> Self {
        Self { daemon: self.daemon.kill_and_restart(), ..self }
    }
}

fn tag(at: Loopback, index: u16, name: &str) -> Backend {
    Backend::start(name, at.backend(index), Behaviour::Tag)
}

fn config<'a>(at: Loopback, backends: impl IntoIterator<Item = &'a Backend>) -> Config {
    Config::new().listener("web", at.port(0), "").pool("web", backends, "balance = \"round_robin\"")
}

fn stderr(output: &std::process::Output) -> String {
    String::from_utf8(output.stderr.clone()).unwrap()
}

/// Keeps clients coming, and draining while they do, until all the work is done.
#[test]
fn draining_under_load_costs_no_client_anything() {
    let site = Site::start();
    let (open, mut stream) = site.open();
    // Odd while it is certainly drained.
    let phase = AtomicUsize::new(0);
    let (end, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    let client = || {
        while !end.load(Ordering::SeqCst) {
            let at_start = phase.load(Ordering::SeqCst);
            let (name, mut stream) = site.open();
            stream.write_all(b"hello").unwrap();
            assert_eq!(client::read_bytes(&stream, 5).unwrap(), b"hello");
            let drained = at_start % 2 == 1 && phase.load(Ordering::SeqCst) == at_start;
            assert!(!drained || name != open, "a new connection to the drained {name}");
            served.fetch_add(1, Ordering::SeqCst);
        }
    };
    let more = |count: usize| {
        let enough = served.load(Ordering::SeqCst) + count;
        eventually(SOON, "clients are served", || served.load(Ordering::SeqCst) >= enough);
    };
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4).map(|_| scope.spawn(client)).collect();
        // Ends the clients also where something below panics.
        let _end = Ends(&end);
        for _ in 0..3 {
            more(20);
            site.daemon.sluice(["drain", &format!("web/{open}")]);
            phase.fetch_add(1, Ordering::SeqCst);
            more(100);
            phase.fetch_add(1, Ordering::SeqCst);
            site.daemon.sluice(["undrain", &format!("web/{open}")]);
            drop(site.open_to(&open));
        }
        end.store(true, Ordering::SeqCst);
        clients.into_iter().for_each(|client| client.join().unwrap());
    });
    stream.write_all(b"still here").unwrap();
    assert_eq!(client::read_bytes(&stream, 10).unwrap(), b"still here", "an open connection is not touched");
    let bad = |reason| !matches!(reason, Termination::Finished | Termination::ClientReset);
    let bad: Vec<_> = site.daemon.access_records().into_iter().filter(|record| bad(record.reason)).collect();
    assert!(bad.is_empty(), "{bad:?}");
}

struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::SeqCst);
    }
}

#[test]
fn wait_counts_down_until_the_backend_is_safe_to_stop() {
    let site = Site::start();
    let streams = [site.open_to("b0"), site.open_to("b0")];
    site.backends[0].wait_open(2);
    let mut drain = site.daemon.run(["drain", "--wait", "web/b0"]);
    drain.wait_for(1, "2 connections left");
    let [first, second] = streams;
    drop(first);
    drain.wait_for(1, "1 connection left");
    assert!(drain.is_running());
    drop(second);
    assert!(drain.wait_exit().success(), "{}", drain.printed());
    assert!(drain.printed().contains("safe to stop"), "{}", drain.printed());
    site.backends[0].wait_open(0);
}

#[test]
fn waiting_can_be_given_up_and_the_drain_stays() {
    let site = Site::start();
    let _stream = site.open_to("b0");
    let output = site.daemon.command(["drain", "--wait", "--timeout", "1", "web/b0"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(!String::from_utf8_lossy(&output.stdout).contains("safe to stop"));
    assert!(stderr(&output).contains("connection"), "it says what it waits for: {:?}", stderr(&output));
    assert_eq!(site.state("b0"), BackendState::Draining);
}

#[test]
fn a_backend_that_is_removed_while_it_is_drained_is_not_safe_before_its_connections_are_over() {
    let site = Site::start();
    let mut stream = site.open_to("b2");
    let mut drain = site.daemon.run(["drain", "--wait", "web/b2"]);
    drain.wait_for(1, "left");
    site.daemon.reload(site.config(2));
    // More than two looks of the command, to see that none of them misleads it.
    for _ in 0..15 {
        observe(Duration::from_millis(100));
        assert!(!drain.printed().contains("safe to stop"), "with an open connection:\n{}", drain.printed());
    }
    stream.write_all(b"still here").unwrap();
    assert_eq!(client::read_bytes(&stream, 10).unwrap(), b"still here");
    drop(stream);
    drain.wait_exit();
}

#[test]
fn saying_it_twice_is_the_same_as_saying_it_once() {
    let site = Site::start();
    for command in [&["drain", "web/b0"][..], &["weight", "web/b1", "7"], &["undrain", "web/b0"]] {
        let json = |command: &[&str]| -> Changed {
            let printed = site.daemon.sluice(command.iter().copied().chain(["--json"]));
            serde_json::from_str(&printed).unwrap()
        };
        let told = |changed: Changed| {
            let backend = changed.backends.into_iter().next().unwrap();
            (backend.name, backend.state, backend.weight, backend.r#override, changed.persisted)
        };
        assert_eq!(told(json(command)), told(json(command)), "{command:?}");
    }
    site.daemon.sluice(["weight", "web/b1", "reset"]);
    site.daemon.sluice(["weight", "web/b1", "reset"]);
    site.daemon.sluice(["undrain", "web"]);
    assert!(site.daemon.status().overrides.overrides.is_empty());
    site.assert_served_by(&["b0", "b1", "b2"]);
}

#[test]
fn a_drained_pool_drains_those_that_come_later_but_not_the_exception() {
    let site = Site::start();
    site.daemon.sluice(["drain", "web"]);
    site.daemon.sluice(["undrain", "web/b1"]);
    site.assert_served_by(&["b1"]);
    site.daemon.reload(site.config(4));
    assert_eq!(site.state("b3"), BackendState::Draining, "it came after the drain of its pool");
    site.assert_served_by(&["b1"]);
    let site = site.kill_and_restart();
    site.assert_served_by(&["b1"]);
    site.daemon.sluice(["undrain", "web"]);
    site.assert_served_by(&["b0", "b1", "b2", "b3"]);
    assert!(site.daemon.status().overrides.overrides.is_empty());
}

#[test]
fn a_weight_of_zero_keeps_what_is_open_and_reset_brings_the_configured_one_back() {
    let site = Site::start();
    let mut open = site.open_to("b0");
    site.daemon.sluice(["weight", "web/b0", "0"]);
    assert_eq!(site.state("b0"), BackendState::Disabled);
    site.assert_served_by(&["b1", "b2"]);
    open.write_all(b"still here").unwrap();
    assert_eq!(client::read_bytes(&open, 10).unwrap(), b"still here");
    // A pool's weight is for all of it.
    site.daemon.sluice(["weight", "web", "0"]);
    let ended = client::connect_and_read_to_end(site.at.ip(), site.listen()).unwrap();
    assert_eq!(site.daemon.record_of_refused(&ended).reason, Termination::NoBackend);
    site.daemon.sluice(["weight", "web/b2", "5"]);
    site.assert_served_by(&["b2"]);
    site.daemon.sluice(["weight", "web", "reset"]);
    site.assert_served_by(&["b0", "b1", "b2"]);
}

#[test]
fn connections_follow_the_weights_and_the_status_tells_both() {
    const CLIENTS: usize = 300;

    let site = Site::start();
    site.daemon.sluice(["drain", "web/b2"]);
    site.daemon.sluice(["weight", "web/b0", "4"]);
    let streams: Vec<_> = (0..CLIENTS).map(|_| site.open()).collect();
    let of_b0 = streams.iter().filter(|(name, _)| name == "b0").count();
    assert!(
        of_b0.abs_diff(CLIENTS * 4 / 5) <= CLIENTS / 10,
        "{of_b0} of {CLIENTS}, where 4 of 5 were wanted"
    );
    let told = site.daemon.backend("web", "b0");
    assert_eq!((told.weight, told.configured_weight), (4, 1));
    assert_eq!(told.r#override.unwrap().weight, Some(4));
    assert_eq!(told.connections, of_b0 as u64);
    let status = site.daemon.sluice(["status"]);
    let row = |name: &str| status.lines().find(|line| line.trim_start().starts_with(name)).unwrap();
    assert!(row("b0 ").contains(" 4* "), "an override is marked:\n{status}");
    assert!(row("b1 ").contains(" 1 "), "{status}");
    assert!(row("b2 ").contains("draining") && row("b2 ").contains("drained by hand"), "{status}");
}

#[test]
fn who_is_not_there_is_told_from_who_is() {
    let site = Site::start();
    for command in ["drain", "undrain"] {
        for (target, there) in
            [("wep", vec!["web"]), ("wep/b0", vec!["web"]), ("web/b9", vec!["b0", "b1", "b2"])]
        {
            let output = site.daemon.command([command, target]);
            assert_eq!(output.status.code(), Some(1), "{command} {target}");
            let told = stderr(&output);
            assert!(there.iter().all(|name| told.contains(name)), "{command} {target}: {told}");
        }
    }
    let output = site.daemon.command(["weight", "web/b9", "1"]);
    assert_eq!((output.status.code(), stderr(&output).contains("b2")), (Some(1), true));
    for wrong in
        [&["drain", "web/"][..], &["drain", ""], &["weight", "web/b0", "65536"], &["weight", "web/b0"]]
    {
        let output = site.daemon.command(wrong.iter().copied());
        assert_eq!(output.status.code(), Some(2), "{wrong:?}: {}", stderr(&output));
    }
    assert!(site.daemon.status().overrides.overrides.is_empty(), "nothing has changed");
}

#[test]
fn overrides_survive_reload_and_kill_and_their_file_can_be_read() {
    let site = Site::start();
    site.daemon.sluice(["drain", "web/b0"]);
    site.daemon.reload(site.config(4));
    // The last word before the end.
    site.daemon.sluice(["weight", "web/b1", "0"]);
    let file = site.daemon.home().join("state/overrides");
    let site = site.kill_and_restart();
    let status = site.daemon.status();
    assert!(status.overrides.persisted);
    let set: Vec<_> =
        status.overrides.overrides.into_iter().map(|o| (o.backend, o.drain, o.weight)).collect();
    assert_eq!(set, [(Some("b0".into()), Some(true), None), (Some("b1".into()), None, Some(0))]);
    assert_eq!((site.state("b0"), site.state("b1")), (BackendState::Draining, BackendState::Disabled));
    assert!(site.daemon.backend("web", "b0").reason.unwrap().contains("by hand"));
    site.assert_served_by(&["b2", "b3"]);
    let text = std::fs::read_to_string(&file).unwrap();
    let lines: Vec<_> = text.lines().filter(|line| !line.starts_with('#')).collect();
    assert!(text.starts_with('#'), "it says what it is:\n{text}");
    assert!(lines.len() == 2 && lines[0].starts_with("drain web b0 "), "{text}");
    assert!(lines[1].starts_with("weight web b1 ") && lines[1].contains("=0"), "{text}");
    assert_eq!(std::fs::read_dir(file.parent().unwrap()).unwrap().count(), 1, "no half-written files stay");
}

#[test]
fn what_was_answered_survives_a_kill_at_any_moment() {
    let mut site = Site::start();
    let mut answered = 0;
    for _ in 0..3 {
        let api = site.daemon.api();
        let last = AtomicUsize::new(answered);
        let set_next = || {
            let weight = last.load(Ordering::SeqCst) + 1;
            let body = format!("{{\"pool\": \"web\", \"backend\": \"b0\", \"weight\": {weight}}}");
            api.clone().with(["--fail", "--json", &body]).run("/v1/weight").status.success()
        };
        let restarted = AtomicBool::new(false);
        site = std::thread::scope(|scope| {
            scope.spawn(|| {
                // The first that is not answered is the last.
                while !restarted.load(Ordering::SeqCst) && set_next() {
                    last.fetch_add(1, Ordering::SeqCst);
                }
            });
            let _end = Ends(&restarted);
            eventually(SOON, "weights are set", || last.load(Ordering::SeqCst) >= answered + 5);
            site.kill_and_restart()
        });
        answered = last.into_inner();
        let weight = usize::from(site.daemon.backend("web", "b0").weight);
        assert!([answered, answered + 1].contains(&weight), "{weight}, where {answered} was answered last");
        answered = weight;
    }
}

#[test]
fn a_configured_weight_may_change_below_an_override() {
    let site = Site::start();
    site.daemon.sluice(["weight", "web/b0", "4"]);
    let entries: Vec<_> = site.backends.iter().take(3).map(|backend| backend.entry("weight = 2")).collect();
    let config = Config::new().listener("web", site.at.port(0), "").pool_of("web", &entries, "");
    site.daemon.reload(config);
    let told = site.daemon.backend("web", "b0");
    assert_eq!((told.weight, told.configured_weight), (4, 2));
    site.daemon.sluice(["weight", "web/b0", "reset"]);
    assert_eq!(site.daemon.backend("web", "b0").weight, 2);
}

#[test]
fn who_comes_back_is_still_drained_until_undrained_even_while_away() {
    let site = Site::start();
    site.daemon.sluice(["drain", "web/b2"]);
    site.daemon.reload(site.config(2));
    let kept = site.daemon.status().overrides.overrides.remove(0);
    assert_eq!((kept.backend.as_deref(), kept.drain, kept.exists), (Some("b2"), Some(true), false));
    assert!(site.daemon.sluice(["status"]).contains("web/b2"), "nobody is to be surprised by it");
    site.daemon.reload(site.config(3));
    assert_eq!(site.state("b2"), BackendState::Draining);
    site.assert_served_by(&["b0", "b1"]);
    site.daemon.reload(site.config(2));
    site.daemon.sluice(["undrain", "web/b2"]);
    site.daemon.reload(site.config(3));
    site.assert_served_by(&["b0", "b1", "b2"]);
}

#[test]
fn a_command_for_one_that_is_away_says_what_it_has_done() {
    let site = Site::start();
    site.daemon.sluice(["drain", "web/b2"]);
    site.daemon.sluice(["weight", "web/b2", "3"]);
    site.daemon.reload(site.config(2));
    for command in [&["undrain", "web/b2"][..], &["weight", "web/b2", "reset"]] {
        let told = site.daemon.sluice(command.iter().copied());
        assert!(told.contains("web/b2"), "{command:?} says nothing of it: {told:?}");
    }
    assert!(site.daemon.status().overrides.overrides.is_empty());
    assert_eq!(site.daemon.command(["undrain", "web/b2"]).status.code(), Some(1), "nobody knows it any more");
}

/// An override in a directory where nothing can be written; then one after that was mended.
#[track_caller]
fn assert_in_force_but_not_saved(site: Site, break_directory: impl Fn(&Path), mend: impl Fn(&Path)) {
    let directory = site.daemon.home().join("state");
    break_directory(&directory);
    let printed = site.daemon.sluice(["drain", "web/b1", "--json"]);
    let changed: Changed = serde_json::from_str(&printed).unwrap();
    assert!(!changed.persisted, "{printed}");
    assert_eq!(site.state("b1"), BackendState::Draining);
    assert!(!site.daemon.status().overrides.persisted);
    site.daemon.wait_for_log("what could not be written", |line| {
        line.text.contains("overrides") && line.text.contains(directory.to_str().unwrap())
    });
    mend(&directory);
    // Saying it again is all it takes.
    let changed: Changed = serde_json::from_str(&site.daemon.sluice(["drain", "web/b1", "--json"])).unwrap();
    assert!(changed.persisted && site.daemon.status().overrides.persisted);
    assert_eq!(site.kill_and_restart().state("b1"), BackendState::Draining);
}

/// Writing the overrides is writing to a full disk.
fn fill(directory: &Path) {
    std::fs::create_dir_all(directory).unwrap();
    std::os::unix::fs::symlink("/dev/full", directory.join("overrides.new")).unwrap();
}

#[test]
fn on_a_full_disk_an_override_is_in_force_and_what_was_saved_stays() {
    let site = Site::start();
    site.daemon.sluice(["drain", "web/b0"]);
    let saved = site.daemon.home().join("state/overrides");
    let before = std::fs::read_to_string(&saved).unwrap();
    let mend = |directory: &Path| {
        assert_eq!(std::fs::read_to_string(&saved).unwrap(), before, "the old content stays");
        std::fs::remove_file(directory.join("overrides.new")).unwrap();
    };
    assert_in_force_but_not_saved(site, fill, mend);
}

#[test]
fn in_a_directory_that_is_not_its_own_an_override_is_in_force() {
    let permit = |directory: &Path, mode| {
        std::fs::create_dir_all(directory).unwrap();
        std::fs::set_permissions(directory, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    let site = Site::launch(|launch| {
        permit(launch.home(), 0o777);
        launch.unprivileged()
    });
    let (forbid, allow) = (|directory: &Path| permit(directory, 0o555), |d: &Path| permit(d, 0o777));
    assert_in_force_but_not_saved(site, forbid, allow);
}

#[test]
fn who_has_a_state_directory_is_not_told_to_set_one() {
    let site = Site::start();
    fill(&site.daemon.home().join("state"));
    for told in [site.daemon.sluice(["drain", "web/b1"]), site.daemon.sluice(["status"])] {
        assert!(told.contains("No space left on device"), "the reason is not told:\n{told}");
        assert!(!told.contains("state_dir"), "there is one, but it is full:\n{told}");
    }
}

#[test]
fn without_a_state_directory_overrides_last_as_long_as_the_process() {
    let site = Site::launch(|launch| launch.env("STATE_DIRECTORY", ""));
    let told = site.daemon.sluice(["drain", "web/b0"]);
    assert!(told.contains("state_dir"), "it says how to keep it:\n{told}");
    assert!(site.daemon.sluice(["status"]).contains("state_dir"));
    site.daemon.reload(site.config(4));
    assert_eq!(site.state("b0"), BackendState::Draining);
    let site = site.kill_and_restart();
    site.assert_served_by(&["b0", "b1", "b2", "b3"]);
}

#[test]
fn a_broken_file_keeps_it_from_starting_and_is_named() {
    let at = Loopback::new();
    let backends = [tag(at, 0, "b0")];
    for (content, line) in [
        (&b"drain web b0 @1\n\nnonsense\n"[..], "3"),
        (b"drain web b0 @1\nweight web b0 =many @1\n", "2"),
        (b"drain web b0 @1\xff\n", ""),
    ] {
        let state = tempfile::tempdir().unwrap();
        let file = state.path().join("overrides");
        std::fs::write(&file, content).unwrap();
        let global = format!("state_dir = \"{}\"", state.path().display());
        let mut daemon = Launch::new(config(at, &backends).global(&global)).spawn();
        assert_eq!(daemon.wait_exit(SOON).code(), Some(1), "{}", daemon.log_text());
        let log = daemon.log_text();
        let told = log.lines().find(|line| line.contains(file.to_str().unwrap()));
        let told = told.unwrap_or_else(|| panic!("{} is not named:\n{log}", file.display()));
        assert!(told.contains(&format!("line {line}")) || told.contains(&format!(":{line}")), "{told}");
        assert!(!log.contains("\"ready\""), "{log}");
        assert_eq!(std::fs::read(&file).unwrap(), content, "it is left as it was");
        assert!(!daemon.socket().exists(), "its admin socket is gone with it");
    }
}

#[test]
fn with_every_backend_drained_clients_are_refused_until_one_is_back() {
    let site = Site::start();
    site.daemon.sluice(["drain", "web"]);
    for _ in 0..20 {
        let ended = client::connect_and_read_to_end(site.at.ip(), site.listen()).unwrap();
        let record = site.daemon.record_of_refused(&ended);
        assert_eq!((record.reason, record.backend), (Termination::NoBackend, None));
    }
    assert!(site.backends.iter().all(|backend| backend.accepted() == 0));
    site.daemon.sluice(["undrain", "web/b1"]);
    site.assert_served_by(&["b1"]);
}

/// Two backends with room for one connection each, both taken, and a client in the queue.
fn full() -> (Site, TcpStream, TcpStream, TcpStream) {
    let at = Loopback::new();
    let backends: Vec<_> = (0..).zip(&NAMES[..2]).map(|(index, name)| tag(at, index, name)).collect();
    let entries: Vec<_> = backends.iter().map(|backend| backend.entry("max_connections = 1")).collect();
    let config = Config::new().listener("web", at.port(0), "").pool_of(
        "web",
        &entries,
        "balance = \"round_robin\"\nqueue = { timeout = \"60s\" }",
    );
    let site = Site { at, backends, daemon: Daemon::start(config) };
    let mut served = [site.open(), site.open()];
    served.sort_by(|one, other| one.0.cmp(&other.0));
    let [(_, on_b0), (_, on_b1)] = served;
    let waiting = client::connect(site.listen()).unwrap();
    eventually(SOON, "a client waits", || site.daemon.status().pools.iter().any(|pool| pool.queued == 1));
    (site, on_b0, on_b1, waiting)
}

#[test]
fn who_waits_in_the_queue_is_not_given_to_a_drained_backend() {
    let (site, on_b0, on_b1, waiting) = full();
    site.daemon.sluice(["drain", "web/b0"]);
    drop(on_b0);
    eventually(SOON, "b0 is idle", || site.daemon.backend("web", "b0").connections == 0);
    assert_eq!(site.backends[0].accepted(), 1);
    drop(on_b1);
    assert_eq!(client::read_line(&waiting).unwrap(), "b1");
}

#[test]
fn who_waits_is_served_by_a_backend_that_is_undrained() {
    let (site, on_b0, _on_b1, waiting) = full();
    site.daemon.sluice(["drain", "web/b0"]);
    drop(on_b0);
    eventually(SOON, "b0 is idle", || site.daemon.backend("web", "b0").connections == 0);
    site.daemon.sluice(["undrain", "web/b0"]);
    assert_eq!(client::read_line(&waiting).unwrap(), "b0");
}

#[test]
fn a_hash_moves_the_drained_share_only_and_brings_it_back() {
    const CLIENTS: u16 = 150;

    let at = Loopback::new();
    let backends: Vec<_> = (0..).zip(NAMES).map(|(index, name)| tag(at, index, name)).collect();
    let pool = Config::new().listener("web", at.port(0), "").pool("web", &backends, "balance = \"hash\"");
    let daemon = Daemon::start(pool);
    let mapping = || -> BTreeMap<u16, String> {
        let backend_of = |port| {
            let stream = client::connect_from(SocketAddr::new(at.ip(), port), at.port(0)).unwrap();
            let name = client::read_line(&stream).unwrap();
            // Without a TIME_WAIT, the same four numbers can be used again.
            client::reset(stream);
            (port, name)
        };
        (23_000..23_000 + CLIENTS).map(backend_of).collect()
    };
    let before = mapping();
    assert_eq!(before.values().collect::<BTreeSet<_>>().len(), 4, "everybody has a share");
    daemon.sluice(["drain", "web/b2"]);
    let during = mapping();
    assert!(during.values().all(|name| name != "b2"));
    let others = before.iter().filter(|(_, name)| *name != "b2");
    let moved = others.filter(|(port, name)| during.get(port) != Some(name)).count();
    // Maglev moves a percent or two of the others; taking the hash modulo three instead of four moves three quarters.
    assert!(moved <= usize::from(CLIENTS) / 15, "{moved} clients of others were moved");
    daemon.sluice(["undrain", "web/b2"]);
    assert_eq!(mapping(), before);
}

#[test]
fn a_transfer_that_is_under_way_is_finished_by_the_drained_backend() {
    let at = Loopback::new();
    let backends = [Backend::start("b0", at.backend(0), Behaviour::Linger), tag(at, 1, "b1")];
    let daemon = Daemon::start(config(at, &backends));
    let mut waiting = vec![];
    eventually(SOON, "b0 has a connection", || {
        waiting.push(client::connect(at.port(0)).unwrap());
        backends[0].open() > 0
    });
    daemon.sluice(["drain", "web/b0"]);
    let on_b0 = backends[0].open();
    // Half-closed and all: b0 answers when it has read to the end, and only then.
    let mut served = 0;
    for stream in &waiting {
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        served += usize::from(client::read_line(stream).unwrap() == "b0");
    }
    assert_eq!(served, on_b0);
    let reset = waiting.into_iter().map(client::reset).count();
    assert!(reset >= on_b0);
    assert_eq!(backends[0].wait_ended(on_b0).1, End::Reset);
    eventually(SOON, "b0 is safe to stop", || daemon.backend("web", "b0").connections == 0);
}
