//! Who gets which share: the algorithms, tiers, zones, slow start and panic.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use lb_admin::BackendState;
use lb_model::Termination;
use lb_tests::{Backend, Behaviour, Config, Daemon, Lab, Launch, Loopback, Tardy, client, eventually};
use tempfile::TempDir;

/// With much room for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

fn backends(at: Loopback, names: &[&str]) -> Vec<Backend> {
    (0..).zip(names).map(|(i, name)| Backend::start(name, at.backend(i), Behaviour::Tag)).collect()
}

/// The name of the backend that a new connection gets, and the connection.
#[track_caller]
fn open(listen: SocketAddr) -> (String, TcpStream) {
    let stream = client::connect(listen).unwrap();
    (client::read_line(&stream).unwrap(), stream)
}

/// The name of the backend that a new connection gets, which then ends in order.
#[track_caller]
fn visit(listen: SocketAddr) -> String {
    let (name, stream) = open(listen);
    stream.shutdown(std::net::Shutdown::Write).unwrap();
    let _ = client::read_to_end(&stream);
    name
}

/// How many of `count` connections, one after the other, each backend gets.
#[track_caller]
fn visits(listen: SocketAddr, count: usize) -> BTreeMap<String, usize> {
    tally((0..count).map(|_| visit(listen)))
}

/// The backend of the client at each of these addresses.
#[track_caller]
fn places(clients: impl IntoIterator<Item = SocketAddr>, listen: SocketAddr) -> BTreeMap<SocketAddr, String> {
    let place = |client| {
        let stream = client::connect_from(client, listen).unwrap();
        let name = client::read_line(&stream).unwrap();
        // Not an orderly close: that would keep the client's port in TIME_WAIT.
        client::reset(stream);
        (client, name)
    };
    clients.into_iter().map(place).collect()
}

fn tally(names: impl IntoIterator<Item = String>) -> BTreeMap<String, usize> {
    let mut tally = BTreeMap::new();
    for name in names {
        *tally.entry(name).or_default() += 1;
    }
    tally
}

fn of(tally: &BTreeMap<String, usize>, name: &str) -> usize {
    tally.get(name).copied().unwrap_or(0)
}

/// Backends whose health is what the test says, while all of them serve: a file for each.
struct Patients {
    backends: Vec<Backend>,
    files: TempDir,
}

impl Patients {
    /// All healthy.
    fn start(at: Loopback, names: &[&str]) -> Self {
        let patients = Self { backends: backends(at, names), files: tempfile::tempdir().unwrap() };
        names.iter().for_each(|name| patients.heal(name));
        patients
    }

    fn heal(&self, name: &str) {
        std::fs::write(self.files.path().join(name), "").unwrap();
    }

    fn sicken(&self, name: &str) {
        std::fs::remove_file(self.files.path().join(name)).unwrap();
    }

    /// One of the pool `web` falls ill and is active again.
    fn fall_ill_and_recover(&self, daemon: &Daemon, name: &str) {
        self.sicken(name);
        daemon.wait_for_state("web", name, BackendState::Unhealthy);
        self.heal(name);
        daemon.wait_for_state("web", name, BackendState::Active);
    }

    /// The entry of one in a pool with [`CHECKS`].
    fn entry(&self, name: &str, keys: &str) -> String {
        let file = self.files.path().join(name);
        let check =
            format!("health_check = {{ command = [\"test\", \"-e\", {:?}] }}", file.display().to_string());
        let backend = self.backends.iter().find(|backend| backend.name() == name).unwrap();
        backend.entry(&if keys.is_empty() { check } else { format!("{check}, {keys}") })
    }
}

const CHECKS: &str =
    "health_check = { type = \"exec\", command = [\"true\"], interval = \"100ms\", fall = 1, rise = 1 }";

#[test]
fn ip_hash_knows_a_client_by_its_address_alone() {
    let (here, there) = (Loopback::new(), Loopback::new());
    let mut backends = backends(here, &["a", "b", "c", "d"]);
    let config = |at: Loopback, backends: &[Backend]| {
        let config = Config::new().listener("web", at.port(0), "").listener("tls", at.port(1), "");
        let balance = "balance = \"ip_hash\"";
        config.pool("web", backends, balance).pool("tls", backends, balance)
    };
    let _daemon = Daemon::start(config(here, &backends));
    backends.reverse();
    // Another instance, elsewhere, whose file has the backends in another order.
    let _other = Daemon::start(config(there, &backends));

    let [.., number] = match here.ip() {
        IpAddr::V4(ip) => ip.octets(),
        IpAddr::V6(_) => unreachable!("it is of 127.0.0.0/8"),
    };
    let client = |i: u8| SocketAddr::new(Ipv4Addr::new(127, 1, number, i).into(), 0);
    let clients = || (1..=80).map(client);
    let first = places(clients(), here.port(0));
    assert_eq!(places(clients(), here.port(0)), first, "from another port");
    assert_eq!(places(clients(), here.port(1)), first, "to another listener");
    assert_eq!(places(clients(), there.port(0)), first, "at another instance");
    let spread = tally(first.into_values());
    for backend in &backends {
        assert!(of(&spread, backend.name()) >= 5, "80 clients are spread: {spread:?}");
    }
}

#[test]
fn ip_hash_clients_return_to_a_backend_that_was_away() {
    let at = Loopback::new();
    let names = ["a", "b", "c", "d"];
    let patients = Patients::start(at, &names);
    let entries = names.map(|name| patients.entry(name, ""));
    let lines = format!("balance = \"ip_hash\"\n{CHECKS}");
    let daemon =
        Daemon::start(Config::new().listener("web", at.port(0), "").pool_of("web", &entries, &lines));
    let clients = || (1..=80).map(|i| SocketAddr::new(Ipv4Addr::new(127, 2, 0, i).into(), 0));
    let before = places(clients(), at.port(0));
    patients.sicken("a");
    daemon.wait_for_state("web", "a", BackendState::Unhealthy);
    let meanwhile = places(clients(), at.port(0));
    let moved =
        before.iter().filter(|&(client, was)| was != "a" && meanwhile.get(client) != Some(was)).count();
    assert!(meanwhile.values().all(|name| name != "a"));
    assert!(moved <= 5, "{moved} of 80 clients moved that need not");
    patients.heal("a");
    daemon.wait_for_state("web", "a", BackendState::Active);
    assert_eq!(places(clients(), at.port(0)), before);
}

#[test]
fn hash_moves_only_the_flows_of_a_backend_that_is_removed() {
    let at = Loopback::new();
    let names: Vec<_> = (0..10).map(|i| format!("b{i}")).collect();
    let mut backends = backends(at, &names.iter().map(String::as_str).collect::<Vec<_>>());
    let config = |backends: &[Backend]| {
        Config::new().listener("web", at.port(0), "").pool("web", backends, "balance = \"hash\"")
    };
    let daemon = Daemon::start(config(&backends));
    let flows = || (25_000..25_300).map(|port| SocketAddr::new(at.ip(), port));
    places(flows(), at.port(0));
    let record = |record: lb_tests::AccessRecord| (record.client, record.backend.unwrap());
    let before: BTreeMap<_, _> = daemon.wait_for_records(300).into_iter().map(record).collect();

    backends.retain(|backend| backend.name() != "b3");
    daemon.configure(config(&backends));
    let plan: lb_admin::Plan = serde_json::from_str(&daemon.sluice(["plan", "--json"])).unwrap();
    let planned = plan.pools.first().and_then(|pool| pool.moved_share).unwrap();
    daemon.sluice(["reload"]);
    places(flows(), at.port(0));
    let after: BTreeMap<_, _> = daemon.wait_for_records(600).into_iter().skip(300).map(record).collect();

    assert_eq!(after.len(), 300);
    assert!(after.values().all(|backend| backend != "b3"), "it is gone");
    let moved = |only_needless: &dyn Fn(&str) -> bool| {
        before.iter().filter(|(flow, was)| only_needless(was) && after.get(flow) != Some(was)).count()
    };
    let needless = moved(&|was| was != "b3");
    assert!(needless <= 12, "{needless} of 300 flows moved that need not");
    let share = moved(&|_| true) as f64 / 300.0;
    assert!((share - planned).abs() < 0.06, "{share} of the flows moved, {planned} were to");
}

#[test]
fn two_instances_choose_alike_for_the_same_flow() {
    let places = |names: &[&str]| {
        let lab = Lab::require(0)?;
        let listen = SocketAddr::new(Lab::BALANCER_V4, 80);
        let backends: Vec<_> = (9000..)
            .zip(names)
            .map(|(port, name)| {
                let address = SocketAddr::new(Lab::BALANCER_V4, port);
                Backend::start_in(&lab.balancer, name, address, Behaviour::Tag)
            })
            .collect();
        let config = Config::new().listener("web", listen, "").pool("web", &backends, "balance = \"hash\"");
        let _daemon = Launch::new(config).inside(&lab.balancer).start();
        let flows = (25_000..25_100).map(|port| SocketAddr::new(Lab::CLIENT_V4, port));
        Some(lab.client.enter(|| places(flows, listen)))
    };
    // Both have the same address, as behind one ECMP route, and their files differ in the order of the backends.
    let (one, other) = std::thread::scope(|scope| {
        let one = scope.spawn(|| places(&["a", "b", "c", "d"]));
        let other = scope.spawn(|| places(&["d", "b", "a", "c"]));
        (one.join().unwrap(), other.join().unwrap())
    });
    assert_eq!(one, other);
}

/// The share of a backend of weight 3, beside one of weight 1, of 160 connections.
struct Heavy {
    at: Loopback,
    _backends: [Backend; 2],
    daemon: Daemon,
}

impl Heavy {
    fn start(balance: &str) -> Self {
        let at = Loopback::new();
        let [heavy, light] = ["heavy", "light"];
        let backends =
            [(0, heavy), (1, light)].map(|(i, n)| Backend::start(n, at.backend(i), Behaviour::Tag));
        let [heavy, light] = &backends;
        let entries = [heavy.entry("weight = 3"), light.entry("weight = 1")];
        let config = Config::new().listener("web", at.port(0), "");
        let daemon = Daemon::start(config.pool_of("web", &entries, &format!("balance = \"{balance}\"")));
        Self { at, _backends: backends, daemon }
    }

    /// Of connections that stay open.
    fn of_open(&self) -> usize {
        let streams: Vec<_> = (0..160).map(|_| open(self.at.port(0))).collect();
        streams.iter().filter(|(name, _)| name == "heavy").count()
    }

    /// Of connections that are over, for the daemon too, before the next comes.
    fn of_short(&self) -> usize {
        let before = self.daemon.access_records().len();
        let visit_to_the_end = |nth| {
            let name = visit(self.at.port(0));
            self.daemon.wait_for_records(before + nth);
            name
        };
        of(&tally((1..=160).map(visit_to_the_end)), "heavy")
    }
}

#[test]
fn random_respects_weights() {
    let pool = Heavy::start("random");
    let short = pool.of_short();
    assert!((98..=142).contains(&short), "{short} of 160 short connections, not about 120");
    let open = pool.of_open();
    assert!((105..=135).contains(&open), "{open} of 160 open connections, not about 120");
}

#[test]
fn hash_and_ip_hash_respect_weights() {
    let pool = Heavy::start("hash");
    let open = pool.of_open();
    assert!((98..=142).contains(&open), "{open} of 160 flows, not about 120");

    let pool = Heavy::start("ip_hash");
    let clients = (1..=160).map(|i| SocketAddr::new(Ipv4Addr::new(127, 3, 0, i).into(), 0));
    let heavy = of(&tally(places(clients, pool.at.port(0)).into_values()), "heavy");
    assert!((98..=142).contains(&heavy), "{heavy} of 160 clients, not about 120");
}

#[test]
fn least_connections_respects_weights_where_connections_stay() {
    let open = Heavy::start("least_connections").of_open();
    assert!((112..=128).contains(&open), "{open} of 160 open connections, not about 120");
}

#[test]
fn least_connections_respects_weights_where_connections_are_short() {
    let short = Heavy::start("least_connections").of_short();
    assert!((98..=142).contains(&short), "{short} of 160 short connections, not about 120");
}

#[test]
fn least_response_time_respects_weights() {
    let at = Loopback::new();
    // So slow that what a busy machine adds is little.
    let start = |i, name| Tardy::start(name, at.backend(i), Duration::from_millis(50));
    let (heavy, light) = (start(0, "heavy"), start(1, "light"));
    let entries = [heavy.entry("weight = 3"), light.entry("weight = 1")];
    let config = Config::new().listener("web", at.port(0), "");
    let daemon = Daemon::start(config.pool_of("web", &entries, "balance = \"least_response_time\""));
    let run = |count: usize| -> Vec<_> { (0..count).map(|_| open(at.port(0))).collect() };
    let streams: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| run(20))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let heavy = streams.iter().filter(|(name, _)| name == "heavy").count();
    assert!((90..=150).contains(&heavy), "{heavy} of 160 open connections, not about 120");
    drop(streams);
    eventually(PATIENCE, "all are over", || daemon.status().listeners.iter().all(|l| l.connections == 0));

    let short = visits(at.port(0), 40);
    let heavy = of(&short, "heavy");
    assert!((20..=38).contains(&heavy), "{heavy} of 40 short connections, not about 30");
}

#[test]
fn least_response_time_shuns_a_backend_that_slows_down() {
    let at = Loopback::new();
    let start = |i, name| Tardy::start(name, at.backend(i), Duration::ZERO);
    let all = [start(0, "a"), start(1, "b"), start(2, "c")];
    let [.., c] = &all;
    let entries = all.each_ref().map(|tardy| tardy.entry(""));
    let config = Config::new().listener("web", at.port(0), "");
    let daemon = Daemon::start(config.pool_of("web", &entries, "balance = \"least_response_time\""));
    eventually(PATIENCE, "it gets connections", || visit(at.port(0)) == "c");

    c.set_delay(Duration::from_millis(400));
    let before = c.accepted();
    eventually(PATIENCE, "a connection meets it while it is slow", || {
        visit(at.port(0));
        c.accepted() > before
    });
    let after = visits(at.port(0), 60);
    assert!(of(&after, "c") <= 3, "a third of 60 would be 20: {after:?}");
    for other in ["a", "b"] {
        assert!(of(&after, other) >= 5, "{after:?}");
    }
    let response_time = |name| daemon.backend("web", name).response_time_ms.unwrap();
    assert!(response_time("c") > 2.0 * response_time("a"), "what sluice status says");
}

#[test]
fn least_response_time_comes_back_to_a_backend_that_is_quick_again() {
    let at = Loopback::new();
    let usual = Duration::from_millis(100);
    let start = |i, name| Tardy::start(name, at.backend(i), usual);
    let (a, b) = (start(0, "a"), start(1, "b"));
    let config = Config::new().listener("web", at.port(0), "");
    let entries = [a.entry(""), b.entry("")];
    let _daemon = Daemon::start(config.pool_of("web", &entries, "balance = \"least_response_time\""));
    eventually(PATIENCE, "a gets connections", || visit(at.port(0)) == "a");
    // Three times as long decays to twice as long in four seconds, and then it is drawn again.
    b.set_delay(usual * 3);
    eventually(PATIENCE, "a connection meets b while it is slow", || visit(at.port(0)) == "b");
    b.set_delay(usual);
    eventually(PATIENCE, "b gets connections again", || visit(at.port(0)) == "b");
}

const PRIMARIES: [&str; 4] = ["p0", "p1", "p2", "p3"];

/// Four backends of tier 0 and a spare of tier 1.
fn tiers(at: Loopback, keys: &str) -> (Patients, Config) {
    let patients = Patients::start(at, &["p0", "p1", "p2", "p3", "spare"]);
    let mut entries: Vec<_> = PRIMARIES.iter().map(|name| patients.entry(name, "")).collect();
    entries.push(patients.entry("spare", "tier = 1"));
    let lines = format!("balance = \"round_robin\"\n{CHECKS}\n{keys}");
    (patients, Config::new().listener("web", at.port(0), "").pool_of("web", &entries, &lines))
}

#[test]
fn a_spare_tier_takes_what_the_first_cannot() {
    let at = Loopback::new();
    let (patients, config) = tiers(at, "");
    let daemon = Daemon::start(config);
    let state = |name: &str, state| daemon.wait_for_state("web", name, state);

    state("spare", BackendState::Standby);
    assert_eq!(of(&visits(at.port(0), 60), "spare"), 0, "tier 0 is whole");
    assert!(daemon.sluice(["status"]).contains("standby"), "{}", daemon.sluice(["status"]));

    patients.sicken("p0");
    state("p0", BackendState::Unhealthy);
    let tally = visits(at.port(0), 60);
    assert_eq!(of(&tally, "spare") + of(&tally, "p0"), 0, "three of four can take everything: {tally:?}");
    state("spare", BackendState::Standby);

    patients.sicken("p1");
    state("p1", BackendState::Unhealthy);
    state("spare", BackendState::Active);
    let tally = visits(at.port(0), 100);
    assert!((20..=40).contains(&of(&tally, "spare")), "two of four can take 70 %: {tally:?}");
    assert_eq!(of(&tally, "p0") + of(&tally, "p1"), 0, "{tally:?}");

    for name in ["p2", "p3"] {
        patients.sicken(name);
        state(name, BackendState::Unhealthy);
    }
    assert_eq!(of(&visits(at.port(0), 30), "spare"), 30, "it alone is left");

    for name in PRIMARIES {
        patients.heal(name);
        state(name, BackendState::Active);
    }
    state("spare", BackendState::Standby);
    assert_eq!(of(&visits(at.port(0), 60), "spare"), 0, "tier 0 is whole again");
}

#[test]
fn draining_backends_of_a_tier_counts_like_losing_them() {
    let at = Loopback::new();
    let (_patients, config) = tiers(at, "");
    let daemon = Daemon::start(config);
    for name in PRIMARIES {
        daemon.sluice(["drain", &format!("web/{name}")]);
    }
    assert_eq!(of(&visits(at.port(0), 20), "spare"), 20);
    assert_eq!(daemon.backend("web", "spare").state, BackendState::Active);
}

#[test]
fn a_spare_tier_that_is_whole_keeps_panic_away() {
    let at = Loopback::new();
    let (patients, config) = tiers(at, "panic_threshold = \"50%\"");
    let daemon = Daemon::start(config);
    for name in PRIMARIES {
        patients.sicken(name);
        eventually(PATIENCE, "it is found unhealthy", || {
            daemon.backend("web", name).health.status == lb_admin::HealthStatus::Unhealthy
        });
    }
    // One of five is healthy, which is below the threshold; but it is the one that is there for this.
    eventually(Duration::from_secs(5), "the spare is used, sick primaries are not", || {
        let tally = visits(at.port(0), 20);
        of(&tally, "spare") == 20
    });
    assert!(daemon.metric("sluice_pool_panic{pool=\"web\"}") < 0.5);
}

#[test]
fn a_client_that_meets_a_dead_tier_is_served_by_the_spare() {
    let at = Loopback::new();
    let mut both = backends(at, &["first", "spare"]);
    both.iter_mut().filter(|backend| backend.name() == "first").for_each(Backend::stop);
    let [first, spare] = both.as_slice() else { unreachable!("two backends") };
    let entries = [first.entry(""), spare.entry("tier = 1")];
    let daemon = Daemon::start(Config::new().listener("web", at.port(0), "").pool_of("web", &entries, ""));
    // Nobody has noticed yet that it is dead: this client does, and has two more tries.
    let stream = client::connect(at.port(0)).and_then(|stream| client::read_line(&stream));
    assert_eq!(stream.ok().as_deref(), Some("spare"), "status:\n{}", daemon.sluice(["status"]));
}

#[test]
fn who_waits_is_served_by_the_spare_when_the_tier_fails() {
    let at = Loopback::new();
    let patients = Patients::start(at, &["first", "spare"]);
    let entries = [patients.entry("first", "max_connections = 1"), patients.entry("spare", "tier = 1")];
    let lines = format!("queue = {{ limit = 9, timeout = \"60s\" }}\n{CHECKS}");
    let daemon =
        Daemon::start(Config::new().listener("web", at.port(0), "").pool_of("web", &entries, &lines));
    let (name, kept) = open(at.port(0));
    assert_eq!(name, "first");
    let waiting = client::connect(at.port(0)).unwrap();
    patients.sicken("first");
    assert_eq!(client::read_line(&waiting).unwrap(), "spare");
    assert_eq!(daemon.backend("web", "first").connections, 1, "what is open stays");
    drop(kept);
}

#[test]
fn nobody_waits_while_the_spare_has_room() {
    let at = Loopback::new();
    let both = backends(at, &["first", "spare"]);
    let [first, spare] = both.as_slice() else { unreachable!("two backends") };
    let entries = [first.entry("max_connections = 1"), spare.entry("tier = 1")];
    let queue = "queue = { limit = 0, timeout = \"1s\" }";
    let _daemon =
        Daemon::start(Config::new().listener("web", at.port(0), "").pool_of("web", &entries, queue));
    let (name, _kept) = open(at.port(0));
    assert_eq!(name, "first");
    let second = client::connect(at.port(0)).and_then(|stream| client::read_line(&stream));
    assert_eq!(second.ok().as_deref(), Some("spare"), "refused beside an idle server");
}

#[test]
fn nobody_waits_while_another_zone_has_room() {
    let at = Loopback::new();
    let both = backends(at, &["near", "far"]);
    let [near, far] = both.as_slice() else { unreachable!("two backends") };
    let entries = [near.entry("max_connections = 1, zone = \"a\""), far.entry("zone = \"b\"")];
    let lines = "zones = \"prefer_local\"\nqueue = { limit = 0, timeout = \"1s\" }";
    let config = Config::new().global("zone = \"a\"").listener("web", at.port(0), "");
    let _daemon = Daemon::start(config.pool_of("web", &entries, lines));
    let (name, _kept) = open(at.port(0));
    assert_eq!(name, "near");
    let second = client::connect(at.port(0)).and_then(|stream| client::read_line(&stream));
    assert_eq!(second.ok().as_deref(), Some("far"), "refused beside an idle server");
}

#[test]
fn the_own_zone_is_preferred_until_it_is_short_of_capacity() {
    let at = Loopback::new();
    let names = ["a1", "a2", "b1", "b2"];
    let patients = Patients::start(at, &names);
    let entries = names.map(|name| patients.entry(name, &format!("zone = \"{}\"", &name[..1])));
    let config = Config::new().global("zone = \"a\"").listener("web", at.port(0), "");
    let lines = format!("balance = \"round_robin\"\nzones = \"prefer_local\"\n{CHECKS}");
    let daemon = Daemon::start(config.pool_of("web", &entries, &lines));
    let far = |count| {
        let tally = visits(at.port(0), count);
        of(&tally, "b1") + of(&tally, "b2")
    };
    assert_eq!(far(40), 0, "the own zone is whole");
    assert_eq!(daemon.backend("web", "b1").state, BackendState::Standby);
    assert_eq!(daemon.backend("web", "b1").zone.as_deref(), Some("b"));

    patients.sicken("a1");
    daemon.wait_for_state("web", "a1", BackendState::Unhealthy);
    daemon.wait_for_state("web", "b1", BackendState::Active);
    let spilled = far(100);
    assert!((20..=40).contains(&spilled), "half a zone can take 70 %, {spilled} % were spilled");

    patients.sicken("a2");
    daemon.wait_for_state("web", "a2", BackendState::Unhealthy);
    assert_eq!(far(20), 20, "the own zone is gone");

    patients.heal("a1");
    patients.heal("a2");
    daemon.wait_for_state("web", "a1", BackendState::Active);
    daemon.wait_for_state("web", "b1", BackendState::Standby);
    assert_eq!(far(40), 0, "it is back");
}

#[test]
fn a_backend_that_comes_back_or_is_new_gets_few_connections_at_first() {
    let at = Loopback::new();
    let patients = Patients::start(at, &["a", "b", "c"]);
    let config = |names: &[&str]| {
        let entries: Vec<_> = names.iter().map(|name| patients.entry(name, "weight = 100")).collect();
        // Steps of a minute: all of this happens in the first of them.
        let lines = format!("balance = \"round_robin\"\nslow_start = \"10m\"\n{CHECKS}");
        Config::new().listener("web", at.port(0), "").pool_of("web", &entries, &lines)
    };
    let daemon = Daemon::start(config(&["a", "b"]));
    let tally = visits(at.port(0), 40);
    assert!(of(&tally, "b") >= 12, "what is there from the start has no slow start: {tally:?}");

    patients.fall_ill_and_recover(&daemon, "b");
    eventually(PATIENCE, "its slow start begins", || daemon.backend("web", "b").weight == 10);
    assert_eq!(daemon.backend("web", "a").weight, 100);
    let tally = visits(at.port(0), 110);
    assert!((1..=25).contains(&of(&tally, "b")), "one of eleven, not half: {tally:?}");

    daemon.reload(config(&["a", "b", "c"]));
    eventually(PATIENCE, "the slow start of what is new begins", || daemon.backend("web", "c").weight == 10);
    assert_eq!(daemon.backend("web", "b").weight, 10, "a reload does not end it");
    let tally = visits(at.port(0), 120);
    assert!((1..=25).contains(&of(&tally, "c")), "one of twelve, not a third: {tally:?}");
}

#[test]
fn slow_start_rises_in_ten_steps_to_the_full_share() {
    let at = Loopback::new();
    let patients = Patients::start(at, &["a", "b"]);
    let entries = ["a", "b"].map(|name| patients.entry(name, "weight = 100"));
    let lines = format!("balance = \"round_robin\"\nslow_start = \"3s\"\n{CHECKS}");
    let daemon =
        Daemon::start(Config::new().listener("web", at.port(0), "").pool_of("web", &entries, &lines));
    patients.fall_ill_and_recover(&daemon, "b");
    let mut weights = vec![];
    eventually(PATIENCE, "it has its full share", || {
        let backend = daemon.backend("web", "b");
        assert_eq!(backend.configured_weight, 100);
        weights.push(backend.weight);
        backend.weight == 100
    });
    assert!(weights.is_sorted(), "{weights:?}");
    let steps: BTreeSet<_> = weights.iter().copied().collect();
    assert!(steps.iter().all(|weight| weight % 10 == 0 && *weight > 0), "{steps:?}");
    assert!(steps.len() > 2, "it did not rise in steps: {steps:?}");
    let tally = visits(at.port(0), 80);
    assert!((30..=50).contains(&of(&tally, "b")), "half: {tally:?}");
}

#[test]
fn slow_start_is_seen_in_status_with_the_usual_weight() {
    let at = Loopback::new();
    let patients = Patients::start(at, &["a", "b"]);
    let entries = ["a", "b"].map(|name| patients.entry(name, ""));
    let lines = format!("balance = \"round_robin\"\nslow_start = \"10m\"\n{CHECKS}");
    let daemon =
        Daemon::start(Config::new().listener("web", at.port(0), "").pool_of("web", &entries, &lines));
    patients.fall_ill_and_recover(&daemon, "b");
    let tally = visits(at.port(0), 55);
    assert!(of(&tally, "b") <= 15, "it is in its slow start: {tally:?}");
    let (a, b) = (daemon.backend("web", "a"), daemon.backend("web", "b"));
    assert!(
        (a.weight, a.reason) != (b.weight, b.reason),
        "nothing tells that b gets a tenth of a's share:\n{}",
        daemon.sluice(["status"])
    );
}

#[test]
fn below_the_panic_threshold_health_does_not_count() {
    let at = Loopback::new();
    let names = ["a", "b", "c", "d"];
    let patients = Patients::start(at, &names);
    let entries = names.map(|name| patients.entry(name, ""));
    let lines = format!("balance = \"round_robin\"\npanic_threshold = \"50%\"\n{CHECKS}");
    let daemon =
        Daemon::start(Config::new().listener("web", at.port(0), "").pool_of("web", &entries, &lines));
    let panic = || daemon.status().pools.first().is_some_and(|pool| pool.panic);
    for name in ["a", "b"] {
        patients.sicken(name);
        daemon.wait_for_state("web", name, BackendState::Unhealthy);
    }
    let tally = visits(at.port(0), 40);
    assert_eq!(of(&tally, "a") + of(&tally, "b"), 0, "half is enough: {tally:?}");
    assert!(!panic());
    assert!(daemon.metric("sluice_pool_panic{pool=\"web\"}") < 0.5);

    patients.sicken("c");
    eventually(PATIENCE, "the pool panics", panic);
    let tally = visits(at.port(0), 80);
    for name in names {
        assert!((10..=30).contains(&of(&tally, name)), "a quarter each: {tally:?}");
    }
    daemon.wait_for_log("why", |line| {
        line.field("pool") == Some("web") && line.text.contains("too few backends")
    });
    assert!(daemon.metric("sluice_pool_panic{pool=\"web\"}") > 0.5);
    assert_eq!(
        daemon.backend("web", "a").state,
        BackendState::Unhealthy,
        "it is still told which are not healthy"
    );

    patients.heal("a");
    eventually(PATIENCE, "the pool calms down", || !panic());
    let tally = visits(at.port(0), 40);
    assert_eq!(of(&tally, "b") + of(&tally, "c"), 0, "{tally:?}");
}

#[test]
fn where_nobody_is_healthy_all_are_tried() {
    let at = Loopback::new();
    let patients = Patients::start(at, &["a", "b"]);
    let entries = ["a", "b"].map(|name| patients.entry(name, ""));
    let lines = format!("balance = \"round_robin\"\n{CHECKS}");
    let daemon =
        Daemon::start(Config::new().listener("web", at.port(0), "").pool_of("web", &entries, &lines));
    for name in ["a", "b"] {
        patients.sicken(name);
        daemon.wait_for_state("web", name, BackendState::Unhealthy);
    }
    let tally = visits(at.port(0), 40);
    assert!(of(&tally, "a") >= 10 && of(&tally, "b") >= 10, "{tally:?}");
}

#[test]
fn weight_0_gets_nothing_until_it_has_another() {
    let at = Loopback::new();
    let both = backends(at, &["on", "off"]);
    let [on, off] = both.as_slice() else { unreachable!("two backends") };
    for balance in ["hash", "round_robin", "ip_hash", "least_connections", "least_response_time", "random"] {
        let config = |weights: [u16; 2]| {
            let [a, b] = weights.map(|weight| format!("weight = {weight}"));
            let entries = [on.entry(&a), off.entry(&b)];
            let lines = format!("balance = \"{balance}\"");
            Config::new().listener("web", at.port(0), "").pool_of("web", &entries, &lines)
        };
        let daemon = Daemon::start(config([1, 0]));
        assert_eq!(daemon.backend("web", "off").state, BackendState::Disabled, "{balance}");
        let held: Vec<_> = (0..12).map(|_| open(at.port(0))).collect();
        assert!(held.iter().all(|(name, _)| name == "on"), "{balance}: {held:?}");
        drop(held);

        daemon.reload(config([0, 1]));
        let held: Vec<_> = (0..12).map(|_| open(at.port(0))).collect();
        assert!(held.iter().all(|(name, _)| name == "off"), "{balance}: {held:?}");

        daemon.reload(config([0, 0]));
        let ended = client::connect_and_read_to_end(at.ip(), at.port(0)).unwrap();
        assert_eq!(daemon.record_of_refused(&ended).reason, Termination::NoBackend, "{balance}");
    }
}
