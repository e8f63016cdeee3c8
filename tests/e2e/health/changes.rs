//! What becomes of verdicts when something else changes, and what is told of them.

use super::*;

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
