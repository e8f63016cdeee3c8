//! How many answers make a verdict, for whom it holds, and what it does to clients.

use super::*;

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
