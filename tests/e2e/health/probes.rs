//! What is asked of a backend, and which answers count.

use super::*;

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
