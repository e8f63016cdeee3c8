//! `/metrics`: the numbers are the truth, and Prometheus can read them.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use lb_admin::BackendState;
use lb_model::Termination;
use lb_tests::{
    Backend, Behaviour, Config, Content, Daemon, Exchange, Hang, Launch, Loopback, cli, client, eventually,
    process,
};
use rustix::time::{ClockId, clock_gettime};

const PATIENCE: Duration = Duration::from_secs(20);

/// Seconds since 1970.
fn unix_now() -> f64 {
    Duration::try_from(clock_gettime(ClockId::Realtime)).unwrap().as_secs_f64()
}

/// Everything that a scrape says, by name and labels as they are written.
pub(crate) struct Scrape(BTreeMap<String, f64>);

impl Scrape {
    #[track_caller]
    pub(crate) fn of(daemon: &Daemon) -> Self {
        let text = daemon.metrics();
        let sample = |line: &str| {
            let (series, value) = line.rsplit_once(' ').unwrap();
            (series.to_owned(), value.parse().unwrap())
        };
        let samples = text.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
        Self(samples.map(sample).collect())
    }

    /// A count or a size, which must be there.
    #[track_caller]
    pub(crate) fn count(&self, series: &str) -> u64 {
        let value = self.0.get(series).unwrap_or_else(|| panic!("no {series}"));
        assert!(*value >= 0.0 && value.fract() == 0.0, "{series} is {value}");
        format!("{value:.0}").parse().unwrap()
    }

    /// The values of all series of this name, summed up.
    fn sum(&self, name: &str) -> u64 {
        let of_name = |series: &&String| series.split('{').next() == Some(name);
        self.0.keys().filter(of_name).map(|series| self.count(series)).sum()
    }

    /// The series that have this text in their labels.
    fn with(&self, label: &str) -> Vec<&str> {
        self.0.keys().map(String::as_str).filter(|series| series.contains(label)).collect()
    }
}

/// Waits until a series has this value.
#[track_caller]
fn wait_for(daemon: &Daemon, series: &str, count: u64) {
    let mut last = 0;
    let within = Duration::from_secs(10);
    let deadline = lb_tests::Deadline::after(within);
    while !deadline.passed() {
        last = Scrape::of(daemon).count(series);
        if last == count {
            return;
        }
    }
    panic!("{series} is {last}, not {count}");
}

#[track_caller]
fn open(listen: SocketAddr) -> (String, TcpStream) {
    let stream = client::connect(listen).unwrap();
    (client::read_line(&stream).unwrap(), stream)
}

fn listener(metric: &str) -> String {
    format!("sluice_listener_{metric}{{listener=\"web\"}}")
}

fn backend(metric: &str, name: &str) -> String {
    format!("sluice_backend_{metric}{{pool=\"web\",backend=\"{name}\"}}")
}

#[test]
fn connections_and_bytes_are_counted_exactly() {
    let at = Loopback::new();
    let backends = [0, 1].map(|i| Backend::start(&format!("b{i}"), at.backend(i), Behaviour::Exchange));
    let config = Config::new().listener("web", at.port(0), "");
    let daemon = Daemon::start(config.pool("web", &backends, "balance = \"round_robin\""));
    let (mut bytes_in, mut bytes_out) = (0, 0);
    for seed in 0..24 {
        let exchange = Exchange { seed, up: seed * 10_007, down: 300_000 / (seed + 1) };
        let exchanged = exchange.run(&client::connect(at.port(0)).unwrap()).unwrap();
        bytes_in += exchanged.bytes_in;
        bytes_out += exchanged.bytes_out;
    }
    let records = daemon.wait_for_records(24);
    let scrape = Scrape::of(&daemon);
    assert_eq!(scrape.count(&listener("connections_total")), 24);
    assert_eq!(scrape.count(&listener("in_bytes_total")), bytes_in);
    assert_eq!(scrape.count(&listener("out_bytes_total")), bytes_out);
    assert_eq!(scrape.count(&listener("active_connections")), 0);
    assert_eq!(scrape.count(&listener("connection_duration_seconds_count")), 24);
    assert_eq!(scrape.count(&listener("queue_wait_seconds_count")), 0, "nobody had to");
    assert_eq!(scrape.sum("sluice_worker_connections_total"), 24, "every connection has one worker");
    for b in &backends {
        let name = b.name();
        let of_it: Vec<_> = records.iter().filter(|r| r.backend.as_deref() == Some(name)).collect();
        assert_eq!(scrape.count(&backend("connections_total", name)), b.accepted() as u64);
        assert_eq!(scrape.count(&backend("connect_seconds_count", name)), b.accepted() as u64);
        assert_eq!(scrape.count(&backend("first_byte_seconds_count", name)), b.accepted() as u64);
        let bytes = of_it.iter().fold((0, 0), |(i, o), r| (i + r.bytes_in, o + r.bytes_out));
        assert_eq!(scrape.count(&backend("in_bytes_total", name)), bytes.0);
        assert_eq!(scrape.count(&backend("out_bytes_total", name)), bytes.1);
        assert_eq!(scrape.count(&backend("active_connections", name)), 0);
    }
    // The sum of durations is that of the access records, which are rounded down to microseconds.
    let sum = scrape.0.get(&listener("connection_duration_seconds_sum")).unwrap();
    let recorded = records.iter().map(|record| record.duration_us).sum::<u64>() as f64 / 1e6;
    assert!((sum - recorded).abs() < 0.001, "{sum} s, {recorded} s in the access records");
    let status = daemon.status();
    let shown = status.listeners.first().unwrap();
    assert_eq!((shown.connections_total, shown.bytes_in, shown.bytes_out), (24, bytes_in, bytes_out));
}

#[test]
fn what_is_open_is_counted_while_it_is_open() {
    let at = Loopback::new();
    let b = Backend::start("b", at.backend(0), Behaviour::Tag);
    let config = Config::new().listener("web", at.port(0), "max_connections = 50");
    let daemon = Daemon::start(config.pool_of("web", &[b.entry("max_connections = 40")], ""));
    let streams: Vec<_> = (0..3).map(|_| open(at.port(0)).1).collect();
    let content = Content::new(1).take(70_000);
    for stream in &streams {
        std::thread::scope(|scope| {
            scope.spawn(|| client::read_bytes(stream, content.len()).unwrap());
            (&*stream).write_all(&content).unwrap();
        });
    }
    // The name and its newline come first.
    wait_for(&daemon, &listener("in_bytes_total"), 3 * 70_000);
    wait_for(&daemon, &listener("out_bytes_total"), 3 * 70_002);
    wait_for(&daemon, &backend("in_bytes_total", "b"), 3 * 70_000);
    wait_for(&daemon, &backend("out_bytes_total", "b"), 3 * 70_002);
    let scrape = Scrape::of(&daemon);
    assert_eq!(scrape.count(&listener("active_connections")), 3);
    assert_eq!(scrape.count(&backend("active_connections", "b")), 3);
    assert_eq!(scrape.count(&listener("connection_limit")), 50);
    assert_eq!(scrape.count(&backend("connection_limit", "b")), 40);
    assert_eq!(scrape.sum("sluice_listener_ended_total"), 0);
    drop(streams);
    wait_for(&daemon, &listener("active_connections"), 0);
    wait_for(&daemon, &backend("active_connections", "b"), 0);
    assert_eq!(Scrape::of(&daemon).sum("sluice_listener_ended_total"), 3);
}

/// Connections that end for each of many reasons, and the daemon that they ended at.
struct Ends {
    daemon: Daemon,
    /// How many have ended at each listener, which are named after the reason.
    ended: Vec<Termination>,
    _servers: (Vec<Backend>, Hang),
}

impl Ends {
    fn make() -> Self {
        let at = Loopback::new();
        let start = |i, behaviour| Backend::start("b", at.backend(i), behaviour);
        let (tag, reset, stall) =
            (start(0, Behaviour::Tag), start(1, Behaviour::Reset), start(2, Behaviour::Stall));
        let hang = Hang::start(at.backend(3));
        let refusing = [format!("\"{}\"", at.backend(4))];
        let hung = [format!("\"{}\"", at.backend(3))];
        let small = [stall.entry("max_connections = 1")];
        let zero = [tag.entry("weight = 0")];
        let config = Config::new()
            .listener("finished", at.port(0), "")
            .pool("finished", [&tag], "")
            .listener("denied", at.port(1), "deny = [\"127.0.0.0/8\"]")
            .pool("denied", [&tag], "")
            .listener("client_reset", at.port(2), "")
            .pool("client_reset", [&tag], "")
            .listener("backend_reset", at.port(3), "")
            .pool("backend_reset", [&reset], "")
            .listener("idle_timeout", at.port(4), "idle_timeout = \"100ms\"")
            .pool("idle_timeout", [&stall], "")
            .listener("no_backend", at.port(5), "")
            .pool_of("no_backend", &zero, "")
            .listener("connect_failed", at.port(6), "")
            .pool_of("connect_failed", &refusing, "")
            .listener("connect_timeout", at.port(7), "")
            .pool_of("connect_timeout", &hung, "connect_timeout = \"100ms\"")
            .listener("queue_full", at.port(8), "")
            .pool_of("queue_full", &small, "queue = { limit = 0, timeout = \"60s\" }")
            .listener("queue_timeout", at.port(9), "")
            .pool_of("queue_timeout", &small, "queue = { limit = 9, timeout = \"100ms\" }");
        let daemon = Daemon::start(config);
        let connect = |i| client::connect(at.port(i)).unwrap();
        let end = |stream: TcpStream| drop(client::read_to_end(&stream));

        let mut stream = open(at.port(0)).1;
        stream.write_all(b"x").unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        end(stream);
        let refuse = |i| drop(client::connect_and_read_to_end(at.ip(), at.port(i)).unwrap());
        refuse(1);
        client::reset(open(at.port(2)).1);
        let mut stream = connect(3);
        stream.write_all(b"x").unwrap();
        end(stream);
        refuse(4);
        refuse(5);
        refuse(6);
        refuse(7);
        for (i, pool) in [(8, "queue_full"), (9, "queue_timeout")] {
            let held = connect(i);
            eventually(PATIENCE, "the place is taken", || daemon.backend(pool, "b").connections == 1);
            refuse(i);
            client::reset(held);
        }
        daemon.wait_for_records(12);
        let ended = vec![
            Termination::Finished,
            Termination::Denied,
            Termination::ClientReset,
            Termination::BackendReset,
            Termination::IdleTimeout,
            Termination::NoBackend,
            Termination::ConnectFailed,
            Termination::ConnectTimeout,
            Termination::QueueFull,
            Termination::QueueTimeout,
        ];
        Self { daemon, ended, _servers: (vec![tag, reset, stall], hang) }
    }
}

#[test]
fn every_end_is_counted_by_its_reason() {
    let ends = Ends::make();
    let scrape = Scrape::of(&ends.daemon);
    for reason in &ends.ended {
        let listener = reason.label();
        let of = |reason: Termination| {
            let reason = reason.label();
            scrape
                .count(&format!("sluice_listener_ended_total{{listener=\"{listener}\",reason=\"{reason}\"}}"))
        };
        assert_eq!(of(*reason), 1, "{listener}");
        // Those that held a place were reset by their client.
        let held = u64::from(listener.starts_with("queue"));
        let others: u64 = Termination::ALL.into_iter().filter(|other| other != reason).map(of).sum();
        assert_eq!(others, held, "{listener}");
        let total = format!("sluice_listener_connections_total{{listener=\"{listener}\"}}");
        assert_eq!(scrape.count(&total), 1 + held, "{listener}");
    }
    // The access log says the same.
    let mut recorded = BTreeMap::<_, u64>::new();
    for record in ends.daemon.access_records() {
        *recorded.entry((record.listener, record.reason.label())).or_default() += 1;
    }
    for ((listener, reason), count) in recorded {
        let series = format!("sluice_listener_ended_total{{listener=\"{listener}\",reason=\"{reason}\"}}");
        assert_eq!(scrape.count(&series), count, "{series}");
    }
    let failures = |pool: &str, reason: &str| {
        let start = format!("sluice_backend_connect_failures_total{{pool=\"{pool}\",");
        let reason = format!("reason=\"{reason}\"");
        let series = scrape.with(&reason).into_iter().find(|series| series.starts_with(&start));
        scrape.count(series.unwrap())
    };
    for pool in ["connect_failed", "connect_timeout"] {
        for reason in ["connect_failed", "connect_timeout"] {
            assert_eq!(failures(pool, reason), u64::from(pool == reason), "{pool}: {reason}");
        }
    }
    let waits = "sluice_listener_queue_wait_seconds_count";
    assert_eq!(scrape.count(&format!("{waits}{{listener=\"queue_timeout\"}}")), 1, "it waited, if in vain");
}

#[test]
fn prometheus_accepts_a_scrape() {
    let daemon = Ends::make().daemon;
    let promtool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let mut promtool = match promtool {
        Ok(promtool) => promtool,
        Err(error) => {
            let required = std::env::var_os("SLUICE_REQUIRE_LAB").is_some_and(|v| v == "1");
            assert!(!required, "SLUICE_REQUIRE_LAB=1, but no promtool (Debian: prometheus): {error}");
            return;
        }
    };
    promtool.stdin.take().unwrap().write_all(daemon.metrics().as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    let said = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
    assert!(output.status.success() && said.is_empty(), "{}", String::from_utf8_lossy(&said));
}

/// Names, kinds and labels of the reference page.
fn documented() -> BTreeMap<String, (String, BTreeSet<String>)> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/metrics.md");
    let page = std::fs::read_to_string(page).unwrap();
    let unquote = |text: &str| text.trim().trim_matches('`').to_owned();
    let row = |line: &str| {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let [_, name, kind, labels, ..] = cells.as_slice() else { return None };
        let labels = labels.split(',').map(unquote).filter(|label| !label.is_empty()).collect();
        name.starts_with('`').then(|| (unquote(name), ((*kind).to_owned(), labels)))
    };
    page.lines().filter_map(row).collect()
}

#[test]
fn a_scrape_has_what_the_reference_page_says_and_nothing_else() {
    let at = Loopback::new();
    let b = Backend::start("b", at.backend(0), Behaviour::Tag);
    let config = Config::new().listener("web", at.port(0), "max_connections = 5").pool_of(
        "web",
        &[b.entry("max_connections = 5")],
        "health_check = { type = \"tcp\", interval = \"100ms\" }",
    );
    // Some metrics are of datagrams only, some of requests.
    let config = config.udp_listener("dns", at.port(1), "").pool("dns", [&b], "");
    let config = config.http_listener("site", at.port(2), "").pool("site", [&b], "");
    let daemon = Daemon::start(config);
    eventually(PATIENCE, "it is checked", || daemon.metrics().contains("sluice_backend_check_success{"));
    let text = daemon.metrics();
    let mut found = BTreeMap::<String, (String, BTreeSet<String>)>::new();
    for line in text.lines() {
        if let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' ')) {
            found.insert(name.into(), (kind.into(), BTreeSet::new()));
        }
    }
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        let (name, labels) = line.split_once('{').unwrap_or((line.split(' ').next().unwrap(), ""));
        let of_histogram = ["_bucket", "_sum", "_count"].into_iter().find_map(|end| name.strip_suffix(end));
        let family = of_histogram.filter(|name| found.contains_key(*name)).unwrap_or(name);
        let (_, known) = found.get_mut(family).unwrap_or_else(|| panic!("no TYPE of {line}"));
        let names = labels.split('"').step_by(2).map(|part| part.trim_matches([',', '=', '}', ' ']));
        let label = |name: &&str| !name.is_empty() && *name != "le" && name.parse::<f64>().is_err();
        known.extend(names.map(|part| part.trim_start_matches("} ")).filter(label).map(ToOwned::to_owned));
    }
    let mut documented = documented();
    // There are none without DNS names, and none of XDP as long as no listener is served by it.
    let may_lack =
        |name: &str| ["sluice_discovery_", "sluice_xdp_"].iter().any(|start| name.starts_with(start));
    documented.retain(|name, _| found.contains_key(name) || !may_lack(name));
    for name in found.keys().chain(documented.keys()) {
        let (found, documented) = (found.get(name), documented.get(name));
        let none_yet =
            found.is_some_and(|(_, labels)| labels.is_empty()) && name.starts_with("sluice_discovery_");
        if !none_yet {
            assert_eq!(found, documented, "{name}: in a scrape, and in the reference page");
        }
    }
    // Only Prometheus's own may be without the prefix.
    assert!(found.keys().all(|name| name.starts_with("sluice_") || name.starts_with("process_")));
}

#[test]
fn the_queue_is_measured() {
    let at = Loopback::new();
    let b = Backend::start("b", at.backend(0), Behaviour::Tag);
    let daemon = Daemon::start(Config::new().listener("web", at.port(0), "").pool_of(
        "web",
        &[b.entry("max_connections = 1")],
        "queue = { limit = 7, timeout = \"60s\" }",
    ));
    let held = open(at.port(0)).1;
    let waiting: Vec<_> = (0..3).map(|_| client::connect(at.port(0)).unwrap()).collect();
    let length = "sluice_pool_queue_length{pool=\"web\"}";
    wait_for(&daemon, length, 3);
    let scrape = Scrape::of(&daemon);
    assert_eq!(scrape.count("sluice_pool_queue_limit{pool=\"web\"}"), 7);
    assert_eq!(scrape.count(&listener("active_connections")), 4, "who waits is a client");
    assert_eq!(daemon.status().pools.first().unwrap().queued, 3);
    drop(held);
    std::thread::scope(|scope| {
        for stream in waiting {
            scope.spawn(move || assert_eq!(client::read_line(&stream).unwrap(), "b"));
        }
    });
    wait_for(&daemon, length, 0);
    wait_for(&daemon, &listener("queue_wait_seconds_count"), 3);
    let scrape = Scrape::of(&daemon);
    let infinite = "sluice_listener_queue_wait_seconds_bucket{listener=\"web\",le=\"+Inf\"}";
    assert_eq!(scrape.count(infinite), 3, "the last bucket has them all");
}

const STATES: [&str; 6] = ["active", "standby", "draining", "disabled", "unhealthy", "backing_off"];

/// The state of a backend; it must have exactly one.
#[track_caller]
fn state(scrape: &Scrape, name: &str) -> &'static str {
    let of = |state: &&&str| {
        let series = format!("sluice_backend_state{{pool=\"web\",backend=\"{name}\",state=\"{state}\"}}");
        scrape.count(&series) == 1
    };
    let states: Vec<_> = STATES.iter().filter(of).collect();
    let [state] = states.as_slice() else { panic!("{name} is {states:?}") };
    state
}

#[test]
fn states_of_backends_are_told() {
    let at = Loopback::new();
    let names = ["active", "draining", "disabled", "sick", "refusing", "spare"];
    let mut backends: Vec<_> =
        (0..).zip(names).map(|(i, name)| Backend::start(name, at.backend(i), Behaviour::Tag)).collect();
    backends.iter_mut().filter(|b| matches!(b.name(), "sick" | "refusing")).for_each(Backend::stop);
    let keys = |name: &str| match name {
        "disabled" => "weight = 0",
        "sick" => "health_check = { type = \"tcp\", interval = \"50ms\", fall = 1 }",
        "spare" => "tier = 1",
        // So large that tier 0 is in no need of the spare.
        "active" => "weight = 50",
        _ => "",
    };
    let entries: Vec<_> = backends.iter().map(|b| b.entry(keys(b.name()))).collect();
    let daemon = Daemon::start(Config::new().listener("web", at.port(0), "").pool_of(
        "web",
        &entries,
        "balance = \"round_robin\"\npassive_health = { failures = 1, backoff = \"60s\", max_backoff = \"60s\" }",
    ));
    daemon.sluice(["drain", "web/draining"]);
    daemon.wait_for_state("web", "sick", BackendState::Unhealthy);
    eventually(PATIENCE, "a client meets the one that refuses", || {
        open(at.port(0));
        daemon.backend("web", "refusing").state == BackendState::BackingOff
    });
    let scrape = Scrape::of(&daemon);
    let expected = [
        ("active", "active", 1),
        ("draining", "draining", 1),
        ("disabled", "disabled", 1),
        ("sick", "unhealthy", 0),
        ("refusing", "backing_off", 0),
        ("spare", "standby", 1),
    ];
    for (name, expected, up) in expected {
        assert_eq!(state(&scrape, name), expected);
        assert_eq!(scrape.count(&backend("up", name)), up, "{name}");
        let of_pool = format!("sluice_pool_backends{{pool=\"web\",state=\"{expected}\"}}");
        assert_eq!(scrape.count(&of_pool), 1, "{expected}");
    }
    assert_eq!(scrape.count(&backend("weight", "active")), 50);
    assert_eq!(scrape.count(&backend("weight", "disabled")), 0);
    assert_eq!(scrape.count(&backend("check_success", "sick")), 0);
    assert!(!scrape.0.contains_key(&backend("check_success", "active")), "it is not checked");

    daemon.sluice(["weight", "web/active", "40"]);
    daemon.sluice(["undrain", "web/draining"]);
    let scrape = Scrape::of(&daemon);
    assert_eq!(scrape.count(&backend("weight", "active")), 40, "the one that is set");
    assert_eq!(state(&scrape, "draining"), "active");
}

#[test]
fn reloads_are_counted() {
    let at = Loopback::new();
    let b = Backend::start("b", at.backend(0), Behaviour::Tag);
    let config = |keys: &str| Config::new().listener("web", at.port(0), keys).pool("web", [&b], "");
    let daemon = Daemon::start(config(""));
    let numbers = || {
        let scrape = Scrape::of(&daemon);
        [
            "sluice_config_reloads_total{result=\"applied\"}",
            "sluice_config_reloads_total{result=\"refused\"}",
            "sluice_config_last_reload_success",
            "sluice_config_generation",
        ]
        .map(|series| scrape.count(series))
    };
    let epoch = || Scrape::of(&daemon).count("sluice_view_epoch");
    assert_eq!(numbers(), [0, 0, 1, 1]);
    let first = epoch();

    daemon.reload(config("max_connections = 9"));
    assert_eq!(numbers(), [1, 0, 1, 2]);
    assert!(epoch() > first);
    let second = epoch();

    daemon.configure("nonsense");
    assert!(!daemon.command(["reload"]).status.success());
    assert_eq!(numbers(), [1, 1, 0, 2]);
    assert_eq!(epoch(), second, "nothing has changed");

    daemon.reload(config("max_connections = 9"));
    assert_eq!(numbers(), [2, 1, 1, 2], "a reload that changes nothing is one all the same");

    let now = unix_now();
    let applied = daemon.metric("sluice_config_applied_timestamp_seconds");
    assert!((now - 120.0..=now + 1.0).contains(&applied), "{applied}, and now it is {now}");
    assert_eq!(Scrape::of(&daemon).count("sluice_config_warnings"), 0);

    // A pool that nobody uses is worth a warning.
    daemon.reload(config("max_connections = 9").pool("unused", [&b], ""));
    assert_eq!(Scrape::of(&daemon).count("sluice_config_warnings"), 1);
}

#[test]
fn what_a_reload_removes_is_gone_and_what_it_keeps_counts_on() {
    let at = Loopback::new();
    let backends = [0, 1].map(|i| Backend::start(&format!("b{i}"), at.backend(i), Behaviour::Tag));
    let [kept, removed] = &backends;
    let config = |both: &[&Backend], keys: &str| {
        let lines = format!("balance = \"round_robin\"\n{keys}");
        Config::new().listener("web", at.port(0), keys_of_listener(keys)).pool("web", both.to_vec(), &lines)
    };
    let with_old = config(&[kept, removed], "").listener("old", at.port(1), "").pool("old", [removed], "");
    let daemon = Daemon::start(with_old);
    for _ in 0..20 {
        open(at.port(0));
        open(at.port(1));
    }
    daemon.wait_for_records(40);
    let before = Scrape::of(&daemon);
    let on_kept = before.count(&backend("connections_total", "b0"));
    assert!(on_kept > 0 && before.count(&backend("connections_total", "b1")) > 0);

    // Everything of what stays is changed that can be.
    daemon.reload(config(&[kept], "connect_timeout = \"1s\""));
    let after = Scrape::of(&daemon);
    for gone in ["listener=\"old\"", "pool=\"old\"", "backend=\"b1\""] {
        assert!(after.with(gone).is_empty(), "{:?}", after.with(gone));
    }
    for series in [listener("connections_total"), listener("connection_duration_seconds_count")] {
        assert_eq!(after.count(&series), 20, "{series}");
    }
    assert_eq!(after.count(&backend("connections_total", "b0")), on_kept);
    assert_eq!(after.sum("sluice_worker_connections_total"), 40);

    open(at.port(0));
    daemon.wait_for_records(41);
    let last = Scrape::of(&daemon);
    assert_eq!(last.count(&listener("connections_total")), 21);
    assert_eq!(last.count(&backend("connections_total", "b0")), on_kept + 1);
}

/// Lines for the listener: other ones where the pool has some.
fn keys_of_listener(of_pool: &str) -> &'static str {
    if of_pool.is_empty() { "" } else { "idle_timeout = \"1m\"\nkeepalive = \"30s\"" }
}

#[test]
fn the_process_is_described() {
    let at = Loopback::new();
    let b = Backend::start("b", at.backend(0), Behaviour::Tag);
    let daemon = Launch::new(Config::new().listener("web", at.port(0), "").pool("web", [&b], ""))
        .fd_limits(1500, 3000)
        .start();
    let scrape = Scrape::of(&daemon);
    let pid = daemon.pid();
    let close = |metric: &str, truth: u64, by: u64| {
        let value = scrape.count(metric);
        assert!(value.abs_diff(truth) <= by, "{metric} is {value}, not about {truth}");
    };
    // The scrape itself takes a socket or two.
    close("process_open_fds", process::open_fds(pid) as u64, 6);
    close("process_max_fds", 3000, 0);
    let resident = process::resident_bytes(pid);
    close("process_resident_memory_bytes", resident, resident / 4);
    assert!(scrape.count("process_virtual_memory_bytes") > scrape.count("process_resident_memory_bytes"));
    let threads = std::fs::read_dir(format!("/proc/{}/task", pid.as_raw_pid())).unwrap().count() as u64;
    close("process_threads", threads, 2);
    let cpu = scrape.0.get("process_cpu_seconds_total").unwrap();
    assert!((*cpu - process::cpu_time(pid).as_secs_f64()).abs() < 1.0, "{cpu}");
    let now = unix_now();
    let started = scrape.0.get("process_start_time_seconds").unwrap();
    assert!((now - 120.0..=now + 1.0).contains(started), "{started}, and now it is {now}");

    let version = String::from_utf8(cli::sluice(["version"]).stdout).unwrap();
    let number = daemon.status().version;
    assert!(version.contains(&number), "{version}");
    assert_eq!(scrape.count(&format!("sluice_build_info{{version=\"{number}\"}}")), 1);
    for worker in 0..4 {
        scrape.count(&format!("sluice_worker_connections_total{{worker=\"{worker}\"}}"));
    }
}

#[test]
fn scraping_under_load_costs_nobody_anything() {
    let at = Loopback::new();
    let backends = [0, 1].map(|i| Backend::start(&format!("b{i}"), at.backend(i), Behaviour::Exchange));
    let config = Config::new().listener("web", at.port(0), "");
    let daemon = Daemon::start(config.pool("web", &backends, "balance = \"least_connections\""));
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let clients: Vec<_> = (0..4)
            .map(|thread| {
                scope.spawn(move || {
                    for seed in 0..40 {
                        let exchange = Exchange { seed: thread * 40 + seed, up: 20_000, down: 20_000 };
                        exchange.run(&client::connect(at.port(0)).unwrap()).unwrap();
                    }
                })
            })
            .collect();
        let scraper = scope.spawn(|| {
            let counters =
                [listener("connections_total"), listener("in_bytes_total"), listener("out_bytes_total")];
            let mut before = [0; 3];
            let mut scrapes = 0;
            while !done.load(Ordering::Relaxed) || scrapes < 3 {
                let scrape = Scrape::of(&daemon);
                let now = counters.each_ref().map(|series| scrape.count(series));
                assert!(
                    now.iter().zip(&before).all(|(now, before)| now >= before),
                    "{before:?}, then {now:?}"
                );
                assert!(scrape.count(&listener("active_connections")) <= 4 + 1);
                before = now;
                scrapes += 1;
            }
        });
        let clients: Vec<_> = clients.into_iter().map(std::thread::ScopedJoinHandle::join).collect();
        done.store(true, Ordering::Relaxed);
        scraper.join().unwrap();
        clients.into_iter().for_each(|client| client.unwrap());
    });
    let records = daemon.wait_for_records(160);
    assert!(records.iter().all(|record| record.reason == Termination::Finished && record.tries == 1));
    assert_eq!(Scrape::of(&daemon).count(&listener("connections_total")), 160);
}
