//! Health checks: what is asked, what counts, and what comes of it.

use std::fs::Permissions;
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::Duration;

use lb_admin::{BackendState, HealthStatus};
use lb_model::Termination;
use lb_tests::{
    Authority, Backend, Behaviour, Config, Daemon, Datagrams, Hang, LogLine, Loopback, NameServer, Page,
    Records, Reply, WebServer, cli, client, eventually, process,
};

const SOON: Duration = Duration::from_secs(20);

/// Nothing but health checks keeps clients away from a backend.
const NO_PASSIVE: &str = "passive_health = { failures = 1000000 }";

/// An entry of a pool whose health check is `check`, the keys of a table.
fn entry(address: SocketAddr, name: &str, check: &str) -> String {
    format!("{{ address = \"{address}\", name = \"{name}\", health_check = {{ {check} }} }}")
}

/// The keys of a check of the web server `web`, quick as it is where it answers; more `keys` begin with a comma.
fn http(web: &WebServer, keys: &str) -> String {
    let port = web.address().port();
    format!(
        "type = \"http\", port = {port}, interval = \"50ms\", fast_interval = \"20ms\", timeout = \"60s\"{keys}"
    )
}

fn connect(at: Loopback) -> String {
    client::read_line(&client::connect(at.port(0)).unwrap()).unwrap()
}

fn open(at: Loopback, name: &str) -> TcpStream {
    let mut stream = None;
    eventually(SOON, &format!("a connection to {name}"), || {
        let candidate = client::connect(at.port(0)).unwrap();
        let found = client::read_line(&candidate).unwrap() == name;
        stream = Some(candidate);
        found
    });
    stream.unwrap()
}

fn is_verdict(line: &LogLine, backend: &str, verdict: &str) -> bool {
    line.field("backend") == Some(backend) && line.field("message") == Some(verdict)
}

fn wait_verdict(daemon: &Daemon, backend: &str, verdict: &str) -> LogLine {
    let verdict = format!("backend is {verdict}");
    daemon.wait_for_log(&format!("{backend}: {verdict}"), |line| is_verdict(line, backend, &verdict))
}

/// How many verdicts the log has on a backend.
fn verdicts(daemon: &Daemon, backend: &str) -> usize {
    let name = format!("\"backend\":\"{backend}\"");
    let is_verdict = |line: &&str| {
        line.contains(&name)
            && (line.contains("\"backend is healthy\"") || line.contains("\"backend is unhealthy\""))
    };
    daemon.log_text().lines().filter(is_verdict).count()
}

/// Waits until `sluice status` has a result of a check, and returns the verdict and the result.
fn checked(daemon: &Daemon, backend: &str) -> (HealthStatus, String) {
    let mut last = None;
    eventually(SOON, &format!("{backend} is checked"), || {
        last = daemon.backend("web", backend).health.last;
        last.is_some()
    });
    (daemon.backend("web", backend).health.status, last.unwrap())
}

/// One backend that is always healthy, and one whose checks get the answers that the test gives.
struct Pair {
    at: Loopback,
    steady: Backend,
    shaky: Backend,
    web: WebServer,
    daemon: Daemon,
}

impl Pair {
    fn start(keys: &str) -> Self {
        let at = Loopback::new();
        let steady = Backend::start("steady", at.backend(0), Behaviour::Tag);
        let shaky = Backend::start("shaky", at.backend(1), Behaviour::Tag);
        let web = WebServer::start(at.backend(2));
        let daemon = Daemon::start(Self::config(at, &steady, &shaky, &http(&web, keys), ""));
        Self { at, steady, shaky, web, daemon }
    }

    fn config(at: Loopback, steady: &Backend, shaky: &Backend, check: &str, listener: &str) -> Config {
        let entries = [steady.entry(""), entry(shaky.address(), "shaky", check)];
        let pool = format!("balance = \"round_robin\"\n{NO_PASSIVE}");
        Config::new().listener("web", at.port(0), listener).pool_of("web", &entries, &pool)
    }

    /// The same configuration with another check, and further lines for the listener.
    fn with(&self, check: &str, listener: &str) -> Config {
        Self::config(self.at, &self.steady, &self.shaky, check, listener)
    }

    fn wait_state(&self, state: BackendState) {
        self.daemon.wait_for_state("web", "shaky", state);
    }

    fn state(&self) -> BackendState {
        self.daemon.backend("web", "shaky").state
    }
}

/// A pool whose checks are a clock: with it a test sees that something does not happen, however slow the machine is.
struct Clock(WebServer);

impl Clock {
    fn start(at: Loopback) -> Self {
        let web = WebServer::start(at.backend(900));
        web.always(Page::Status(200));
        Self(web)
    }

    fn add_to(&self, config: Config) -> Config {
        config.pool_of("clock", &[entry(self.0.address(), "clock", &http(&self.0, ""))], "")
    }

    fn wait_ticks(&self, ticks: usize) {
        self.0.wait_requests(self.0.requests().len() + ticks);
    }
}

#[test]
fn a_backend_that_stops_accepting_gets_no_clients_until_it_is_back() {
    let at = Loopback::new();
    let steady = Backend::start("steady", at.backend(0), Behaviour::Tag);
    let mut flaky = Backend::start("flaky", at.backend(1), Behaviour::Tag);
    let check = "health_check = { type = \"tcp\", interval = \"50ms\", fast_interval = \"20ms\", fall = 2, rise = 2 }";
    let daemon = Daemon::start(Config::new().listener("web", at.port(0), "").pool(
        "web",
        [&steady, &flaky],
        &format!("balance = \"round_robin\"\n{check}\n{NO_PASSIVE}"),
    ));
    wait_verdict(&daemon, "flaky", "healthy");
    for _ in 0..2 {
        daemon.wait_for_state("web", "flaky", BackendState::Active);
        eventually(SOON, "it gets clients", || connect(at) == "flaky");
        flaky.stop();
        daemon.wait_for_state("web", "flaky", BackendState::Unhealthy);
        let status = daemon.backend("web", "flaky");
        assert_eq!(status.reason.as_deref(), Some("connection refused"));
        assert_eq!(
            (status.health.status, status.health.kind.as_deref()),
            (HealthStatus::Unhealthy, Some("tcp"))
        );
        let before = daemon.access_records().len();
        for _ in 0..20 {
            assert_eq!(connect(at), "steady");
        }
        let records = daemon.wait_for_records(before + 20);
        let tries: Vec<_> = records.iter().skip(before).map(|record| record.tries).collect();
        assert!(tries.iter().all(|&tries| tries == 1), "nobody tried the one that is down: {tries:?}");
        flaky.restart();
    }
    let line = wait_verdict(&daemon, "flaky", "unhealthy");
    assert_eq!(line.field("reason"), Some("connection refused"));
    assert_eq!(
        (line.field("pool"), line.field("from"), line.field("kind")),
        (Some("web"), Some("healthy"), Some("refused"))
    );
}

#[test]
fn a_web_server_is_judged_by_status_and_body() {
    let at = Loopback::new();
    let plain = |page: Page, keys: &'static str, fault: Option<&'static str>| (page, keys, fault);
    let cases = [
        plain(Page::Status(200), "", None),
        plain(Page::Redirect("/elsewhere".into()), "", None),
        plain(Page::Redirect("/".into()), ", status = \"200-299\"", Some("status 302, expected 200-299")),
        plain(Page::Status(404), "", Some("status 404, expected 200-399")),
        plain(Page::Status(503), ", status = \"200,204\"", Some("status 503, expected 200,204")),
        plain(Page::Status(404), ", status = \"200, 404\"", None),
        plain(Page::Body("all is ready".into()), ", body = \"ready\"", None),
        plain(Page::Body("not yet".into()), ", body = \"ready\"", Some("body does not contain \"ready\"")),
        plain(
            Page::Body("late: ready".into()),
            ", body = { contains = \"ready\", within = \"6B\" }",
            Some("body does not contain \"ready\""),
        ),
        plain(Page::Raw("SSH-2.0-OpenSSH\r\n"), "", Some("answer is no valid HTTP: ")),
        plain(Page::Raw(""), "", Some("connection closed before the answer was complete")),
        plain(
            Page::Raw("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf of it"),
            "",
            Some("connection closed before the answer was complete"),
        ),
    ];
    let webs: Vec<_> = (0..).map(|i| WebServer::start(at.backend(i))).take(cases.len()).collect();
    let mut entries = vec![];
    for (number, (web, (page, keys, _))) in webs.iter().zip(&cases).enumerate() {
        web.always(page.clone());
        entries.push(entry(web.address(), &format!("case-{number}"), &http(web, keys)));
    }
    let daemon = Daemon::start(Config::new().listener("web", at.port(0), "").pool_of("web", &entries, ""));
    for (number, (page, keys, fault)) in cases.iter().enumerate() {
        let case = format!("{page:?}{keys}");
        let (status, last) = checked(&daemon, &format!("case-{number}"));
        match fault {
            None => assert_eq!((status, last.as_str()), (HealthStatus::Healthy, "ok"), "{case}"),
            Some(fault) => {
                assert_eq!(status, HealthStatus::Unhealthy, "{case}");
                assert!(last.starts_with(fault), "{case}: {last}");
            }
        }
    }
    assert!(webs[1].wait_requests(3).iter().all(|request| request.path == "/"), "redirects are not followed");
}

#[test]
fn a_web_server_is_asked_as_configured() {
    let at = Loopback::new();
    let (plain, special) = (WebServer::start(at.backend(0)), WebServer::start(at.backend(1)));
    let keys = ", method = \"HEAD\", path = \"/healthz?deep=1\", host = \"shop.example:8080\"";
    let entries = [
        entry(plain.address(), "plain", &http(&plain, "")),
        entry(at.backend(2), "special", &http(&special, keys)),
    ];
    let _daemon = Daemon::start(Config::new().listener("web", at.port(0), "").pool_of("web", &entries, ""));
    let seen = |web: &WebServer| {
        let request = web.wait_requests(1).remove(0);
        [request.method, request.path, request.host]
    };
    assert_eq!(seen(&plain), ["GET", "/", &plain.address().to_string()]);
    assert_eq!(seen(&special), ["HEAD", "/healthz?deep=1", "shop.example:8080"]);
}

#[test]
fn a_certificate_has_to_be_trusted_and_of_the_right_name() {
    let at = Loopback::new();
    let (ours, strange) = (Authority::new("ours"), Authority::new("a strange one"));
    let ip = at.ip().to_string();
    let trust = format!("ca_file = \"{}\"", ours.file().display());
    let named = |name: &str| format!(", {trust}, server_name = \"{name}\"");
    let tls =
        |i: u16, authority: &Authority| WebServer::start_tls(at.backend(i), authority, &["web.example", &ip]);
    let cases = [
        (tls(0, &ours), named("web.example"), None),
        (tls(1, &ours), format!(", {trust}"), None),
        (tls(2, &ours), format!(", {trust}, host = \"web.example:443\""), None),
        (tls(3, &ours), named("other.example"), Some("certificate is not for other.example")),
        (tls(4, &strange), named("web.example"), Some("certificate is not signed by a trusted authority")),
        (tls(5, &strange), ", verify = false".into(), None),
    ];
    let mut entries = vec![];
    for (number, (web, keys, _)) in cases.iter().enumerate() {
        web.always(Page::Status(200));
        // Time for a handshake on a machine that has other things to do.
        let check = format!("type = \"https\", interval = \"100ms\", timeout = \"15s\"{keys}");
        entries.push(entry(web.address(), &format!("case-{number}"), &check));
    }
    let daemon = Daemon::start(Config::new().listener("web", at.port(0), "").pool_of("web", &entries, ""));
    for (number, (web, keys, fault)) in cases.iter().enumerate() {
        let (status, last) = checked(&daemon, &format!("case-{number}"));
        let expected = fault.map_or((HealthStatus::Healthy, "ok"), |fault| (HealthStatus::Unhealthy, fault));
        assert_eq!((status, last.as_str()), expected, "{keys} of {web:?}");
    }
    assert_eq!(daemon.backend("web", "case-0").health.kind.as_deref(), Some("https"));
}

#[test]
fn a_reload_reads_ca_files_again() {
    let at = Loopback::new();
    let (ours, next) = (Authority::new("ours"), Authority::new("the next"));
    let web = WebServer::start_tls(at.backend(0), &next, &["web.example"]);
    web.always(Page::Status(200));
    let check = format!(
        "type = \"https\", interval = \"100ms\", timeout = \"15s\", rise = 1, server_name = \"web.example\", ca_file = \"{}\"",
        ours.file().display()
    );
    let config = Config::new().listener("web", at.port(0), "").pool_of(
        "web",
        &[entry(web.address(), "b", &check)],
        "",
    );
    let daemon = Daemon::start(&config);
    daemon.wait_for_state("web", "b", BackendState::Unhealthy);
    std::fs::copy(next.file(), ours.file()).unwrap();
    daemon.reload(&config);
    daemon.wait_for_state("web", "b", BackendState::Active);
}

#[test]
fn a_datagram_is_answered_or_at_least_not_refused() {
    let at = Loopback::new();
    let pong = || Reply::Bytes(b"a PONG".to_vec());
    let cases = [
        (Some(pong()), "send = \"PING\"", None),
        (Some(pong()), "send_hex = \"00 ff\", expect = { contains = \"PONG\" }", None),
        (Some(pong()), "expect = { starts_with = \"PONG\" }", Some("unexpected answer of 6 bytes")),
        (Some(pong()), "expect = { starts_with_hex = \"61 20\" }", None),
        (Some(Reply::Silence), "expect = \"not_refused\", timeout = \"50ms\"", None),
        (Some(Reply::Silence), "timeout = \"50ms\"", Some("no answer within 50ms")),
        (None, "expect = \"not_refused\"", Some("connection refused")),
        (None, "expect = \"any\"", Some("connection refused")),
    ];
    let mut servers = vec![];
    let mut entries = vec![];
    for (i, (reply, keys, _)) in (0..).zip(&cases) {
        servers.push(reply.clone().map(|reply| Datagrams::start(at.backend(i), reply)));
        let timeout = if keys.contains("timeout") { "" } else { ", timeout = \"15s\"" };
        let check = format!("type = \"udp\", interval = \"50ms\", {keys}{timeout}");
        entries.push(entry(at.backend(i), &format!("case-{i}"), &check));
    }
    let daemon = Daemon::start(Config::new().listener("web", at.port(0), "").pool_of("web", &entries, ""));
    for (number, (_, keys, fault)) in cases.iter().enumerate() {
        let (status, last) = checked(&daemon, &format!("case-{number}"));
        let expected = fault.map_or((HealthStatus::Healthy, "ok"), |fault| (HealthStatus::Unhealthy, fault));
        assert_eq!((status, last.as_str()), expected, "{keys}");
    }
    let received = |i: usize| servers[i].as_ref().unwrap().wait_received(1).remove(0);
    assert_eq!([received(0), received(1), received(2)], [b"PING".to_vec(), vec![0, 0xff], vec![]]);
}

#[test]
fn a_name_server_is_healthy_while_it_has_the_record() {
    let at = Loopback::new();
    let dns = NameServer::start(at.backend(0));
    dns.addresses("health.example", &[at.ip()]);
    let check = "type = \"dns\", name = \"health.example\", interval = \"50ms\", timeout = \"15s\", rise = 1, fall = 1";
    let entries = [entry(dns.address(), "dns", check)];
    let daemon = Daemon::start(Config::new().listener("web", at.port(0), "").pool_of("web", &entries, ""));
    let no_record = Records::Addresses(0, vec!["::1".parse().unwrap()]);
    for (records, fault) in [
        (Some(Records::Failure), "answered SERVFAIL"),
        (None, "answered NXDOMAIN"),
        (Some(no_record), "answered without a record of that type"),
    ] {
        daemon.wait_for_state("web", "dns", BackendState::Active);
        match records {
            Some(records) => dns.set("health.example", records),
            None => dns.remove("health.example"),
        }
        daemon.wait_for_state("web", "dns", BackendState::Unhealthy);
        assert_eq!(daemon.backend("web", "dns").reason.as_deref(), Some(fault));
        dns.addresses("health.example", &[at.ip()]);
    }
    daemon.wait_for_state("web", "dns", BackendState::Active);
}

/// Writes a script that can be run.
fn script(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
    path.display().to_string()
}

#[test]
fn a_command_decides_and_says_why() {
    let at = Loopback::new();
    let folder = cli::folder();
    let seen = folder.path().join("seen");
    let program = script(
        folder.path(),
        "check",
        &format!(
            "echo \"$SLUICE_BACKEND_ADDRESS $SLUICE_BACKEND_PORT $SLUICE_BACKEND_NAME $1\" > {0}.new; mv {0}.new {0}\n\
             test -e {1} || {{ echo all well; exit 0; }}\n\
             echo the disk is full >&2; exit 3",
            seen.display(),
            folder.path().join("full").display(),
        ),
    );
    let check = format!(
        "type = \"exec\", command = [\"{program}\", \"two words\"], interval = \"100ms\", timeout = \"15s\", rise = 1, fall = 1"
    );
    let entries = [entry(at.backend(0), "disk", &check)];
    let daemon = Daemon::start(Config::new().listener("web", at.port(0), "").pool_of("web", &entries, ""));
    wait_verdict(&daemon, "disk", "healthy");
    let expected = format!("{} {} disk two words\n", at.ip(), at.backend(0).port());
    assert_eq!(std::fs::read_to_string(&seen).unwrap(), expected);
    std::fs::write(folder.path().join("full"), "").unwrap();
    assert_eq!(
        wait_verdict(&daemon, "disk", "unhealthy").field("reason"),
        Some("exit code 3: the disk is full")
    );
    std::fs::remove_file(folder.path().join("full")).unwrap();
    daemon.wait_for_state("web", "disk", BackendState::Active);
}

#[test]
fn a_command_that_hangs_is_killed_with_all_that_it_started() {
    let at = Loopback::new();
    let folder = cli::folder();
    let pids = folder.path().join("pids");
    let text = format!("trap '' TERM\nsleep 1000 &\nprintf '%s\\n' $$ $! >> {}\nwait", pids.display());
    let program = script(folder.path(), "check", &text);
    let check =
        format!("type = \"exec\", command = [\"{program}\"], interval = \"100ms\", timeout = \"500ms\"");
    let config = Config::new().listener("web", at.port(0), "");
    let daemon = Daemon::start(config.clone().pool_of("web", &[entry(at.backend(0), "hung", &check)], ""));
    assert_eq!(
        wait_verdict(&daemon, "hung", "unhealthy").field("reason"),
        Some("command did not end within 500ms")
    );
    let started = || std::fs::read_to_string(&pids).unwrap_or_default();
    eventually(SOON, "several probes", || started().lines().count() >= 4);
    // The one that is under way goes with its check.
    daemon.reload(config.pool_of("web", &[format!("\"{}\"", at.backend(0))], ""));
    eventually(SOON, "all of them are gone", || {
        started().lines().all(|pid| process::has_ended(pid.parse().unwrap()))
    });
    eventually(SOON, "the daemon has no children", || process::children(daemon.pid()).is_empty());
}

#[test]
fn a_check_that_is_not_possible_leaves_the_verdict_alone() {
    let pair = Pair::start(", fall = 1");
    pair.web.always(Page::Status(200));
    wait_verdict(&pair.daemon, "shaky", "healthy");
    let check = "type = \"exec\", command = [\"/nowhere/check\"], interval = \"20ms\", fall = 1";
    pair.daemon.reload(pair.with(check, ""));
    let (status, last) = {
        let mut last = String::new();
        eventually(SOON, "the command is tried", || {
            last = pair.daemon.backend("web", "shaky").health.last.unwrap_or_default();
            last.contains("/nowhere/check")
        });
        (pair.daemon.backend("web", "shaky").health.status, last)
    };
    assert_eq!(status, HealthStatus::Healthy, "{last}");
    assert!(last.starts_with("cannot probe: "), "{last}");
    pair.daemon.wait_for_log("a warning", |line| {
        line.field("level") == Some("WARN") && line.text.contains("/nowhere/check")
    });
    eventually(SOON, "it gets clients", || connect(pair.at) == "shaky");
}

#[test]
fn a_target_that_hangs_is_unhealthy_and_nobody_else_notices() {
    let at = Loopback::new();
    let steady = Backend::start("steady", at.backend(0), Behaviour::Tag);
    // One accepts no connection, the other accepts and then says nothing.
    let _hung = Hang::start(at.backend(1));
    let stalled = Backend::start("stalled", at.backend(2), Behaviour::Stall);
    let clock = Clock::start(at);
    let quick = "interval = \"100ms\", timeout = \"200ms\", fall = 2";
    let config = Config::new().listener("web", at.port(0), "").pool_of(
        "web",
        &[
            entry(steady.address(), "steady", "type = \"tcp\", interval = \"50ms\", timeout = \"15s\""),
            entry(at.backend(1), "hung", &format!("type = \"tcp\", {quick}")),
            entry(stalled.address(), "stalled", &format!("type = \"http\", {quick}")),
        ],
        &format!("balance = \"round_robin\"\n{NO_PASSIVE}"),
    );
    let daemon = Daemon::start(clock.add_to(config));
    assert_eq!(
        wait_verdict(&daemon, "hung", "unhealthy").field("reason"),
        Some("no connection within 200ms")
    );
    assert_eq!(wait_verdict(&daemon, "stalled", "unhealthy").field("reason"), Some("no answer within 200ms"));
    daemon.wait_for_state("web", "hung", BackendState::Unhealthy);
    daemon.wait_for_state("web", "stalled", BackendState::Unhealthy);
    // Others are checked on while these are waited for.
    clock.wait_ticks(5);
    for _ in 0..20 {
        assert_eq!(connect(at), "steady");
    }
}

#[test]
fn rise_and_fall_are_counted() {
    let pair = Pair::start(", rise = 2, fall = 3");
    // The first answer decides at once; those that contradict it count.
    let step = |page: Page, state: BackendState| {
        pair.web.then([page]);
        // When the next probe asks, all that the one before it said has been taken in.
        pair.web.wait_waiting(1);
        pair.wait_state(state);
    };
    let (good, bad) = (|| Page::Status(200), || Page::Status(500));
    let (up, down) = (BackendState::Active, BackendState::Unhealthy);
    pair.web.wait_waiting(1);
    for (page, state) in [
        (good(), up),
        (bad(), up),
        (bad(), up),
        (good(), up),
        (bad(), up),
        (bad(), up),
        (bad(), down),
        (good(), down),
        (bad(), down),
        (good(), down),
        (good(), up),
    ] {
        let verdicts_before = verdicts(&pair.daemon, "shaky");
        let before = pair.daemon.backend("web", "shaky").health.status;
        step(page, state);
        let after = pair.daemon.backend("web", "shaky").health.status;
        let logged = verdicts_before + usize::from(before != after);
        eventually(SOON, "a verdict is logged", || verdicts(&pair.daemon, "shaky") == logged);
    }
    assert_eq!(verdicts(&pair.daemon, "shaky"), 3);
    assert_eq!(pair.web.requests().len(), 12, "one probe after the other");
}

#[test]
fn a_backend_that_flaps_faster_than_its_counts_stays_as_it_is() {
    let pair = Pair::start(", rise = 3, fall = 3");
    let bad_bad_good = || [500, 500, 200].map(Page::Status);
    pair.web.then([Page::Status(200)]);
    pair.web.wait_waiting(1);
    pair.web.then((0..10).flat_map(|_| bad_bad_good()));
    pair.web.wait_waiting(1);
    assert_eq!((pair.state(), verdicts(&pair.daemon, "shaky")), (BackendState::Active, 1));
    // The other way round.
    pair.web.then([500, 500, 500].map(Page::Status));
    pair.wait_state(BackendState::Unhealthy);
    pair.web.then((0..10).flat_map(|_| [200, 200, 500].map(Page::Status)));
    pair.web.wait_waiting(1);
    assert_eq!((pair.state(), verdicts(&pair.daemon, "shaky")), (BackendState::Unhealthy, 2));
    assert_eq!(connect(pair.at), "steady");
}

#[test]
fn it_is_looked_at_faster_until_there_is_a_verdict() {
    let at = Loopback::new();
    let (web, clock) = (WebServer::start(at.backend(1)), Clock::start(at));
    web.then([Page::Status(200)]);
    let port = web.address().port();
    // With the interval alone, 30 probes would take a minute.
    let check = format!(
        "type = \"http\", port = {port}, interval = \"2s\", fast_interval = \"20ms\", timeout = \"60s\", fall = 30"
    );
    let config = Config::new().listener("web", at.port(0), "");
    let config = config.pool_of("web", &[entry(at.backend(0), "b", &check)], "");
    let daemon = Daemon::start(clock.add_to(config));
    wait_verdict(&daemon, "b", "healthy");
    web.always(Page::Status(500));
    wait_verdict(&daemon, "b", "unhealthy");
    let before = web.requests().len();
    assert!(before >= 31, "{before}");
    clock.wait_ticks(20);
    let since = web.requests().len() - before;
    // A probe each 2 s, and of the clock one each 50 ms.
    assert!(since < 10, "{since} probes within 20 of one that is looked at 40 times as often");
}

#[test]
fn pools_that_ask_the_same_share_the_answer() {
    let at = Loopback::new();
    let (web, clock) = (WebServer::start(at.backend(2)), Clock::start(at));
    let backends = [0, 1].map(|i| Backend::start(&format!("b{i}"), at.backend(i), Behaviour::Tag));
    let entries = |name: &str| [entry(web.address(), name, &http(&web, ""))];
    let config = Config::new()
        .listener("web", at.port(0), "")
        .pool_of("web", &entries("one"), "")
        .pool_of("mail", &entries("another"), "")
        .pool("other", &backends, "");
    let daemon = Daemon::start(clock.add_to(config));
    web.wait_waiting(1);
    clock.wait_ticks(3);
    assert_eq!(web.requests().len(), 1, "one probe for both");
    web.then([Page::Status(500)]);
    daemon.wait_for_state("web", "one", BackendState::Unhealthy);
    daemon.wait_for_state("mail", "another", BackendState::Unhealthy);
    for (pool, backend) in [("web", "one"), ("mail", "another")] {
        let line = wait_verdict(&daemon, backend, "unhealthy");
        assert_eq!(
            (line.field("pool"), line.field("reason")),
            (Some(pool), Some("status 500, expected 200-399"))
        );
    }
    web.wait_waiting(1);
    assert_eq!(web.requests().len(), 2);
}

#[test]
fn a_backend_may_have_a_check_of_its_own_or_none() {
    let at = Loopback::new();
    let [web, special] = [0, 1].map(|i| WebServer::start(at.backend(i)));
    web.always(Page::Status(200));
    special.always(Page::Status(200));
    let (port, other) = (web.address().port(), special.address().port());
    let listed = |i: u16, name: &str, check: &str| {
        format!("{{ address = \"{}\", name = \"{name}\"{check} }}", at.backend(i))
    };
    let entries = [
        listed(10, "plain", ""),
        listed(11, "special", &format!(", health_check = {{ port = {other}, path = \"/special\" }}")),
        listed(12, "tcp", ", health_check = { type = \"tcp\", fall = 1 }"),
        listed(13, "off", ", health_check = \"off\""),
    ];
    let pool = format!(
        "health_check = {{ type = \"http\", path = \"/plain\", port = {port}, host = \"shop.example\", interval = \"50ms\", timeout = \"15s\" }}"
    );
    let daemon = Daemon::start(Config::new().listener("web", at.port(0), "").pool_of("web", &entries, &pool));
    for (web, path) in [(&web, "/plain"), (&special, "/special")] {
        let requests = web.wait_requests(2);
        assert!(
            requests.iter().all(|request| request.path == path && request.host == "shop.example"),
            "{requests:?}"
        );
    }
    assert_eq!(checked(&daemon, "plain").0, HealthStatus::Healthy);
    assert_eq!(checked(&daemon, "special").0, HealthStatus::Healthy);
    // The pool's port goes for it, too, and something listens there.
    assert_eq!(checked(&daemon, "tcp").0, HealthStatus::Healthy);
    let kind = |name: &str| daemon.backend("web", name).health.kind;
    assert_eq!([kind("special"), kind("tcp"), kind("off")], [Some("http".into()), Some("tcp".into()), None]);
    let off = daemon.backend("web", "off");
    assert_eq!((off.state, off.health.status), (BackendState::Active, HealthStatus::Unchecked));
}

#[test]
fn connections_outlive_the_verdict() {
    let pair = Pair::start(", fall = 1");
    pair.web.always(Page::Status(200));
    wait_verdict(&pair.daemon, "shaky", "healthy");
    let stream = open(pair.at, "shaky");
    pair.web.always(Page::Status(500));
    pair.wait_state(BackendState::Unhealthy);
    std::io::Write::write_all(&mut &stream, b"still here").unwrap();
    assert_eq!(client::read_bytes(&stream, 10).unwrap(), b"still here");
    assert_eq!(pair.daemon.backend("web", "shaky").connections, 1);
    drop(stream);
    let records = pair.daemon.wait_for_records(1);
    assert!(records.iter().all(|record| record.reason == Termination::Finished), "{records:?}");
}

#[test]
fn where_all_are_unhealthy_all_are_tried() {
    let at = Loopback::new();
    let backends = [0, 1].map(|i| Backend::start(&format!("b{i}"), at.backend(i), Behaviour::Tag));
    let web = WebServer::start(at.backend(2));
    web.always(Page::Status(200));
    let entries =
        [0, 1].map(|i: usize| entry(backends[i].address(), backends[i].name(), &http(&web, ", fall = 2")));
    let daemon = Daemon::start(Config::new().listener("web", at.port(0), "").pool_of(
        "web",
        &entries,
        "balance = \"round_robin\"",
    ));
    let panic = || daemon.status().pools[0].panic;
    let up = |backend| format!("sluice_backend_up{{pool=\"web\",backend=\"{backend}\"}}");
    for backend in &backends {
        wait_verdict(&daemon, backend.name(), "healthy");
    }
    assert!(!panic());
    assert_eq!(daemon.metric(&up("b0")), 1.0);
    web.always(Page::Status(500));
    daemon.wait_for_state("web", "b0", BackendState::Unhealthy);
    daemon.wait_for_state("web", "b1", BackendState::Unhealthy);
    eventually(SOON, "the pool panics", panic);
    for backend in &backends {
        eventually(SOON, "it gets clients all the same", || connect(at) == backend.name());
    }
    let log = daemon.wait_for_log("a word about it", |line| {
        line.field("level") == Some("ERROR") && line.field("pool") == Some("web")
    });
    assert!(log.text.contains("too few backends of the pool are healthy"), "{}", log.text);
    assert_eq!((daemon.metric("sluice_pool_panic{pool=\"web\"}"), daemon.metric(&up("b0"))), (1.0, 0.0));
    let text = daemon.sluice(["status"]);
    assert!(text.to_lowercase().contains("panic"), "{text}");
    web.always(Page::Status(200));
    daemon.wait_for_state("web", "b0", BackendState::Active);
    daemon.wait_for_state("web", "b1", BackendState::Active);
    daemon.wait_for_log("that it is over", |line| {
        line.text.contains("enough backends of the pool are healthy again")
    });
    assert!(!panic());
    assert_eq!(daemon.metric("sluice_pool_panic{pool=\"web\"}"), 0.0);
}

#[test]
fn fewer_healthy_than_the_threshold_are_a_panic_too() {
    let at = Loopback::new();
    let backends = [0, 1, 2].map(|i| Backend::start(&format!("b{i}"), at.backend(i), Behaviour::Tag));
    let [good, bad] = [3, 4].map(|i| WebServer::start(at.backend(i)));
    good.always(Page::Status(200));
    bad.always(Page::Status(500));
    let entries = [
        entry(backends[0].address(), "b0", &http(&good, "")),
        entry(backends[1].address(), "b1", &http(&bad, "")),
        entry(backends[2].address(), "b2", &http(&bad, "")),
    ];
    let config = |threshold: &str| {
        let pool = format!("balance = \"round_robin\"\npanic_threshold = \"{threshold}\"");
        Config::new().listener("web", at.port(0), "").pool_of("web", &entries, &pool)
    };
    let daemon = Daemon::start(config("50%"));
    daemon.wait_for_state("web", "b1", BackendState::Unhealthy);
    daemon.wait_for_state("web", "b2", BackendState::Unhealthy);
    eventually(SOON, "an unhealthy one gets clients", || connect(at) == "b1");
    daemon.reload(config("20%"));
    assert!(!daemon.status().pools[0].panic);
    for _ in 0..10 {
        assert_eq!(connect(at), "b0");
    }
}

#[test]
fn a_reload_keeps_verdicts_and_probes_nobody_again() {
    let at = Loopback::new();
    let steady = Backend::start("steady", at.backend(0), Behaviour::Tag);
    let shaky = Backend::start("shaky", at.backend(1), Behaviour::Tag);
    let (web, clock) = (WebServer::start(at.backend(2)), Clock::start(at));
    let config =
        |listener: &str| clock.add_to(Pair::config(at, &steady, &shaky, &http(&web, ", rise = 2"), listener));
    web.then([Page::Status(500)]);
    let daemon = Daemon::start(config(""));
    daemon.wait_for_state("web", "shaky", BackendState::Unhealthy);
    web.then([Page::Status(200)]);
    web.wait_waiting(1);
    let before = web.requests().len();
    for round in 0..5 {
        daemon.reload(config(&format!("idle_timeout = \"{}s\"", 100 + round)));
        assert_eq!(daemon.backend("web", "shaky").state, BackendState::Unhealthy);
        assert_eq!(connect(at), "steady");
    }
    clock.wait_ticks(3);
    web.wait_waiting(1);
    assert_eq!(web.requests().len(), before, "the probe that was under way still is");
    // It was the second good answer that it waited for.
    web.then([Page::Status(200)]);
    daemon.wait_for_state("web", "shaky", BackendState::Active);
    eventually(SOON, "two verdicts are logged", || verdicts(&daemon, "shaky") == 2);
}

#[test]
fn another_check_decides_with_its_first_answer() {
    let pair = Pair::start(", fall = 2, rise = 5");
    pair.web.then([Page::Status(500)]);
    pair.wait_state(BackendState::Unhealthy);
    pair.web.wait_waiting(1);
    pair.daemon.reload(pair.with(&http(&pair.web, ", fall = 2, rise = 5, path = \"/new\""), ""));
    // Until then the old verdict stands.
    eventually(SOON, "the new question", || pair.web.requests().iter().any(|request| request.path == "/new"));
    pair.web.wait_waiting(1);
    assert_eq!(pair.state(), BackendState::Unhealthy);
    assert_eq!(connect(pair.at), "steady");
    pair.web.then([Page::Status(200)]);
    pair.wait_state(BackendState::Active);
    eventually(SOON, "it gets clients", || connect(pair.at) == "shaky");
}

#[test]
fn a_check_that_is_taken_away_takes_its_verdict_along() {
    let pair = Pair::start("");
    pair.web.always(Page::Status(500));
    pair.wait_state(BackendState::Unhealthy);
    let config = Config::new().listener("web", pair.at.port(0), "").pool(
        "web",
        [&pair.steady, &pair.shaky],
        "balance = \"round_robin\"",
    );
    pair.daemon.reload(config);
    pair.wait_state(BackendState::Active);
    let status = pair.daemon.backend("web", "shaky");
    assert_eq!((status.health.status, status.reason), (HealthStatus::Unchecked, None));
    eventually(SOON, "it gets clients", || connect(pair.at) == "shaky");
}

#[test]
fn a_verdict_that_comes_late_does_not_outlive_its_check() {
    let pair = Pair::start("");
    let quick = http(&pair.web, "").replace("50ms", "10ms").replace("20ms", "10ms");
    let with_check = pair.with(&format!("{quick}, fall = 1, rise = 1, jitter = \"0%\""), "");
    let entries = [pair.steady.entry(""), pair.shaky.entry("")];
    // Listeners that are new keep the reload busy for a while, in which the verdict changes and changes.
    let pool = format!("balance = \"round_robin\"\n{NO_PASSIVE}");
    let mut without = Config::new().listener("web", pair.at.port(0), "").pool_of("web", &entries, &pool);
    for i in 1..40 {
        let name = format!("l{i}");
        without = without.listener(&name, pair.at.port(i), "").pool_of(&name, &entries[..1], "");
    }
    pair.web.then((0..100_000).map(|i| Page::Status(if i % 2 == 0 { 200 } else { 500 })));
    for _ in 0..6 {
        pair.daemon.reload(&with_check);
        pair.wait_state(BackendState::Unhealthy);
        pair.daemon.reload(&without);
        // Were a verdict taken in after the check has gone, nothing would ever change it.
        pair.wait_state(BackendState::Active);
    }
}

#[test]
fn a_backend_that_is_removed_is_not_checked_any_more() {
    let pair = Pair::start("");
    pair.web.wait_waiting(1);
    let config = Config::new().listener("web", pair.at.port(0), "");
    pair.daemon.reload(config.clone().pool("web", [&pair.steady], ""));
    pair.web.wait_waiting(0);
    let before = pair.web.requests().len();
    // It comes back as somebody new: the verdict is not that of the one before.
    pair.daemon.reload(pair.with(&http(&pair.web, ""), ""));
    pair.web.wait_requests(before + 1);
    assert_eq!(pair.daemon.backend("web", "shaky").health.status, HealthStatus::Unknown);
}

#[test]
fn a_drained_backend_is_checked_on() {
    let pair = Pair::start(", fall = 1, rise = 1");
    pair.web.always(Page::Status(200));
    wait_verdict(&pair.daemon, "shaky", "healthy");
    pair.daemon.sluice(["drain", "web/shaky"]);
    assert_eq!(pair.state(), BackendState::Draining);
    pair.web.always(Page::Status(500));
    wait_verdict(&pair.daemon, "shaky", "unhealthy");
    let status = pair.daemon.backend("web", "shaky");
    assert_eq!((status.state, status.health.status), (BackendState::Draining, HealthStatus::Unhealthy));
    pair.daemon.sluice(["undrain", "web/shaky"]);
    assert_eq!(pair.state(), BackendState::Unhealthy, "its checks fail still");
    assert_eq!(connect(pair.at), "steady");
    pair.web.always(Page::Status(200));
    pair.wait_state(BackendState::Active);
}

#[test]
fn no_more_than_the_allowed_share_is_left_alone() {
    let at = Loopback::new();
    let alive = Backend::start("alive", at.backend(0), Behaviour::Tag);
    let dead: Vec<_> =
        (1..4).map(|i| format!("{{ address = \"{}\", name = \"dead-{i}\" }}", at.backend(i))).collect();
    let entries = [vec![alive.entry("")], dead].concat();
    let pool = "balance = \"round_robin\"\nconnect_tries = 4\n\
                passive_health = { failures = 1, backoff = \"60s\", max_backoff = \"60s\", max_ejected = \"50%\" }";
    let daemon = Daemon::start(Config::new().listener("web", at.port(0), "").pool_of("web", &entries, pool));
    for _ in 0..40 {
        assert_eq!(connect(at), "alive");
    }
    let records = daemon.wait_for_records(40);
    let states = || daemon.status().pools[0].backends.iter().map(|backend| backend.state).collect::<Vec<_>>();
    let backing_off = || states().into_iter().filter(|&state| state == BackendState::BackingOff).count();
    eventually(SOON, "two of four are left alone", || backing_off() == 2);
    assert!(states().contains(&BackendState::Active));
    let late: u64 = records.iter().skip(20).map(|record| record.tries).sum();
    assert!(late > 20, "the third is tried on and on: {late} tries of 20 clients");
}

#[test]
fn status_and_metrics_tell_the_last_answer_and_how_long_it_took() {
    let pair = Pair::start(", fall = 1, rise = 1");
    pair.web.always(Page::Status(200));
    wait_verdict(&pair.daemon, "shaky", "healthy");
    let health = pair.daemon.backend("web", "shaky").health;
    assert_eq!((health.kind.as_deref(), health.last.as_deref()), (Some("http"), Some("ok")));
    assert!(health.latency_ms.is_some_and(|latency| latency > 0.0 && latency < 60_000.0), "{health:?}");
    let metric = |name: &str| pair.daemon.metric(&format!("{name}{{pool=\"web\",backend=\"shaky\"}}"));
    assert_eq!(metric("sluice_backend_check_success"), 1.0);
    assert!(metric("sluice_backend_check_duration_seconds") > 0.0);
    assert!(!pair.daemon.metrics().contains("sluice_backend_check_success{pool=\"web\",backend=\"steady\"}"));
    pair.web.always(Page::Status(503));
    pair.wait_state(BackendState::Unhealthy);
    let status = pair.daemon.backend("web", "shaky");
    let reason = "status 503, expected 200-399";
    assert_eq!((status.reason.as_deref(), status.health.last.as_deref()), (Some(reason), Some(reason)));
    assert_eq!(metric("sluice_backend_check_success"), 0.0);
    let text = pair.daemon.sluice(["status"]);
    let line = text.lines().find(|line| line.contains("shaky")).unwrap_or_default();
    assert!(line.contains("unhealthy") && text.contains("status 503"), "{text}");
}

#[test]
fn the_latency_is_that_of_the_last_check() {
    let pair = Pair::start("");
    let check = http(&pair.web, ", fall = 1").replace("60s", "500ms");
    pair.web.always(Page::Status(200));
    pair.daemon.reload(pair.with(&check, ""));
    let health = || pair.daemon.backend("web", "shaky").health;
    eventually(SOON, "a good check", || health().last.as_deref() == Some("ok"));
    pair.web.then([]);
    eventually(SOON, "a check that fails", || health().last.as_deref() == Some("no answer within 500ms"));
    let latency = health().latency_ms;
    assert!(latency.is_none_or(|latency| latency >= 500.0), "{latency:?} ms are those of an earlier check");
}

#[test]
fn a_backend_of_ipv6_is_checked() {
    let (at, address) = (Loopback::new(), Loopback::v6());
    let mut backend = Backend::start("six", address, Behaviour::Http);
    let check = |kind: &str| {
        format!("type = \"{kind}\", interval = \"50ms\", fast_interval = \"20ms\", timeout = \"15s\"")
    };
    let entries = [entry(address, "tcp", &check("tcp")), entry(address, "http", &check("http"))];
    let pool = "health_check = \"off\"";
    let config = Config::new().listener("web", at.port(0), "");
    let config = config.pool_of("web", &entries[..1], pool).pool_of("other", &entries[1..], pool);
    let daemon = Daemon::start(config);
    wait_verdict(&daemon, "tcp", "healthy");
    wait_verdict(&daemon, "http", "healthy");
    backend.stop();
    assert_eq!(wait_verdict(&daemon, "tcp", "unhealthy").field("reason"), Some("connection refused"));
    assert_eq!(wait_verdict(&daemon, "http", "unhealthy").field("reason"), Some("connection refused"));
}
