//! `health_check`, of pools and of backends.

use std::num::NonZeroU32;
use std::time::Duration;

use lb_model::{
    DnsProbe, ExecProbe, HealthCheck, HttpProbe, Pool, Probe, RecordType, TlsProbe, TlsVerification,
    UdpAnswer, UdpProbe,
};

use super::{MINIMAL, error_lines, parse, with_backends, with_pool};

fn pool(text: &str) -> Pool {
    parse(text).unwrap_or_else(|errors| panic!("{errors}\n{text}")).config.pools.remove(0)
}

/// The check of the one backend of a pool with the check `table`.
fn check(table: &str) -> HealthCheck {
    pool(&with_pool(&format!("health_check = {{ {table} }}"))).backends.remove(0).health_check.unwrap()
}

fn probe(table: &str) -> Probe {
    check(table).probe
}

/// The errors of a pool with the check `table`, which begins at 8:18.
fn mistakes(table: &str) -> Vec<String> {
    error_lines(&with_pool(&format!("health_check = {{ {table} }}")))
}

/// The checks of the backends `entries` in a pool with the check `table`.
fn checks(table: &str, entries: &str) -> Vec<Option<HealthCheck>> {
    let text = with_backends(entries) + &format!("health_check = {table}\n");
    pool(&text).backends.into_iter().map(|backend| backend.health_check).collect()
}

fn http(probe: Probe) -> HttpProbe {
    let Probe::Http(probe) = probe else { panic!("{probe:?}") };
    probe
}

#[test]
fn a_type_is_all_it_takes() {
    assert_eq!(check("type = \"tcp\""), HealthCheck::new(Probe::Tcp));
    let root = HttpProbe::get("/".parse().unwrap());
    assert_eq!(probe("type = \"http\""), Probe::Http(root.clone()));
    let tls = TlsProbe { server_name: None, verify: TlsVerification::System };
    assert_eq!(probe("type = \"https\""), Probe::Http(HttpProbe { tls: Some(tls), ..root }));
    assert_eq!(probe("type = \"udp\""), Probe::Udp(UdpProbe { send: [].into(), expect: UdpAnswer::Any }));
    assert_eq!(pool(&with_pool("health_check = \"off\"")).backends[0].health_check, None);
    assert_eq!(pool(MINIMAL).backends[0].health_check, None);
}

#[test]
fn general_keys_are_for_every_type() {
    let check = check(
        "type = \"exec\", command = [\"true\"], interval = \"10s\", fast_interval = \"2s\", timeout = \"3s\", rise = 4, \
         fall = 5, jitter = \"2.5%\", port = 81",
    );
    let expected = HealthCheck {
        probe: Probe::Exec(ExecProbe { program: "true".into(), args: [].into() }),
        interval: Duration::from_secs(10),
        fast_interval: Duration::from_secs(2),
        timeout: Duration::from_secs(3),
        rise: NonZeroU32::new(4).unwrap(),
        fall: NonZeroU32::new(5).unwrap(),
        jitter: "2.5%".parse().unwrap(),
        port: Some(81),
    };
    assert_eq!(check, expected);
}

#[test]
fn the_fast_interval_is_not_slower_unless_said() {
    let fast = |keys: &str| check(&format!("type = \"tcp\", {keys}")).fast_interval;
    assert_eq!(fast("interval = \"100ms\""), Duration::from_millis(100));
    assert_eq!(fast("interval = \"1m\""), HealthCheck::DEFAULT_FAST_INTERVAL);
    assert_eq!(fast("interval = \"100ms\", fast_interval = \"1s\""), Duration::from_secs(1));
}

#[test]
fn http_keys_arrive() {
    let probe = http(probe(
        "type = \"https\", method = \"HEAD\", path = \"/up?a=1\", host = \"a.example:8443\", status = \"200,401\", \
         body = { contains = \"ok\", within = \"4KiB\" }, server_name = \"b.example\", ca_file = \"ca.pem\"",
    ));
    assert_eq!((probe.method.as_str(), probe.path.as_str()), ("HEAD", "/up?a=1"));
    assert_eq!(probe.host.unwrap().as_str(), "a.example:8443");
    assert_eq!(probe.expect, "200,401".parse().unwrap());
    let body = probe.body.unwrap();
    assert_eq!((&*body.contains, body.within), ("ok", 4096));
    let tls = probe.tls.unwrap();
    assert_eq!(tls.server_name.unwrap().as_str(), "b.example");
    assert_eq!(tls.verify, TlsVerification::CaFile("ca.pem".into()));
}

#[test]
fn a_body_may_be_its_text_alone() {
    let body = http(probe("type = \"http\", body = \"ok\"")).body.unwrap();
    assert_eq!((&*body.contains, body.within), ("ok", HttpProbe::MAX_BODY));
    let mistakes = |body: &str| mistakes(&format!("type = \"http\", body = {body}"));
    let place = "8:40: pools.web.health_check.body";
    assert_eq!(
        mistakes("\"\""),
        [format!("{place}: must not be empty; leave `body` out where anything will do")]
    );
    assert_eq!(
        mistakes("5"),
        [format!(
            "{place}: expected a text in quotes, or a table such as {{ contains = \"ok\", within = \"4KiB\" }}, found the number 5"
        )]
    );
    assert_eq!(mistakes("{ within = \"1KiB\" }"), [format!("{place}: the key `contains` is missing")]);
    assert_eq!(
        mistakes("{ contains = \"ok\", within = \"65KiB\" }"),
        ["8:68: pools.web.health_check.body.within: no more than 64KiB of a body are looked at"]
    );
    assert_eq!(
        mistakes("{ contains = \"ok\", within = \"1B\" }"),
        ["8:68: pools.web.health_check.body.within: a text of 2B is never within 1B"]
    );
    assert_eq!(
        mistakes("{ contains = \"ok\", within = \"4K\" }"),
        [
            "8:68: pools.web.health_check.body.within: \"K\" is not a unit of size; the units are B, KiB, MiB and GiB"
        ]
    );
}

#[test]
fn whom_to_trust_is_said_once() {
    let verify = |keys: &str| http(probe(&format!("type = \"https\", {keys}"))).tls.unwrap().verify;
    assert_eq!(verify("verify = true"), TlsVerification::System);
    assert_eq!(verify("verify = false"), TlsVerification::None);
    assert_eq!(verify("verify = true, ca_file = \"/ca\""), TlsVerification::CaFile("/ca".into()));
    assert_eq!(
        mistakes("type = \"https\", verify = false, ca_file = \"/ca\""),
        [
            "8:60: pools.web.health_check.ca_file: with `verify = false` any certificate will do: leave one of the two out"
        ]
    );
}

#[test]
fn datagrams_are_texts_or_bytes() {
    let udp = |keys: &str| {
        let Probe::Udp(UdpProbe { send, expect }) = probe(&format!("type = \"udp\", {keys}")) else {
            panic!()
        };
        (send.to_vec(), expect)
    };
    assert_eq!(udp("send = \"ping\\n\""), (b"ping\n".to_vec(), UdpAnswer::Any));
    assert_eq!(udp("send_hex = \"00 ff\", expect = \"any\""), (vec![0, 255], UdpAnswer::Any));
    assert_eq!(udp("expect = \"not_refused\"").1, UdpAnswer::NotRefused);
    assert_eq!(udp("expect = { starts_with = \"a\" }").1, UdpAnswer::StartsWith((*b"a").into()));
    assert_eq!(udp("expect = { starts_with_hex = \"00\" }").1, UdpAnswer::StartsWith([0].into()));
    assert_eq!(udp("expect = { contains = \"a\" }").1, UdpAnswer::Contains((*b"a").into()));
    assert_eq!(udp("expect = { contains_hex = \"ff\" }").1, UdpAnswer::Contains([255].into()));

    let keys = "starts_with, starts_with_hex, contains, contains_hex";
    let place = "pools.web.health_check";
    for (wrong, expected) in [
        (
            "send = \"a\", send_hex = \"00\"",
            format!("8:55: {place}.send_hex: one datagram is sent: leave `send` or `send_hex` out"),
        ),
        (
            "send_hex = \"0\"",
            format!(
                "8:43: {place}.send_hex: \"0\" is not a byte in hexadecimal; expected two digits for each, for example \"00 ff\""
            ),
        ),
        (
            "expect = \"anny\"",
            format!("8:41: {place}.expect: \"anny\" is not possible here; did you mean \"any\"?"),
        ),
        ("expect = {}", format!("8:41: {place}.expect: expected one of the keys {keys}")),
        (
            "expect = { contains = \"a\", contains_hex = \"00\" }",
            format!("8:74: {place}.expect.contains_hex: only one of the keys {keys} is possible"),
        ),
        (
            "expect = { contains = \"\" }",
            format!(
                "8:54: {place}.expect.contains: must not be empty; write expect = \"any\" where any answer will do"
            ),
        ),
        (
            "expect = { contians = \"a\" }",
            format!("8:43: {place}.expect.contians: unknown key; did you mean \"contains\"?"),
        ),
    ] {
        assert_eq!(mistakes(&format!("type = \"udp\", {wrong}")), [expected]);
    }
    let long = "x".repeat(65_508);
    assert!(
        mistakes(&format!("type = \"udp\", send = \"{long}\""))[0]
            .contains("at most 65507 bytes, this one has 65508")
    );
}

#[test]
fn questions_and_commands_have_to_be_given() {
    assert_eq!(
        probe("type = \"dns\", name = \"example.com\", record = \"aaaa\""),
        Probe::Dns(DnsProbe { name: "example.com".parse().unwrap(), record: RecordType::Aaaa })
    );
    assert_eq!(
        probe("type = \"exec\", command = [\"/usr/lib/check\", \"a b\", \"\"]"),
        Probe::Exec(ExecProbe {
            program: "/usr/lib/check".into(),
            args: ["a b".into(), String::new()].into()
        })
    );
    for (table, expected) in [
        ("type = \"dns\"", "8:16: pools.web.health_check: the key `name` is missing"),
        ("type = \"exec\"", "8:16: pools.web.health_check: the key `command` is missing"),
        ("type = \"exec\", command = []", "8:43: pools.web.health_check.command: must name a program"),
        ("type = \"exec\", command = [\"\"]", "8:43: pools.web.health_check.command: must name a program"),
        (
            "type = \"exec\", command = [\"a\", \"\\u0000\"]",
            "8:49: pools.web.health_check.command[1]: a command has no NUL character",
        ),
        (
            "type = \"dns\", name = \"a\", record = \"ANY\"",
            "8:53: pools.web.health_check.record: \"ANY\" is not a record type; expected one of A, AAAA, CNAME, MX, NS, PTR, SOA, SRV, TXT",
        ),
        ("interval = \"1s\"", "8:16: pools.web.health_check: the key `type` is missing"),
        (
            "type = \"htp\"",
            "8:25: pools.web.health_check.type: \"htp\" is not possible here; did you mean \"http\"?",
        ),
    ] {
        assert_eq!(mistakes(table), [expected]);
    }
    assert_eq!(
        error_lines(&with_pool("health_check = \"tcp\"")),
        [
            "8:16: pools.web.health_check: \"tcp\" is no health check; expected a table such as { type = \"tcp\" }, or \"off\""
        ]
    );
}

#[test]
fn values_have_bounds() {
    for (keys, expected) in [
        ("interval = \"9ms\"", "8:43: pools.web.health_check.interval: must be at least 10ms"),
        ("fast_interval = \"0s\"", "8:48: pools.web.health_check.fast_interval: must be at least 10ms"),
        (
            "timeout = \"0s\"",
            "8:42: pools.web.health_check.timeout: must be longer than zero; no backend answers in no time",
        ),
        (
            "rise = 0",
            "8:39: pools.web.health_check.rise: expected a whole number from 1 to 4294967295, found the number 0",
        ),
        (
            "port = 0",
            "8:39: pools.web.health_check.port: expected a whole number from 1 to 65535, found the number 0",
        ),
        (
            "jitter = \"51%\"",
            "8:41: pools.web.health_check.jitter: \"51%\" is not a jitter; expected a share of the interval from 0% to 50%, for example \"10%\" or \"2.5%\"",
        ),
        ("inteval = \"1s\"", "8:32: pools.web.health_check.inteval: unknown key; did you mean \"interval\"?"),
    ] {
        assert_eq!(mistakes(&format!("type = \"tcp\", {keys}")), [expected]);
    }
}

#[test]
fn keys_of_other_types_are_told_whose_they_are() {
    for (table, key, types) in [
        ("type = \"tcp\", path = \"/\"", "path", "http and https, this one is of type tcp"),
        ("type = \"http\", verify = true", "verify", "https, this one is of type http"),
        ("type = \"http\", server_name = \"a\"", "server_name", "https, this one is of type http"),
        ("type = \"https\", send = \"a\"", "send", "udp, this one is of type https"),
        ("type = \"udp\", name = \"a\"", "name", "dns, this one is of type udp"),
        ("type = \"dns\", name = \"a\", command = [\"a\"]", "command", "exec, this one is of type dns"),
        ("type = \"exec\", command = [\"a\"], expect = \"any\"", "expect", "udp, this one is of type exec"),
    ] {
        let mistakes = mistakes(table);
        let [mistake] = &mistakes[..] else { panic!("{mistakes:?}") };
        let expected = format!("pools.web.health_check.{key}: `{key}` is for checks of type {types}");
        assert!(mistake.ends_with(&expected), "{mistake}");
    }
}

#[test]
fn a_backends_keys_are_laid_over_the_pools() {
    let checks = checks(
        "{ type = \"http\", path = \"/up\", interval = \"200ms\", fall = 9, port = 81 }",
        "\"10.0.0.1:80\",
         { address = \"10.0.0.2:80\", health_check = \"off\" },
         { address = \"10.0.0.3:80\", health_check = { host = \"a\", interval = \"10s\" } },
         { address = \"10.0.0.4:80\", health_check = { type = \"http\", port = 82 } },
         { address = \"10.0.0.5:80\", health_check = { type = \"https\" } },
         { address = \"10.0.0.6:80\", health_check = { type = \"dns\", name = \"a\" } }",
    );
    let [first, None, Some(third), Some(fourth), Some(fifth), Some(sixth)] = &checks[..] else {
        panic!("{checks:?}")
    };
    let first = first.as_ref().unwrap();
    assert_eq!(first.fast_interval, first.interval);

    let host = HttpProbe { host: Some("a".parse().unwrap()), ..http(first.probe.clone()) };
    assert_eq!(third.probe, Probe::Http(host));
    assert_eq!((third.interval, third.fall, third.port), (Duration::from_secs(10), first.fall, Some(81)));
    // What follows from the interval follows from the backend's.
    assert_eq!(third.fast_interval, HealthCheck::DEFAULT_FAST_INTERVAL);
    assert_eq!(*fourth, HealthCheck { port: Some(82), ..first.clone() });
    // Another type leaves the pool's path behind, but not its numbers.
    assert_eq!(http(fifth.probe.clone()).path.as_str(), "/");
    assert_eq!((fifth.interval, fifth.fall, fifth.port), (first.interval, first.fall, first.port));
    assert_eq!(sixth.probe.kind(), "dns");
}

#[test]
fn what_is_required_may_come_from_the_pool() {
    for pool in [
        "{ type = \"dns\", name = \"a\", record = \"TXT\" }",
        "{ type = \"exec\", command = [\"a\"] }",
        "{ type = \"udp\", send = \"a\", expect = \"not_refused\" }",
        "{ type = \"https\", ca_file = \"ca\", body = \"x\" }",
    ] {
        let checks =
            checks(pool, "\"10.0.0.1:80\", { address = \"10.0.0.2:80\", health_check = { rise = 2 } }");
        assert_eq!(checks[0], checks[1], "{pool}");
    }
}

#[test]
fn a_backend_may_trust_otherwise_than_its_pool() {
    let verify = |pool: &str, backend: &str| {
        let entry = format!("{{ address = \"10.0.0.1:80\", health_check = {{ {backend} }} }}");
        let check = checks(&format!("{{ type = \"https\", {pool} }}"), &entry).remove(0).unwrap();
        http(check.probe).tls.unwrap().verify
    };
    assert_eq!(verify("ca_file = \"/a\"", "verify = false"), TlsVerification::None);
    assert_eq!(verify("ca_file = \"/a\"", "verify = true"), TlsVerification::CaFile("/a".into()));
    assert_eq!(verify("verify = false", "verify = true"), TlsVerification::System);
    assert_eq!(verify("verify = false", "ca_file = \"/b\""), TlsVerification::CaFile("/b".into()));
}

#[test]
fn one_mistake_of_the_pool_is_one_error() {
    let backends = "\"10.0.0.1:80\", { address = \"10.0.0.2:80\", health_check = { fall = 1 } }";
    for pool in [
        "5",
        "{ interval = \"1s\" }",
        "{ type = \"dns\" }",
        "{ type = \"htp\" }",
        "{ type = \"tcp\", rise = 0 }",
    ] {
        let text = with_backends(backends) + &format!("health_check = {pool}\n");
        assert_eq!(error_lines(&text).len(), 1, "{pool}");
    }
    // A backend's type that cannot be read is not the pool's.
    let backend = "{ address = \"10.0.0.1:80\", health_check = { type = \"htp\", path = \"/\" } }";
    let text = with_backends(backend) + "health_check = { type = \"tcp\" }\n";
    assert_eq!(error_lines(&text).len(), 1);
}

#[test]
fn a_backend_alone_may_be_checked() {
    let text = with_backends(
        "{ address = \"10.0.0.1:80\", health_check = { type = \"tcp\" } },\n{ address = \"10.0.0.2:80\", health_check = { rise = 1 } }",
    );
    assert_eq!(error_lines(&text), ["8:43: pools.web.backends[1].health_check: the key `type` is missing"]);
}

#[test]
fn a_check_needs_a_port() {
    let backends = "\"10.0.0.1\",\n{ address = \"app\" },\n{ address = \"10.0.0.2\", health_check = { port = 80 } },\n{ srv = \"_x._tcp.a\" },\n\"10.0.0.3:80\"";
    let text = |check: &str| with_backends(backends) + &format!("health_check = {check}\n");
    let message =
        "this backend has no port that could be checked: set `port` in its health_check or the pool's";
    assert_eq!(
        error_lines(&text("{ type = \"tcp\" }")),
        [
            format!("7:13: pools.web.backends[0]: {message}"),
            format!("8:13: pools.web.backends[1].address: {message}"),
        ]
    );
    assert!(parse(&text("{ type = \"http\", port = 81 }")).is_ok());
    assert!(parse(&text("{ type = \"exec\", command = [\"a\"] }")).is_ok());
}

#[test]
fn checks_may_have_headers_and_dotted_keys() {
    let text = MINIMAL.replace(
        "backends = [\"127.0.0.1:9001\"]",
        "health_check.type = \"http\"\nhealth_check.paht = \"/\"\n[[pools.web.backends]]\naddress = \"10.0.0.1:80\"\n[pools.web.backends.health_check]\nrise = 7",
    );
    assert_eq!(
        error_lines(&text),
        ["8:14: pools.web.health_check.paht: unknown key; did you mean \"path\"?"]
    );
    let check = pool(&text.replace("paht", "path")).backends.remove(0).health_check.unwrap();
    assert_eq!((check.probe.kind(), check.rise.get()), ("http", 7));
}
