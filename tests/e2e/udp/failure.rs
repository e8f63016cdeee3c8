//! Backends that fail, leave or are taken out: flows go on elsewhere, or stay, as an operator would want it.

use lb_admin::{BackendState, HealthStatus};
use lb_model::Termination;
use lb_tests::{Config, Daemon, Loopback, Served, UdpAnswers, UdpBackend, UdpClient, cli, eventually};

use super::{LONG, PATIENCE, Site, ask_all, ask_until_answered, shares, wait_for_metric};

/// Whoever refuses is left alone for as long as the test lasts.
const FOR_LONG: &str =
    "passive_health = { backoff = \"10m\", max_backoff = \"10m\" }\nbalance = \"round_robin\"";

/// Clients, with who serves them.
type Clients = Vec<(UdpClient, Served)>;

/// Clients of each backend.
#[track_caller]
fn on_both(site: &Site) -> (Clients, Clients) {
    let clients = site.clients(20);
    let served = ask_all(&clients);
    let (a, b): (Clients, Clients) =
        clients.into_iter().zip(served).partition(|(_, served)| served.backend == "a");
    assert!(a.len() >= 3 && b.len() >= 3, "20 are spread: {} and {}", a.len(), b.len());
    (a, b)
}

/// Catches: flows that stay with a backend that is gone, or are moved although theirs is well.
#[test]
fn flows_leave_a_backend_that_refuses() {
    let mut site = Site::start(["a", "b"], LONG, FOR_LONG);
    let (of_a, of_b) = on_both(&site);
    site.backends[0].stop();
    // Its datagram is lost, and the network says so.
    let (first, others) = of_a.split_first().unwrap();
    first.0.send(b"lost");
    let line = site.daemon.wait_for_log("it backs off", |line| line.text.contains("backing off"));
    assert_eq!((line.field("pool"), line.field("backend")), (Some("dns"), Some("a")), "{}", line.text);
    assert!(line.text.contains("refused"), "it says why: {}", line.text);
    site.daemon.wait_for_state("dns", "a", BackendState::BackingOff);
    // Each of these loses nothing: they are answered the first time that they ask.
    assert_eq!(first.0.served_by(), "b");
    for (client, _) in others {
        assert_eq!(client.served_by(), "b");
    }
    for (client, served) in &of_b {
        assert_eq!(client.ask(b"still?"), *served, "whose backend is well has the same flow as before");
    }
    // They are the same flows: none has ended.
    site.wait_for_flows(20);
    assert!(site.daemon.access_records().is_empty());
    wait_for_metric(&site.daemon, "sluice_listener_connections_total{listener=\"dns\"}", 20);
}

#[test]
fn where_all_refuse_flows_end_and_say_so() {
    let mut site = Site::start(["a", "b"], LONG, FOR_LONG);
    site.backends.iter_mut().for_each(UdpBackend::stop);
    let client = site.client();
    eventually(PATIENCE, "the flow ends", || {
        client.send(b"anybody?");
        !site.daemon.access_records().is_empty()
    });
    let record = site.daemon.wait_for_record(client.address());
    assert_eq!(record.reason, Termination::ConnectFailed);
    assert!(record.tries >= 2, "both were tried: {record:?}");
    client.assert_nothing_more();
    // Nobody is left alone for so long that nobody is left.
    site.backends[0].restart();
    assert_eq!(ask_until_answered(&site.client()).backend, "a");
}

#[test]
fn a_backend_that_comes_back_gets_flows_again() {
    let pool = "passive_health = { backoff = \"100ms\", max_backoff = \"200ms\" }\nbalance = \"round_robin\"";
    let mut site = Site::start(["a", "b"], LONG, pool);
    let (of_a, _) = on_both(&site);
    site.backends[0].stop();
    for (client, _) in &of_a {
        assert_eq!(ask_until_answered(client).backend, "b");
    }
    site.backends[0].restart();
    let mut clients = vec![];
    eventually(PATIENCE, "it gets a new flow", || {
        let client = site.client();
        let served = ask_until_answered(&client);
        clients.push(client);
        served.backend == "a"
    });
    for (client, _) in &of_a {
        assert_eq!(client.served_by(), "b", "who has moved stays");
    }
}

/// Two backends whose health is what the test says, while both serve.
struct Patients {
    at: Loopback,
    backends: Vec<UdpBackend>,
    files: tempfile::TempDir,
}

impl Patients {
    fn start() -> Self {
        let at = Loopback::new();
        let backends =
            (0..).zip(["a", "b"]).map(|(i, name)| UdpBackend::start(name, at.backend(i))).collect();
        let patients = Self { at, backends, files: cli::folder() };
        ["a", "b"].iter().for_each(|name| patients.heal(name));
        patients
    }

    fn heal(&self, name: &str) {
        std::fs::write(self.files.path().join(name), "").unwrap();
    }

    fn sicken(&self, name: &str) {
        std::fs::remove_file(self.files.path().join(name)).unwrap();
    }

    fn config(&self) -> Config {
        let entries: Vec<_> = self
            .backends
            .iter()
            .map(|backend| {
                let file = self.files.path().join(backend.name());
                backend.entry(&format!(
                    "health_check = {{ command = [\"test\", \"-e\", {:?}] }}",
                    file.display().to_string()
                ))
            })
            .collect();
        let checks = "balance = \"round_robin\"\nhealth_check = { type = \"exec\", command = [\"true\"], \
                      interval = \"100ms\", fall = 1, rise = 1 }";
        Config::new().udp_listener("dns", self.at.port(0), LONG).pool_of("dns", &entries, checks)
    }
}

/// Catches: a backend that is known to be bad and keeps its flows, because nobody refuses their datagrams.
#[test]
fn flows_leave_a_backend_that_health_checks_find_bad() {
    let patients = Patients::start();
    let daemon = Daemon::start(patients.config());
    let site = Site { at: patients.at, backends: vec![], daemon };
    let (of_a, of_b) = on_both(&site);
    patients.sicken("a");
    site.daemon.wait_for_state("dns", "a", BackendState::Unhealthy);
    for (client, _) in &of_a {
        assert_eq!(client.served_by(), "b", "with its first datagram");
    }
    for (client, served) in &of_b {
        assert_eq!(client.ask(b"still?"), *served);
    }
    patients.heal("a");
    site.daemon.wait_for_state("dns", "a", BackendState::Active);
    for (client, _) in &of_a {
        assert_eq!(client.served_by(), "b", "who has moved stays");
    }
    assert_eq!(shares(&ask_all(&site.clients(20))).len(), 2, "both get new ones");
}

/// Catches: flows that a backend keeps because it is drained, though it is bad by now.
#[test]
fn flows_leave_a_backend_that_drains_when_health_checks_find_it_bad() {
    let patients = Patients::start();
    let daemon = Daemon::start(patients.config());
    let site = Site { at: patients.at, backends: vec![], daemon };
    let (of_a, _) = on_both(&site);
    site.daemon.sluice(["drain", "dns/a"]);
    patients.sicken("a");
    for (client, _) in &of_a {
        eventually(PATIENCE, "the flow has moved", || client.served_by() == "b");
    }
    let a = site.daemon.backend("dns", "a");
    assert_eq!((a.state, a.health.status), (BackendState::Draining, HealthStatus::Unhealthy));
}

#[test]
fn a_backend_that_drains_keeps_its_flows_and_gets_no_new_ones() {
    for command in [["drain", "dns/a"].as_slice(), &["weight", "dns/a", "0"]] {
        let site = Site::start(["a", "b"], LONG, "balance = \"round_robin\"");
        let (of_a, of_b) = on_both(&site);
        site.daemon.sluice(command.iter().copied());
        for (client, served) in of_a.iter().chain(&of_b) {
            assert_eq!(client.ask(b"still?"), *served, "{command:?}");
        }
        let clients = site.clients(20);
        assert_eq!(shares(&ask_all(&clients)).into_keys().collect::<Vec<_>>(), ["b"], "{command:?}");
    }
}

#[test]
fn flows_leave_a_backend_that_a_reload_removes() {
    let site = Site::start(["a", "b"], LONG, "balance = \"round_robin\"");
    let (of_a, of_b) = on_both(&site);
    let config = Config::new().udp_listener("dns", site.listen(), LONG);
    site.daemon.reload(config.udp_pool("dns", [&site.backends[1]], "balance = \"round_robin\""));
    let asked = site.backends[0].count();
    for (client, _) in &of_a {
        assert_eq!(client.served_by(), "b", "with its first datagram");
    }
    for (client, served) in &of_b {
        assert_eq!(client.ask(b"still?"), *served);
    }
    assert_eq!(site.backends[0].count(), asked);
    site.wait_for_flows(20);
}

/// Without one there is nobody to send to: such a flow ends, and the next datagram begins another.
#[test]
fn without_a_backend_flows_end_and_begin_when_there_is_one() {
    let site = Site::start(["a"], LONG, "");
    site.daemon.sluice(["drain", "dns/a"]);
    let client = site.client();
    client.send(b"anybody?");
    site.wait_for_dropped("no_backend", 1);
    assert_eq!(site.daemon.wait_for_record(client.address()).reason, Termination::NoBackend);
    site.daemon.sluice(["undrain", "dns/a"]);
    assert_eq!(client.served_by(), "a");
}

/// Where nobody answers, nobody is blamed.
#[test]
fn a_silent_backend_is_no_failure() {
    let at = Loopback::new();
    let backend = UdpBackend::answering(UdpAnswers::None, "a", at.backend(0));
    let config = Config::new().udp_listener("log", at.port(0), "idle_timeout = \"100ms\"");
    let daemon = Daemon::start(config.udp_pool("log", [&backend], ""));
    let clients: Vec<_> = (0..20).map(|_| UdpClient::new(at.port(0))).collect();
    clients.iter().for_each(|client| client.send(b"a line"));
    backend.wait_received(20);
    let records = daemon.wait_for_records(20);
    assert!(records.iter().all(|record| record.reason == Termination::IdleTimeout));
    assert_eq!(daemon.backend("log", "a").state, BackendState::Active);
    assert!(!daemon.log_text().contains("backing off"));
}

/// Catches: a backend that answers nothing and is never forgiven, so that each refusal takes it out for longer.
#[test]
fn a_silent_backend_that_refuses_no_more_is_forgiven() {
    let at = Loopback::new();
    let mut backend = UdpBackend::answering(UdpAnswers::None, "a", at.backend(0));
    let passive = "passive_health = { failures = 1, backoff = \"100ms\" }";
    let config = Config::new().udp_listener("log", at.port(0), LONG).udp_pool("log", [&backend], passive);
    let daemon = Daemon::start(config);
    let client = UdpClient::new(at.port(0));
    backend.stop();
    let says = |what| {
        eventually(PATIENCE, what, || {
            client.send(b"a line");
            daemon.log_text().contains(what)
        })
    };
    says("backing off");
    backend.restart();
    says("backend accepts connections again");
}
