//! Backends that are DNS names, at a name server of the test.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use lb_admin::{BackendState, HealthStatus};
use lb_model::Termination;
use lb_tests::{
    Backend, Behaviour, Config, Daemon, LogLine, Loopback, NameServer, Page, Records, Service, WebServer,
    client, eventually,
};

const SOON: Duration = Duration::from_secs(20);

/// The port of all backends that are found by A records.
const PORT: u16 = 21_000;
const NAME: &str = "web.example";
const QUESTION: &str = "A web.example";

/// Names are asked for about as often as the settings allow.
const QUICK: &str = "min_ttl = \"50ms\", max_ttl = \"200ms\"";

/// Backends at addresses of their own that all have one port, and a name server.
struct Site {
    at: Loopback,
    dns: NameServer,
    backends: Vec<Backend>,
}

impl Site {
    /// With so many backends, none of which the name server knows yet.
    fn new(count: usize) -> Self {
        let at = Loopback::new();
        let dns = NameServer::start(at.port(53));
        let backend = |i| Backend::start(&format!("b{i}"), Loopback::new().backend(0), Behaviour::Tag);
        Self { at, dns, backends: (0..count).map(backend).collect() }
    }

    /// A pool whose backends are what [`NAME`] stands for; `discovery` are keys of that table.
    fn config(&self, discovery: &str, lines: &str) -> Config {
        self.config_of(&[format!("\"{NAME}:{PORT}\"")], discovery, lines)
    }

    fn config_of(&self, entries: &[String], discovery: &str, lines: &str) -> Config {
        let pool = format!("balance = \"round_robin\"\ndiscovery = {{ {discovery} }}\n{lines}");
        self.base().listener("web", self.at.port(0), "").pool_of("web", entries, &pool)
    }

    fn base(&self) -> Config {
        Config::new().global(&format!("nameservers = [\"{}\"]", self.dns.address()))
    }

    /// Makes [`NAME`] stand for the backends with these numbers.
    fn publish(&self, numbers: &[usize]) {
        let ips: Vec<_> = numbers.iter().map(|&i| self.ip(i)).collect();
        self.dns.addresses(NAME, &ips);
    }

    fn ip(&self, number: usize) -> IpAddr {
        self.backends.get(number).expect("there are as many as were asked for").address().ip()
    }

    /// What the daemon calls the backend with this number.
    fn name(&self, number: usize) -> String {
        SocketAddr::new(self.ip(number), PORT).to_string()
    }

    fn connect(&self) -> String {
        client::read_line(&client::connect(self.at.port(0)).unwrap()).unwrap()
    }

    /// Who serves a good number of clients.
    fn served(&self) -> BTreeSet<String> {
        (0..20).map(|_| self.connect()).collect()
    }

    /// Waits until `sluice status` has exactly the backends with these numbers.
    #[track_caller]
    fn wait_for(&self, daemon: &Daemon, numbers: &[usize]) {
        let expected: BTreeSet<_> = numbers.iter().map(|&i| self.name(i)).collect();
        eventually(SOON, &format!("the backends are {expected:?}"), || names(daemon, "web") == expected);
    }
}

fn names(daemon: &Daemon, pool: &str) -> BTreeSet<String> {
    let pools = daemon.status().pools.into_iter().filter(|status| status.name == pool);
    // One that was removed is shown for as long as it has connections.
    let removed = |reason: &String| reason.starts_with("removed");
    let backends = pools.flat_map(|pool| pool.backends).filter(|b| !b.reason.as_ref().is_some_and(removed));
    backends.map(|backend| backend.name).collect()
}

fn set(names: &[&str]) -> BTreeSet<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}

/// How the name of the pool `web` stands.
fn state(daemon: &Daemon) -> String {
    daemon.status().discovery.remove(0).state
}

fn says(line: &LogLine, message: &str) -> bool {
    line.field("message").is_some_and(|said| said.contains(message))
}

fn count(daemon: &Daemon, message: &str) -> usize {
    daemon.log_text().lines().filter(|line| line.contains(message)).count()
}

#[test]
fn every_address_of_a_name_is_a_backend() {
    let site = Site::new(3);
    site.publish(&[2, 0, 1]);
    let config = site.config_of(
        &[format!(
            "{{ address = \"{NAME}:{PORT}\", weight = 3, max_connections = 50, zone = \"a\", tier = 2 }}"
        )],
        QUICK,
        "",
    );
    let daemon = Daemon::start(config);
    // They are there when it is ready.
    assert_eq!(site.served(), set(&["b0", "b1", "b2"]));
    let pool = daemon.status().pools.remove(0);
    assert_eq!(pool.backends.len(), 3);
    for backend in &pool.backends {
        assert_eq!(backend.name, backend.address);
        assert_eq!(backend.discovered_by.as_deref(), Some("web.example:21000"));
        assert_eq!((backend.configured_weight, backend.max_connections), (3, Some(50)));
        assert_eq!((backend.zone.as_deref(), backend.tier), (Some("a"), 2));
    }
    let discovery = daemon.status().discovery;
    let [discovery] = discovery.as_slice() else { panic!("one name: {discovery:?}") };
    assert_eq!(
        (discovery.pool.as_str(), discovery.query.as_str(), discovery.answers),
        ("web", "web.example:21000", 3)
    );
    assert!(discovery.state.starts_with("resolved"), "{discovery:?}");
    let labels = "{pool=\"web\",query=\"web.example:21000\"}";
    assert_eq!(daemon.metric(&format!("sluice_discovery_answers{labels}")), 3.0);
    assert_eq!(daemon.metric(&format!("sluice_discovery_failing_seconds{labels}")), 0.0);
    let text = daemon.sluice(["status"]);
    assert!(text.contains("web.example:21000"), "{text}");
}

#[test]
fn backends_come_and_go_with_the_answers() {
    let site = Site::new(3);
    site.publish(&[0, 1]);
    let daemon = Daemon::start(site.config(QUICK, ""));
    assert_eq!(site.served(), set(&["b0", "b1"]));
    let mut old = client::connect(site.at.port(0)).unwrap();
    while client::read_line(&old).unwrap() != "b0" {
        old = client::connect(site.at.port(0)).unwrap();
    }
    let counted = daemon.backend("web", &site.name(1)).connections_total;
    site.publish(&[1, 2]);
    site.wait_for(&daemon, &[1, 2]);
    assert_eq!(site.served(), set(&["b1", "b2"]));
    old.write_all(b"still here").unwrap();
    assert_eq!(client::read_bytes(&old, 10).unwrap(), b"still here", "it outlives its backend's name");
    assert_eq!(daemon.status().generation, 1, "this is no reload");
    assert!(daemon.backend("web", &site.name(1)).connections_total >= counted + 5, "what stays is the same");
    let line = daemon.wait_for_log("the change", |line| {
        says(line, "name has other endpoints") && line.field("removed") == Some(&site.name(0))
    });
    assert_eq!(line.field("added"), Some(site.name(2).as_str()), "{}", line.text);
    let client = old.local_addr().unwrap();
    drop(old);
    let record = daemon.wait_for_record(client);
    assert_eq!((record.reason, record.backend), (Termination::Finished, Some(site.name(0))));
}

#[test]
fn the_order_of_an_answer_means_nothing() {
    let site = Site::new(3);
    site.publish(&[0, 1, 2]);
    let daemon = Daemon::start(site.config(QUICK, ""));
    let epoch = daemon.status().epoch;
    for order in [[2, 1, 0], [1, 0, 2]] {
        site.publish(&order);
        site.dns.wait_asked_again(QUESTION, 3);
    }
    assert_eq!(daemon.status().epoch, epoch);
    assert_eq!(count(&daemon, "name has other endpoints"), 0);
}

#[test]
fn services_have_ports_weights_and_priorities() {
    let at = Loopback::new();
    let dns = NameServer::start(at.port(53));
    let backends = [0, 1, 2].map(|i| Backend::start(&format!("b{i}"), at.backend(i), Behaviour::Tag));
    let service = |priority, weight, i: usize| Service {
        priority,
        weight,
        port: backends[i].address().port(),
        target: "host.example".into(),
    };
    dns.addresses("host.example", &[at.ip()]);
    dns.set(
        "_web._tcp.example",
        Records::Services(0, vec![service(10, 3, 0), service(10, 1, 1), service(20, 1, 2)]),
    );
    let entry = "{ srv = \"_web._tcp.example\", weight = 2, tier = 1 }".to_owned();
    let pool = format!(
        "balance = \"round_robin\"\ndiscovery = {{ {QUICK} }}\npassive_health = {{ failures = 1, backoff = \"60s\", max_backoff = \"60s\" }}"
    );
    let config = Config::new().global(&format!("nameservers = [\"{}\"]", dns.address()));
    let daemon = Daemon::start(config.listener("web", at.port(0), "").pool_of("web", &[entry], &pool));
    let connect = || client::read_line(&client::connect(at.port(0)).unwrap()).unwrap();
    let served: Vec<_> = (0..40).map(|_| connect()).collect();
    let of = |name: &str| served.iter().filter(|served| *served == name).count();
    // Each worker takes its turns by itself.
    assert!((26..=34).contains(&of("b0")) && of("b2") == 0, "3 to 1: {served:?}");
    let seen = |i: usize| {
        let backend = daemon.backend("web", &backends[i].address().to_string());
        (backend.configured_weight, backend.tier, backend.state, backend.discovered_by)
    };
    let by = || Some("srv _web._tcp.example".to_owned());
    assert_eq!(seen(0), (6, 1, BackendState::Active, by()));
    assert_eq!(seen(1), (2, 1, BackendState::Active, by()));
    assert_eq!(seen(2), (2, 2, BackendState::Standby, by()));
    let labels = "{pool=\"web\",query=\"srv _web._tcp.example\"}";
    assert_eq!(daemon.metric(&format!("sluice_discovery_answers{labels}")), 3.0);
    // Those of the first priority go: the next gets everything, and is first itself.
    dns.set("_web._tcp.example", Records::Services(0, vec![service(20, 1, 2)]));
    eventually(SOON, "only the last is left", || names(&daemon, "web").len() == 1);
    assert_eq!(seen(2), (2, 1, BackendState::Active, by()));
    assert_eq!(connect(), "b2");
    // A service that is declared not available is one without an answer: it is kept.
    let gone = Service { priority: 0, weight: 0, port: 0, target: ".".into() };
    dns.set("_web._tcp.example", Records::Services(0, vec![gone]));
    daemon.wait_for_log("why", |line| {
        line.field("reason").is_some_and(|reason| reason.contains("declared not available"))
    });
    assert_eq!(connect(), "b2");
}

#[test]
fn answers_are_good_for_their_ttl_within_bounds() {
    let site = Site::new(1);
    let ip = site.ip(0);
    // The TTL says at once, the bound an hour; the TTL says an hour, the bound a moment; and the other way round.
    let names = [
        ("floor.example", 0, "min_ttl = \"1h\", max_ttl = \"1h\"", true),
        ("ceiling.example", 3600, "min_ttl = \"10ms\", max_ttl = \"50ms\"", false),
        ("long.example", 3600, "min_ttl = \"10ms\", max_ttl = \"1h\"", true),
        ("short.example", 1, "min_ttl = \"10ms\", max_ttl = \"1h\"", false),
    ];
    let mut config = site.base().listener("floor", site.at.port(0), "");
    for (name, ttl, discovery, _) in names {
        site.dns.set(name, Records::Addresses(ttl, vec![ip]));
        let pool = name.split('.').next().unwrap();
        config =
            config.pool_of(pool, &[format!("\"{name}:{PORT}\"")], &format!("discovery = {{ {discovery} }}"));
    }
    let _daemon = Daemon::start(config);
    site.dns.wait_asked_again("A short.example", 1);
    site.dns.wait_asked_again("A ceiling.example", 10);
    for (name, _, discovery, once) in names {
        // A packet that is late is sent again.
        let asked = site.dns.asked(&format!("A {name}"));
        assert!(!once || asked <= 3, "{name} with {discovery}: {asked} times");
    }
}

/// What can come instead of an answer.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    NoName,
    NoAddress,
    Failure,
    Down,
}

impl Trouble {
    fn begin(self, site: &mut Site) {
        match self {
            Self::NoName => site.dns.remove(NAME),
            Self::NoAddress => site.publish(&[]),
            Self::Failure => site.dns.set(NAME, Records::Failure),
            Self::Down => site.dns.stop(),
        }
    }

    /// What the log and `sluice status` say of it.
    fn reason(self) -> &'static str {
        match self {
            Self::NoName => "NXDOMAIN",
            Self::NoAddress => "NODATA",
            Self::Failure => "SERVFAIL",
            Self::Down => "no answer within",
        }
    }

    fn end(self, site: &mut Site) {
        if let Self::Down = self {
            site.dns.restart();
        }
        site.publish(&[0, 1]);
    }
}

fn the_last_answer_is_kept(trouble: Trouble) {
    let mut site = Site::new(2);
    site.publish(&[0, 1]);
    let daemon = Daemon::start(site.config(&format!("{QUICK}, keep = \"1h\""), ""));
    let labels = "{pool=\"web\",query=\"web.example:21000\"}";
    let failing = format!("sluice_discovery_failing_seconds{labels}");
    trouble.begin(&mut site);
    let line = daemon.wait_for_log("a warning", |line| {
        line.field("level") == Some("WARN") && line.field("query").is_some()
    });
    assert!(line.field("reason").is_some_and(|reason| reason.contains(trouble.reason())), "{}", line.text);
    eventually(SOON, "it goes on failing", || daemon.metric(&failing) > 0.3);
    assert_eq!(site.served(), set(&["b0", "b1"]));
    let state = state(&daemon);
    assert!(state.contains(trouble.reason()) && state.contains("the last answer is kept for 3"), "{state}");
    assert_eq!(daemon.metric(&format!("sluice_discovery_answers{labels}")), 2.0);
    trouble.end(&mut site);
    daemon.wait_for_log("the recovery", |line| says(line, "name resolves again"));
    assert_eq!(daemon.metric(&failing), 0.0);
    assert_eq!(count(&daemon, "\"level\":\"WARN\""), 1, "not one for each try");
    assert_eq!(site.served(), set(&["b0", "b1"]));
}

#[test]
fn while_a_name_does_not_exist_the_last_answer_is_kept() {
    the_last_answer_is_kept(Trouble::NoName);
}

#[test]
fn while_a_name_has_no_address_the_last_answer_is_kept() {
    the_last_answer_is_kept(Trouble::NoAddress);
}

#[test]
fn while_the_name_server_fails_the_last_answer_is_kept() {
    the_last_answer_is_kept(Trouble::Failure);
}

#[test]
fn while_the_name_server_is_down_the_last_answer_is_kept() {
    the_last_answer_is_kept(Trouble::Down);
}

#[test]
fn an_answer_that_stays_away_is_dropped_in_the_end() {
    let site = Site::new(1);
    site.publish(&[0]);
    let daemon = Daemon::start(site.config(&format!("{QUICK}, keep = \"700ms\""), ""));
    let old = client::connect(site.at.port(0)).unwrap();
    assert_eq!(client::read_line(&old).unwrap(), "b0");
    site.dns.remove(NAME);
    daemon.wait_for_log("that it is gone", |line| says(line, "name has no address any more"));
    let kept = daemon.wait_for_log("that it was kept", |line| {
        line.field("reason").is_some_and(|r| r.contains("NXDOMAIN"))
    });
    assert!(kept.text.contains("700ms"), "{}", kept.text);
    site.wait_for(&daemon, &[]);
    let ended = client::connect_and_read_to_end(site.at.ip(), site.at.port(0)).unwrap();
    assert_eq!(daemon.record_of_refused(&ended).reason, Termination::NoBackend);
    (&old).write_all(b"x").unwrap();
    assert_eq!(client::read_bytes(&old, 1).unwrap(), b"x");
    assert_eq!(daemon.metric("sluice_discovery_answers{pool=\"web\",query=\"web.example:21000\"}"), 0.0);
    assert!(
        daemon.metric("sluice_discovery_failing_seconds{pool=\"web\",query=\"web.example:21000\"}") > 0.0
    );
    // An empty pool is shown, too.
    assert!(daemon.sluice(["status"]).contains("NXDOMAIN"), "{}", daemon.sluice(["status"]));
    site.publish(&[0]);
    site.wait_for(&daemon, &[0]);
    assert_eq!(site.connect(), "b0");
}

#[test]
fn a_name_that_does_not_resolve_yet_does_not_keep_it_from_starting() {
    let site = Site::new(2);
    // One says no at once, the other says nothing.
    site.dns.set("silent.example", Records::Silence);
    let pool = format!("discovery = {{ {QUICK} }}");
    let entries = [format!("\"{NAME}:{PORT}\""), site.backends[1].entry("")];
    let config =
        site.config_of(&entries, QUICK, "").pool_of("silent", &["\"silent.example:80\"".into()], &pool);
    let daemon = Daemon::start(config);
    assert_eq!(site.served(), set(&["b1"]), "what is configured serves");
    let states =
        || daemon.status().discovery.into_iter().map(|name| (name.pool, name.state)).collect::<Vec<_>>();
    let of = |pool: &str| states().into_iter().find(|(name, _)| name == pool).unwrap().1;
    assert!(of("web").contains("NXDOMAIN"), "{:?}", states());
    eventually(SOON, "the other is said not to answer", || of("silent").contains("no answer"));
    let line = daemon
        .wait_for_log("a warning", |line| says(line, "name does not resolve") && line.text.contains(NAME));
    assert_eq!(line.field("level"), Some("WARN"));
    site.publish(&[0]);
    eventually(SOON, "it is found", || site.connect() == "b0");
    assert!(of("web").starts_with("resolved"), "{:?}", states());
}

#[test]
fn a_name_that_is_being_asked_for_when_the_start_goes_on_is_found_later() {
    let site = Site::new(1);
    // Together they are silent for longer than a start waits.
    let others = [54, 55].map(|port| NameServer::start(site.at.port(port)));
    site.dns.set(NAME, Records::Silence);
    others.iter().for_each(|server| server.set(NAME, Records::Silence));
    let servers = others.iter().map(|server| format!(", \"{}\"", server.address())).collect::<String>();
    let config = Config::new()
        .global(&format!("nameservers = [\"{}\"{servers}]", site.dns.address()))
        .listener("web", site.at.port(0), "")
        .pool_of("web", &[format!("\"{NAME}:{PORT}\"")], &format!("discovery = {{ {QUICK} }}"));
    let daemon = Daemon::start(config);
    site.publish(&[0]);
    site.wait_for(&daemon, &[0]);
    assert_eq!(site.connect(), "b0");
}

#[test]
fn a_reload_keeps_what_is_known() {
    let mut site = Site::new(2);
    site.publish(&[0, 1]);
    let daemon = Daemon::start(site.config("min_ttl = \"1h\", max_ttl = \"1h\"", ""));
    let asked = site.dns.asked(QUESTION);
    daemon.reload(site.config("min_ttl = \"1h\", max_ttl = \"1h\"", "connect_timeout = \"2s\""));
    assert_eq!(site.dns.asked(QUESTION), asked, "nobody is asked again");
    site.dns.stop();
    assert_eq!(names(&daemon, "web").len(), 2);
    assert_eq!(site.served(), set(&["b0", "b1"]));
    // Other settings need an answer of their own; until it is there, the old one serves.
    daemon.reload(site.config("min_ttl = \"2h\", max_ttl = \"2h\"", ""));
    assert_eq!(site.served(), set(&["b0", "b1"]));
    // A name server that is new is asked for everything.
    let mut other = Site::new(0);
    other.backends = std::mem::take(&mut site.backends);
    other.publish(&[1]);
    other.at = site.at;
    daemon.reload(other.config("min_ttl = \"2h\", max_ttl = \"2h\"", ""));
    other.wait_for(&daemon, &[1]);
    assert_eq!(other.served(), set(&["b1"]));
}

#[test]
fn a_reload_that_adds_a_name_waits_for_its_answer() {
    let site = Site::new(2);
    site.publish(&[0]);
    let daemon = Daemon::start(site.config_of(&[site.backends[1].entry("")], QUICK, ""));
    assert_eq!(site.served(), set(&["b1"]));
    daemon.reload(site.config(QUICK, ""));
    // No client meets an empty pool in between.
    assert_eq!(site.served(), set(&["b0"]));
    daemon.reload(site.config_of(&[site.backends[1].entry("")], QUICK, ""));
    assert_eq!(site.served(), set(&["b1"]));
    assert!(daemon.status().discovery.is_empty());
    assert!(!daemon.metrics().contains("sluice_discovery_answers{"), "its series are gone");
}

#[test]
fn backends_that_were_found_are_checked() {
    let site = Site::new(3);
    site.publish(&[0, 1]);
    let webs: Vec<_> = (0..3).map(|i| WebServer::start(SocketAddr::new(site.ip(i), 8080))).collect();
    let page = |i: usize, status| webs[i].always(Page::Status(status));
    (0..3).for_each(|i| page(i, 200));
    let check = "health_check = { type = \"http\", port = 8080, interval = \"50ms\", fast_interval = \"20ms\", timeout = \"15s\", fall = 2, rise = 2 }";
    let daemon = Daemon::start(site.config(QUICK, check));
    let wait = |i: usize, state| daemon.wait_for_state("web", &site.name(i), state);
    let health = |i: usize| daemon.backend("web", &site.name(i)).health.status;
    eventually(SOON, "both are checked", || (0..2).all(|i| health(i) == HealthStatus::Healthy));
    page(0, 500);
    wait(0, BackendState::Unhealthy);
    assert_eq!(site.served(), set(&["b1"]));
    // The verdict stays with the backend whatever else the name stands for.
    page(2, 500);
    site.publish(&[0, 1, 2]);
    site.wait_for(&daemon, &[0, 1, 2]);
    assert_eq!(daemon.backend("web", &site.name(0)).state, BackendState::Unhealthy);
    wait(2, BackendState::Unhealthy);
    assert_eq!(site.served(), set(&["b1"]));
    // Who is gone is not asked any more.
    site.publish(&[1, 2]);
    site.wait_for(&daemon, &[1, 2]);
    webs[0].wait_waiting(0);
    let (before, others) = (webs[0].requests().len(), webs[1].requests().len());
    webs[1].wait_requests(others + 5);
    assert!(webs[0].requests().len() <= before + 1, "one may have been on its way");
    page(2, 200);
    wait(2, BackendState::Active);
    eventually(SOON, "it gets clients", || site.connect() == "b2");
}

#[test]
fn a_backend_that_was_found_can_be_drained() {
    let site = Site::new(2);
    site.publish(&[0, 1]);
    let daemon = Daemon::start(site.config(QUICK, ""));
    let target = format!("web/{}", site.name(0));
    let said = daemon.sluice(["drain", &target]);
    assert!(said.contains(&site.name(0)), "{said}");
    assert_eq!(site.served(), set(&["b1"]));
    // It goes and comes back, and is drained still.
    site.publish(&[1]);
    site.wait_for(&daemon, &[1]);
    site.publish(&[0, 1]);
    site.wait_for(&daemon, &[0, 1]);
    assert_eq!(daemon.backend("web", &site.name(0)).state, BackendState::Draining);
    assert_eq!(site.served(), set(&["b1"]));
    let daemon = daemon.kill_and_restart();
    assert_eq!(daemon.backend("web", &site.name(0)).state, BackendState::Draining);
    assert_eq!(site.served(), set(&["b1"]));
    daemon.sluice(["undrain", &target]);
    assert_eq!(site.served(), set(&["b0", "b1"]));
    let unknown = daemon.command(["drain", "web/web.example"]);
    let text = String::from_utf8_lossy(&unknown.stderr).into_owned();
    assert!(!unknown.status.success() && text.contains(&site.name(0)), "it says which there are: {text}");
}

#[test]
fn a_drain_can_be_undone_while_the_backend_is_away() {
    let site = Site::new(2);
    site.publish(&[0, 1]);
    let daemon = Daemon::start(site.config(QUICK, ""));
    let target = format!("web/{}", site.name(0));
    daemon.sluice(["drain", &target]);
    site.publish(&[1]);
    site.wait_for(&daemon, &[1]);
    daemon.sluice(["undrain", &target]);
    site.publish(&[0, 1]);
    site.wait_for(&daemon, &[0, 1]);
    assert_eq!(daemon.backend("web", &site.name(0)).state, BackendState::Active);
}

#[test]
fn localhost_needs_no_name_server() {
    let mut site = Site::new(0);
    // One port on both loopback addresses.
    let v6 = Loopback::v6();
    let v4 = SocketAddr::new(Ipv4Addr::LOCALHOST.into(), v6.port());
    site.backends = vec![Backend::start("v4", v4, Behaviour::Tag), Backend::start("v6", v6, Behaviour::Tag)];
    let entries = [format!("\"localhost:{}\"", v6.port())];
    let families =
        |families: &str| site.config_of(&entries, &format!("{QUICK}, families = \"{families}\""), "");
    let daemon = Daemon::start(families("ipv4"));
    assert_eq!(site.served(), set(&["v4"]));
    assert_eq!(
        daemon.backend("web", &v4.to_string()).discovered_by,
        Some(format!("localhost:{}", v4.port()))
    );
    daemon.reload(families("both"));
    // Whether the other is one too, the hosts file may say.
    assert!(site.served().contains("v4"));
    // By RFC 6761 it is, whatever the hosts file has, where it is the only family; and nobody is asked.
    daemon.reload(families("ipv6"));
    assert_eq!(["A localhost", "AAAA localhost"].map(|question| site.dns.asked(question)), [0, 0]);
    assert_eq!(site.served(), set(&["v6"]));
}

#[test]
fn families_are_asked_for_as_configured() {
    let site = Site::new(1);
    site.dns.addresses(NAME, &[site.ip(0), Ipv6Addr::LOCALHOST.into()]);
    let daemon = Daemon::start(site.config(&format!("{QUICK}, families = \"ipv4\""), ""));
    site.dns.wait_asked_again(QUESTION, 2);
    assert_eq!(site.dns.asked("AAAA web.example"), 0);
    site.wait_for(&daemon, &[0]);
    daemon.reload(site.config(QUICK, ""));
    assert_eq!(names(&daemon, "web"), set(&[&site.name(0), "[::1]:21000"]));
}

#[test]
fn an_address_that_the_file_has_is_not_found_again() {
    let site = Site::new(2);
    site.publish(&[0, 1]);
    let entries = [site.backends[0].entry(""), format!("\"{NAME}:{PORT}\"")];
    let daemon = Daemon::start(site.config_of(&entries, QUICK, ""));
    assert_eq!(names(&daemon, "web"), set(&["b0", &site.name(1)]), "each address once");
    assert_eq!(site.served(), set(&["b0", "b1"]));
    let note = daemon.wait_for_log("a word about it", |line| line.text.contains("left out"));
    assert_eq!((note.field("level"), note.field("pool")), (Some("WARN"), Some("web")), "{}", note.text);
    assert!(note.text.contains(&site.name(0)) && note.text.contains(NAME), "{}", note.text);
}

#[test]
fn a_backend_with_an_address_in_the_file_is_not_shown_as_found() {
    let site = Site::new(2);
    site.publish(&[0, 1]);
    let entries = [site.backends[0].entry(""), format!("\"{NAME}:{PORT}\"")];
    let daemon = Daemon::start(site.config_of(&entries, QUICK, ""));
    let by = |name: &str| daemon.backend("web", name).discovered_by;
    assert_eq!(by(&site.name(1)).as_deref(), Some("web.example:21000"));
    assert_eq!(by("b0"), None);
}

#[test]
fn what_is_left_out_is_said_once() {
    let site = Site::new(2);
    site.publish(&[0, 1]);
    site.dns.addresses("other.example", &[site.ip(1)]);
    let entries = [site.backends[0].entry(""), format!("\"{NAME}:{PORT}\"")];
    let other = format!("discovery = {{ {QUICK} }}");
    let config = site.config_of(&entries, QUICK, "");
    let daemon = Daemon::start(config.pool_of("other", &[format!("\"other.example:{PORT}\"")], &other));
    daemon.wait_for_log("a word about it", |line| line.text.contains("left out"));
    // Another pool's name has other answers, which changes nothing for this one.
    for numbers in [vec![0, 1], vec![0], vec![1]] {
        let ips: Vec<_> = numbers.iter().map(|&i| site.ip(i)).collect();
        site.dns.addresses("other.example", &ips);
        let expected: BTreeSet<_> = numbers.iter().map(|&i| site.name(i)).collect();
        eventually(SOON, "the other pool follows", || names(&daemon, "other") == expected);
    }
    assert_eq!(count(&daemon, "left out"), 1);
}

#[test]
fn pools_that_find_one_address_by_different_names_each_tell_theirs() {
    let site = Site::new(1);
    let names = ["one.example", "two.example"];
    let mut config = site.base().listener("one", site.at.port(0), "");
    for name in names {
        site.dns.addresses(name, &[site.ip(0)]);
        let pool = name.split('.').next().unwrap();
        config = config.pool_of(pool, &[format!("\"{name}:{PORT}\"")], &format!("discovery = {{ {QUICK} }}"));
    }
    let daemon = Daemon::start(config);
    for (pool, name) in [("one", "one.example:21000"), ("two", "two.example:21000")] {
        assert_eq!(daemon.backend(pool, &site.name(0)).discovered_by.as_deref(), Some(name));
    }
}

#[test]
fn where_one_name_server_is_down_the_next_is_asked() {
    let site = Site::new(1);
    site.publish(&[0]);
    let mut broken = NameServer::start(site.at.port(54));
    broken.set(NAME, Records::Failure);
    let servers = format!("nameservers = [\"{}\", \"{}\"]", broken.address(), site.dns.address());
    let config = |site: &Site| {
        let pool = format!("discovery = {{ {QUICK} }}");
        Config::new().global(&servers).listener("web", site.at.port(0), "").pool_of(
            "web",
            &[format!("\"{NAME}:{PORT}\"")],
            &pool,
        )
    };
    for _ in 0..2 {
        let daemon = Daemon::start(config(&site));
        assert_eq!(site.connect(), "b0");
        assert_eq!(count(&daemon, "\"level\":\"WARN\""), 0, "there is an answer");
        broken.stop();
    }
}

#[test]
fn a_name_without_a_port_takes_the_port_of_the_listener() {
    let site = Site::new(1);
    site.publish(&[0]);
    let (ip, at) = (site.ip(0), Loopback::new());
    let same: [Backend; 2] = [0, 1]
        .map(|i| Backend::start(&format!("p{i}"), SocketAddr::new(ip, at.port(i).port()), Behaviour::Tag));
    let bind = format!("{}:{}-{}", at.ip(), at.port(0).port(), at.port(1).port());
    let pool = format!("discovery = {{ {QUICK} }}");
    let daemon =
        Daemon::start(site.base().listener("web", bind, "").pool_of("web", &[format!("\"{NAME}\"")], &pool));
    for (i, backend) in (0..).zip(&same) {
        let stream = client::connect(at.port(i)).unwrap();
        assert_eq!(client::read_line(&stream).unwrap(), backend.name());
    }
    let found = daemon.backend("web", &ip.to_string());
    assert_eq!(found.discovered_by.as_deref(), Some("web.example"));
}
