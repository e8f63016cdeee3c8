//! `sluice plan`: what a reload would do, before it does it.

use lb_admin::{ChangeKind, Plan};
use lb_tests::{Backend, Behaviour, Config, Daemon, Loopback};

use super::{assert_refuses, listener, served_by};

struct Site {
    at: Loopback,
    backends: Vec<Backend>,
}

impl Site {
    fn new() -> Self {
        let at = Loopback::new();
        let start = |i: u16| Backend::start(&format!("b{i}"), at.backend(i), Behaviour::Tag);
        Self { at, backends: (0..5).map(start).collect() }
    }

    /// `web` and `old`.
    fn before(&self) -> String {
        let [b0, b1, b2, b3, _] = self.backends.as_slice() else { unreachable!("there are five") };
        let pools =
            Config::new().pool("web", [b0, b1, b2, b3], "").pool("old", [b0], "balance = \"round_robin\"");
        let listeners =
            [listener("web", &[self.at.port(0)], "web", ""), listener("old", &[self.at.port(1)], "old", "")];
        format!("{pools}{}", listeners.concat())
    }

    /// `web` with another set of backends and other settings, and `new` instead of `old`.
    fn after(&self) -> String {
        let [_, b1, b2, b3, b4] = self.backends.as_slice() else { unreachable!("there are five") };
        let entries = [b1.entry("weight = 3"), b2.entry(""), b3.entry(""), b4.entry("")];
        let pools = Config::new()
            .global("drain_timeout = \"7s\"\nmax_connections = 5000")
            .pool_of("web", &entries, "connect_timeout = \"1s\"\nqueue = { limit = 7, timeout = \"10s\" }")
            .pool("new", [b4], "");
        let listeners = [
            listener(
                "web",
                &[self.at.port(0), self.at.port(2)],
                "web",
                "idle_timeout = \"42s\"\nkeepalive = \"off\"",
            ),
            listener("new", &[self.at.port(3)], "new", ""),
        ];
        format!("{pools}{}", listeners.concat())
    }
}

fn json(daemon: &Daemon) -> Plan {
    serde_json::from_str(&daemon.sluice(["plan", "--json"])).unwrap()
}

/// Catches: a kind of change that a plan does not mention, or mentions in other words than the configuration has.
#[test]
fn it_names_listeners_pools_backends_timeouts_and_the_share_that_moves() {
    let site = Site::new();
    let daemon = Daemon::start(site.before());
    daemon.configure(site.after());
    let text = daemon.sluice(["plan"]);
    let at = |i| site.at.port(i);
    for expected in [
        "listeners\n".to_owned(),
        "  - old\n".into(),
        "  + new\n".into(),
        format!("bind: {} → {} {}", at(0), at(0), at(2)),
        "idle_timeout: ".into(),
        "42s".into(),
        "keepalive: ".into(),
        "pools\n".into(),
        "connect_timeout: 5s → 1s".into(),
        "queue.limit: 1024 → 7".into(),
        "      - b0\n".into(),
        "      + b4\n".into(),
        "      ~ b1: weight: 1 → 3\n".into(),
        "% of the clients get another backend".into(),
        "global\n".into(),
        "drain_timeout: 30s → 7s".into(),
        "max_connections: auto → 5000".into(),
    ] {
        assert!(text.contains(&expected), "{expected:?} is not in\n{text}");
    }
    assert!(!text.contains("b2") && !text.contains("b3"), "they stay as they are:\n{text}");

    let plan = json(&daemon);
    let kinds = |name: &str| {
        let listener = plan.listeners.iter().find(|listener| listener.name == name).map(|l| l.kind);
        let pool = plan.pools.iter().find(|pool| pool.name == name).map(|p| p.kind);
        (listener.unwrap(), pool.unwrap())
    };
    assert!(plan.changed && plan.needs_restart.is_empty());
    assert_eq!(kinds("old"), (ChangeKind::Removed, ChangeKind::Removed));
    assert_eq!(kinds("new"), (ChangeKind::Added, ChangeKind::Added));
    assert_eq!(kinds("web"), (ChangeKind::Changed, ChangeKind::Changed));
    let web = plan.pools.iter().find(|pool| pool.name == "web").unwrap();
    // b0's quarter has to go elsewhere; b1 gets half of all, of which it had a quarter.
    let moved = web.moved_share.unwrap();
    assert!((0.3..0.7).contains(&moved), "{moved}");
}

/// Catches: a share that is not that of the clients: one of four backends goes, and whoever it served has to move, nobody
/// else.
#[test]
fn the_share_that_moves_is_what_has_to() {
    let site = Site::new();
    let web = |backends: &[Backend]| {
        Config::new().listener("web", site.at.port(0), "").pool("web", backends, "balance = \"hash\"")
    };
    let daemon = Daemon::start(web(&site.backends[..4]));
    daemon.configure(web(&site.backends[..3]));
    let moved = json(&daemon).pools[0].moved_share.unwrap();
    assert!((0.24..0.30).contains(&moved), "{moved}");
    // Only the order in the file.
    let mut entries: Vec<_> = site.backends[..4].iter().map(|backend| backend.entry("")).collect();
    entries.reverse();
    let reversed =
        Config::new().listener("web", site.at.port(0), "").pool_of("web", &entries, "balance = \"hash\"");
    daemon.configure(reversed);
    let plan = json(&daemon);
    let moved = plan.pools.first().and_then(|pool| pool.moved_share).unwrap_or_default();
    assert_eq!(moved, 0.0, "order does not matter: {plan:?}");
}

/// Catches: words that no configuration has, so that nobody can look them up.
#[test]
fn values_are_written_as_in_a_configuration() {
    let site = Site::new();
    let daemon = Daemon::start(site.before());
    let text = site.before().replace("workers = 4", "workers = 2\nmax_connections = 100\nwatch = true");
    let text = text.replace("balance = \"round_robin\"", "balance = \"least_connections\"");
    daemon.configure(
        text.replace("pool = \"web\"", "pool = \"web\"\nkeepalive = \"off\"\nidle_timeout = \"off\""),
    );
    let text = daemon.sluice(["plan"]);
    for expected in [
        "balance: round_robin → least_connections",
        "workers: 4 → 2",
        "max_connections: auto → 100",
        "watch: false → true",
        "keepalive: 1m → off",
        "idle_timeout: 10m → off",
    ] {
        assert!(text.contains(expected), "{expected:?} is not in\n{text}");
    }
}

/// Catches: a plan that leaves something behind: a port that it tried, a generation, a backend, a slot.
#[test]
fn it_changes_nothing() {
    let site = Site::new();
    let daemon = Daemon::start(site.before());
    let sockets = super::listeners::sockets(&daemon);
    let before = daemon.status();
    daemon.configure(site.after());
    let first = daemon.sluice(["plan"]);
    for _ in 0..3 {
        assert_eq!(daemon.sluice(["plan"]), first, "and always says the same");
    }
    let after = daemon.status();
    assert_eq!((after.generation, after.epoch), (before.generation, before.epoch));
    assert_eq!((&after.listeners, after.pools.len()), (&before.listeners, before.pools.len()));
    assert_eq!(after.last_reload, None, "a plan is no reload");
    assert_eq!(super::reloads(&daemon, "applied"), 0.0);
    assert_eq!(super::listeners::sockets(&daemon), sockets);
    assert_refuses(site.at.port(3));
    assert_eq!(served_by(site.at.port(1)), "b0");
}

/// Catches: a plan that is made in another way than the reload that it is about.
#[test]
fn a_reload_does_what_the_plan_said() {
    let site = Site::new();
    let daemon = Daemon::start(site.before());
    for text in [site.after(), site.before()] {
        daemon.configure(text);
        let plan = daemon.sluice(["plan"]);
        let planned = json(&daemon);
        let output = daemon.sluice(["reload", "--json"]);
        let reloaded: lb_admin::Reloaded = serde_json::from_str(&output).unwrap();
        assert_eq!(reloaded.plan, planned);
        assert!(plan.len() > 100, "{plan}");
        assert_eq!(daemon.sluice(["plan"]), "nothing would change\n");
        assert!(!json(&daemon).changed);
    }
    daemon.configure(site.after());
    let plan = daemon.sluice(["plan"]);
    assert_eq!(daemon.sluice(["reload"]), format!("{plan}reloaded: generation 4\n"));
    let names: Vec<_> = daemon.status().listeners.into_iter().map(|listener| listener.name).collect();
    assert_eq!(names, ["new", "web"]);
    assert_eq!(served_by(site.at.port(3)), "b4");
    assert_refuses(site.at.port(1));
}

/// Catches: a plan of a file that is no good which succeeds, counts as a refused reload, or does not say where.
#[test]
fn of_a_file_that_is_no_good_it_says_why() {
    let site = Site::new();
    let daemon = Daemon::start(site.before());
    let text = site.before().replace("protocol = \"tcp\"", "protocol = \"tpc\"");
    let line = 1 + text.lines().position(|line| line.contains("tpc")).unwrap();
    daemon.configure(text);
    for arguments in [&["plan"][..], &["plan", "--json"]] {
        let output = daemon.command(arguments.iter().copied());
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(output.stdout.is_empty());
        assert!(error.contains(&format!("sluice.toml:{line}:12: ")), "{error}");
        assert!(!error.contains("old configuration stays"), "nobody wanted to change it: {error}");
    }
    assert_eq!(daemon.metric("sluice_config_last_reload_success"), 1.0);
    assert_eq!(super::reloads(&daemon, "refused"), 0.0);
    assert!(daemon.status().last_reload.is_none());
}
