//! The admin API: who may use it, what it answers, what it puts up with.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use lb_admin::{Readiness, Status};
use lb_tests::{
    Api, Backend, Behaviour, Config, Daemon, Exchange, Launch, Loopback, Running, cli, client, eventually,
};
use rustix::process::Signal;
use serde_json::Value;
use tempfile::TempDir;

const SOON: Duration = Duration::from_secs(10);

struct Site {
    at: Loopback,
    daemon: Daemon,
    backends: [Backend; 2],
}

impl Site {
    fn start() -> Self {
        Self::with(Behaviour::Tag, "")
    }

    /// With further tables.
    fn with(behaviour: Behaviour, tables: &str) -> Self {
        let at = Loopback::new();
        let backends = [("b0", 0), ("b1", 1)].map(|(name, i)| Backend::start(name, at.backend(i), behaviour));
        let daemon = Daemon::start(config(at, &backends).table(tables));
        Self { at, daemon, backends }
    }

    fn open(&self) -> TcpStream {
        let stream = client::connect(self.at.port(0)).unwrap();
        client::read_line(&stream).unwrap();
        stream
    }

    /// The audit lines, once there are `count`.
    #[track_caller]
    fn audit(&self, count: usize) -> Vec<Value> {
        eventually(SOON, "there are so many audit lines", || self.daemon.audit_lines().len() >= count);
        let lines = self.daemon.audit_lines();
        assert_eq!(lines.len(), count, "{}", self.daemon.log_text());
        lines.iter().map(|line| serde_json::from_str(&line.text).unwrap()).collect()
    }
}

fn config(at: Loopback, backends: &[Backend]) -> Config {
    Config::new().listener("web", at.port(0), "").pool("web", backends, "balance = \"round_robin\"")
}

/// A directory that everybody may write to.
fn open_directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    directory
}

fn admin_socket(path: &Path) -> String {
    format!("[admin]\nsocket = \"{}\"", path.display())
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Whether the process behind a socket is this one.
#[track_caller]
fn assert_answers(socket: &Path, daemon: &Daemon) {
    let status: Status = serde_json::from_str(&Api::unix(socket).get("/v1/status").body).unwrap();
    assert_eq!(status.pid, daemon.pid().as_raw_pid().cast_unsigned());
}

#[test]
fn the_socket_is_for_root_and_its_own_user_only() {
    let directory = open_directory();
    let socket = directory.path().join("admin.sock");
    let at = Loopback::new();
    let backends = [Backend::start("b0", at.backend(0), Behaviour::Tag)];
    let program = cli::Unprivileged::new();
    // Somebody else than root, where the test is root: then root may use it all the same.
    let own = Launch::new(config(at, &backends).table(&admin_socket(&socket))).unprivileged().start();
    let metadata = std::fs::symlink_metadata(&socket).unwrap();
    assert_eq!(metadata.mode() & 0o7777, 0o600);
    let of_process = std::fs::metadata(format!("/proc/{}", own.pid().as_raw_pid())).unwrap();
    assert_eq!(metadata.uid(), of_process.uid());
    assert_answers(&socket, &own);
    if !rustix::process::geteuid().is_root() {
        return;
    }
    // Root's, which nobody may not use.
    let site = Site::start();
    std::fs::set_permissions(site.daemon.home(), std::fs::Permissions::from_mode(0o755)).unwrap();
    for command in [&["status"][..], &["drain", "web"]] {
        let mut words = program.words().into_iter();
        let mut stranger = Command::new(words.next().unwrap());
        stranger.args(words).args(command).arg("--socket").arg(site.daemon.socket());
        let output = stranger.output().unwrap();
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        let told = stderr(&output);
        assert!(
            told.contains("permission") && told.contains("root") && told.contains("admin.sock"),
            "{told}"
        );
    }
    assert!(site.daemon.status().overrides.overrides.is_empty());
}

#[test]
fn a_socket_of_a_dead_process_is_replaced() {
    let site = Site::start();
    let before = std::fs::metadata(site.daemon.socket()).unwrap().ino();
    let daemon = site.daemon.kill_and_restart();
    assert_ne!(std::fs::metadata(daemon.socket()).unwrap().ino(), before);
    assert_answers(&daemon.socket(), &daemon);
}

#[test]
fn a_second_sluice_at_a_socket_that_was_asked_for_does_not_start() {
    let directory = open_directory();
    let socket = directory.path().join("admin.sock");
    let first = Site::with(Behaviour::Tag, &admin_socket(&socket));
    let at = Loopback::new();
    let config = config(at, &first.backends).table(&admin_socket(&socket));
    let mut second = Launch::new(config).spawn();
    assert_eq!(second.wait_exit(SOON).code(), Some(1));
    let log = second.log_text();
    assert!(log.contains(socket.to_str().unwrap()) && log.contains("running"), "{log}");
    assert_eq!(client::connect(at.port(0)).unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
    assert_answers(&socket, &first.daemon);
}

#[test]
fn a_second_sluice_at_the_default_socket_warns_and_serves() {
    let site = Site::start();
    let at = Loopback::new();
    let launch = Launch::new(config(at, &site.backends)).env("RUNTIME_DIRECTORY", site.daemon.home());
    let mut second = launch.start();
    second.wait_for_log("a warning", |line| {
        line.field("level") == Some("WARN") && line.text.contains("admin.sock")
    });
    client::read_line(&client::connect(at.port(0)).unwrap()).unwrap();
    assert_answers(&site.daemon.socket(), &site.daemon);
    second.signal(Signal::TERM);
    assert!(second.wait_exit(SOON).success());
    // It must not take away what is not its own.
    assert_answers(&site.daemon.socket(), &site.daemon);
}

/// A configuration that would move the socket.
fn with_other_socket(site: &Site) -> Config {
    config(site.at, &site.backends).table("[admin]\nsocket = \"other.sock\"")
}

#[test]
fn what_takes_a_restart_is_told_until_there_is_one() {
    let site = Site::start();
    site.daemon.configure(with_other_socket(&site));
    for _ in 0..2 {
        let plan = site.daemon.sluice(["plan"]);
        assert!(plan.contains("restart") && plan.contains("other.sock"), "it is not in effect yet:\n{plan}");
        site.daemon.sluice(["reload"]);
    }
    site.daemon.configure(config(site.at, &site.backends));
    let plan = site.daemon.sluice(["plan"]);
    assert!(!plan.contains("restart"), "this is what has been in effect all the time:\n{plan}");
}

#[test]
fn what_takes_a_restart_is_told_in_the_words_of_the_file() {
    let site = Site::start();
    let workers = with_other_socket(&site).to_string().replace("workers = 4", "workers = 3");
    site.daemon.configure(workers);
    let plan = site.daemon.sluice(["plan"]);
    assert!(plan.contains("workers: 4 → 3"), "{plan}");
    assert!(!plan.contains("path(") && plan.contains("other.sock"), "{plan}");
}

/// A lock on a directory needs no more than to be able to read it.
#[test]
fn a_stranger_who_locks_the_directory_does_not_keep_it_from_starting() {
    let directory = open_directory();
    let locked = std::fs::File::open(directory.path()).unwrap();
    locked.lock().unwrap();
    let site = Site::with(Behaviour::Tag, &admin_socket(&directory.path().join("admin.sock")));
    assert_answers(&directory.path().join("admin.sock"), &site.daemon);
}

#[test]
fn the_socket_goes_with_the_process() {
    let mut site = Site::start();
    let socket = site.daemon.socket();
    assert!(socket.exists());
    site.daemon.signal(Signal::TERM);
    assert!(site.daemon.wait_exit(SOON).success());
    assert!(!socket.exists());
    // Also where it was made in vain: another has the port.
    let holder = std::net::TcpListener::bind(site.at.port(0)).unwrap();
    let mut failed = Launch::new(config(site.at, &site.backends)).spawn();
    assert_eq!(failed.wait_exit(SOON).code(), Some(1));
    assert!(!failed.socket().exists());
    drop(holder);
}

#[test]
fn without_a_socket_it_serves_and_commands_say_so() {
    let site = Site::with(Behaviour::Tag, "[admin]\nsocket = \"off\"");
    site.open();
    assert!(!site.daemon.socket().exists());
    let output = site.daemon.command(["status"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("is Sluice running?"), "{}", stderr(&output));
}

#[test]
fn every_command_leaves_one_audit_line_that_says_who() {
    let site = Site::start();
    let mut command = site.daemon.run(["drain", "web/b0"]);
    let pid = command.pid().as_raw_pid();
    assert!(command.wait_exit().success());
    let line = site.audit(1).remove(0);
    let client = line["client"].as_str().unwrap();
    let uid = rustix::process::getuid().as_raw();
    assert!(client.contains(&format!("uid={uid} ")) && client.contains(&format!("pid={pid}")), "{line}");
    assert_eq!((&line["operation"], &line["pool"]), (&"drain".into(), &"web".into()));
    assert_eq!((&line["backend"], &line["result"]), (&"b0".into(), &"done".into()));
    // Those of a level that hides everything else, too.
    let config = config(site.at, &site.backends).to_string();
    site.daemon.reload(config.replace("format = \"json\"", "format = \"json\"\nlevel = \"error\""));
    site.daemon.sluice(["weight", "web/b1", "3"]);
    site.daemon.sluice(["weight", "web/b1", "reset"]);
    site.daemon.sluice(["undrain", "web"]);
    site.daemon.sluice(["plan"]);
    site.daemon.command(["drain", "web/none"]);
    // What only looks leaves none.
    for path in ["/v1/status", "/v1/overrides", "/metrics", "/readyz"] {
        assert_eq!(site.daemon.api().get(path).status, 200);
    }
    site.daemon.sluice(["status"]);
    let lines = site.audit(7);
    let told: Vec<_> = lines
        .iter()
        .skip(1)
        .map(|line| (line["operation"].as_str().unwrap(), line["result"].as_str().unwrap()))
        .collect();
    let done = ["reload", "weight", "weight", "undrain", "plan"].map(|operation| (operation, "done"));
    assert_eq!(told[..5], done);
    assert_eq!(told[5], ("drain", "refused"));
    assert_eq!((&lines[2]["weight"], &lines[3]["weight"]), (&"3".into(), &"configured".into()));
    assert!(lines[6]["error"].as_str().unwrap().contains("none"));
    assert!(!site.daemon.log_text().contains("gets connections again"), "the level hides the rest");
}

#[test]
fn wrong_requests_are_refused_with_what_is_wrong() {
    let site = Site::start();
    let api = site.daemon.api();
    let long = format!("{{\"pool\": \"{}\"}}", "x".repeat(70_000));
    for (status, code, answer) in [
        (404, "not_found", api.get("/v1/nothing")),
        (404, "not_found", api.get("/v1/pools/none")),
        (404, "not_found", api.post("/v1/drain", r#"{"pool": "none"}"#)),
        (404, "not_found", api.post("/v1/weight", r#"{"pool": "web", "backend": "none", "weight": 1}"#)),
        (405, "method_not_allowed", api.get("/v1/drain")),
        (405, "method_not_allowed", api.post("/v1/status", "{}")),
        (405, "method_not_allowed", api.clone().with(["-X", "DELETE"]).answer("/v1/pools/web")),
        (415, "unsupported_media_type", api.clone().with(["-d", "pool=web"]).answer("/v1/drain")),
        (415, "unsupported_media_type", api.clone().with(["-X", "POST"]).answer("/v1/reload")),
        (413, "too_large", api.post("/v1/drain", &long)),
        (400, "bad_request", api.post("/v1/drain", "")),
        (400, "bad_request", api.post("/v1/drain", "{")),
        (400, "bad_request", api.post("/v1/drain", "[]")),
        (400, "bad_request", api.post("/v1/drain", r#"{"pool": "web", "bakend": "b0"}"#)),
        (400, "bad_request", api.post("/v1/weight", r#"{"pool": "web", "weight": 70000}"#)),
        (400, "bad_request", api.post("/v1/weight", r#"{"pool": "web"}"#)),
        (400, "bad_request", api.post("/v1/plan", "\u{1}")),
    ] {
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (status, &code.into()), "{answer:?}");
        assert!(!answer.json()["error"]["message"].as_str().unwrap().is_empty(), "{answer:?}");
        assert!(answer.head.contains("content-type: application/json"), "{answer:?}");
        assert_eq!(answer.head.contains("\nallow: "), status == 405, "{answer:?}");
    }
    assert!(api.get("/v1/pools/none").body.contains("web"), "it says what there is");
    site.daemon.configure("version = 1\n[nonsense]\n");
    for path in ["/v1/plan", "/v1/reload"] {
        let answer = api.post(path, "{}");
        assert_eq!((answer.status, &answer.json()["error"]["code"]), (422, &"invalid".into()), "{answer:?}");
        assert!(answer.body.contains("sluice.toml:2:"), "{answer:?}");
    }
    assert!(site.daemon.status().overrides.overrides.is_empty(), "nothing has changed");
    site.open();
}

/// Checks a value against a schema, as far as what is there and of which type it is.
fn check(at: &str, value: &Value, schema: &Value, document: &Value) -> Result<(), String> {
    if let Some(reference) = schema["$ref"].as_str() {
        let schema = document.pointer(reference.strip_prefix('#').unwrap());
        return check(at, value, schema.unwrap_or_else(|| panic!("no {reference}")), document);
    }
    for choice in ["anyOf", "oneOf"] {
        let Some(choices) = schema[choice].as_array() else { continue };
        let fits = choices.iter().any(|schema| check(at, value, schema, document).is_ok());
        return if fits { Ok(()) } else { Err(format!("{at}: {value} is none of {schema}")) };
    }
    if let Some(wanted) = schema.get("const") {
        return if value == wanted { Ok(()) } else { Err(format!("{at}: {value} is not {wanted}")) };
    }
    let is = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_f64() => "number",
        Value::Number(_) => "integer",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    let listed = schema["type"].as_array().into_iter().flatten();
    let types: Vec<_> = listed.chain([&schema["type"]]).filter_map(Value::as_str).collect();
    let fits = |wanted: &&str| *wanted == is || (*wanted == "number" && is == "integer");
    if !types.iter().any(fits) {
        return Err(format!("{at}: {value} is {is}, not {types:?}"));
    }
    if let Value::Object(members) = value {
        let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
        for name in required {
            if !members.contains_key(name) {
                return Err(format!("{at}: no {name} in {value}"));
            }
        }
        for (name, member) in members {
            let known = schema["properties"].get(name).ok_or(format!("{at}: {name} is not documented"))?;
            check(&format!("{at}/{name}"), member, known, document)?;
        }
    }
    for (index, item) in value.as_array().into_iter().flatten().enumerate() {
        check(&format!("{at}/{index}"), item, &schema["items"], document)?;
    }
    Ok(())
}

#[test]
fn answers_are_as_the_document_says_and_it_is_the_committed_one() {
    let site = Site::start();
    let api = site.daemon.api();
    let _open = site.open();
    let document = api.get("/v1/openapi.json").json();
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/openapi.json");
    let committed: Value = serde_json::from_str(&std::fs::read_to_string(committed).unwrap()).unwrap();
    assert!(document == committed, "docs/reference/openapi.json is of another version");
    // So that there is something to see of everything.
    site.daemon.configure(config(site.at, &site.backends[..1]).listener("more", site.at.port(1), "").pool(
        "more",
        &site.backends,
        "",
    ));
    let target = r#"{"pool": "web", "backend": "b0"}"#;
    for (method, path, body) in [
        ("post", "/v1/drain", target),
        ("post", "/v1/undrain", target),
        ("post", "/v1/weight", r#"{"pool": "web", "backend": null, "weight": 3}"#),
        ("post", "/v1/plan", "{}"),
        ("get", "/v1/status", ""),
        ("post", "/v1/reload", "{}"),
        ("get", "/v1/status", ""),
        ("get", "/v1/listeners", ""),
        ("get", "/v1/pools", ""),
        ("get", "/v1/pools/web", ""),
        ("get", "/v1/overrides", ""),
    ] {
        let answer = if method == "get" { api.get(path) } else { api.post(path, body) };
        assert_eq!(answer.status, 200, "{answer:?}");
        let documented = &document["paths"][path.replace("/web", "/{pool}")][method]["responses"]["200"];
        let schema = &documented["content"]["application/json"]["schema"];
        check(path, &answer.json(), schema, &document).unwrap();
    }
    let error = api.get("/v1/pools/none").json();
    check("", &error, &document["components"]["schemas"]["ErrorBody"], &document).unwrap();
}

#[test]
fn readiness_ends_with_the_drain_and_the_api_answers_to_the_last() {
    let mut site = Site::start();
    let api = site.daemon.api();
    let open = site.open();
    assert_eq!((api.get("/healthz").status, api.get("/readyz").status), (200, 200));
    site.daemon.signal(Signal::TERM);
    eventually(SOON, "it is not ready", || api.get("/readyz").status == 503);
    assert_eq!(api.get("/readyz").body.trim(), "draining");
    assert_eq!(api.get("/healthz").status, 200);
    let status = site.daemon.status();
    assert_eq!((status.state, status.listeners[0].connections), (Readiness::Draining, 1));
    site.daemon.sluice(["drain", "web/b0"]);
    assert!(site.daemon.metrics().contains("sluice_"));
    drop(open);
    assert!(site.daemon.wait_exit(SOON).success());
}

#[test]
fn idle_admin_clients_do_not_delay_the_end() {
    let mut site = Site::start();
    let _idle: Vec<_> = (0..3).map(|_| UnixStream::connect(site.daemon.socket()).unwrap()).collect();
    // Whoever is in the middle of something neither.
    let mut half = UnixStream::connect(site.daemon.socket()).unwrap();
    half.write_all(b"POST /v1/drain HTTP/1.1\r\nhost: x\r\ncontent-length: 100\r\n\r\n{").unwrap();
    let mut watch = site.daemon.run(["status", "--watch"]);
    watch.wait_for(1, "BACKEND");
    site.daemon.signal(Signal::TERM);
    assert!(site.daemon.wait_exit(Duration::from_secs(20)).success());
    assert!(!watch.wait_exit().success());
    assert!(watch.printed().contains("Sluice"), "it says why it ends:\n{}", watch.printed());
}

/// An API over TCP that wants a token.
fn with_token(token: &str) -> (Site, Api, SocketAddr, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("token");
    std::fs::write(&file, format!("{token}\n")).unwrap();
    let at = Loopback::new();
    let tables = format!("[admin.tcp]\nbind = \"{}\"\ntoken_file = \"{}\"", at.port(0), file.display());
    let site = Site::with(Behaviour::Tag, &tables);
    (site, Api::at(&format!("http://{}", at.port(0))), at.port(0), directory)
}

#[test]
fn over_tcp_a_token_opens_everything_and_nothing_opens_without() {
    let (site, api, _, _directory) = with_token("s3cret");
    let bearer = |token: &str| api.clone().with(["-H", &format!("authorization: Bearer {token}")]);
    for path in
        ["/v1/status", "/metrics", "/readyz", "/v1/openapi.json", "/v1/nothing", "/healthz/../metrics"]
    {
        for denied in [api.clone(), bearer("s3cre"), bearer("S3cret"), bearer(""), bearer("s3cret2")] {
            let answer = denied.with(["--path-as-is"]).get(path);
            assert_eq!(answer.status, 401, "{path}: {answer:?}");
            assert!(answer.head.contains("www-authenticate: bearer"), "{answer:?}");
            assert!(!answer.body.contains("s3cret"), "{answer:?}");
        }
    }
    assert_eq!(api.get("/healthz").status, 200, "it needs no token");
    assert_eq!(api.post("/v1/drain", r#"{"pool": "web"}"#).status, 401);
    assert!(site.daemon.status().overrides.overrides.is_empty());
    assert_eq!(bearer("s3cret").get("/v1/status").status, 200);
    assert_eq!(bearer("s3cret").get("/metrics").status, 200);
    assert_eq!(bearer("s3cret").post("/v1/drain", r#"{"pool": "web"}"#).status, 200);
    let lines = site.audit(6 * 5 + 2);
    let (last, denied) = lines.split_last().unwrap();
    assert!(denied.iter().all(|line| line["message"] == "denied"), "each one is in the log");
    assert!(denied.iter().all(|line| line["client"].as_str().unwrap().starts_with("127.")));
    assert_eq!((&last["proof"], &last["operation"]), (&"token".into(), &"drain".into()));
    assert!(!site.daemon.log_text().contains("s3cre"), "tokens, right or wrong, are not in the log");
}

/// Keys and certificates of a small world, made with openssl.
struct Authority(TempDir);

impl Authority {
    fn new() -> Self {
        let authority = Self(tempfile::tempdir().unwrap());
        let new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let ca = ["-subj", "/CN=operators", "-keyout", "ca.key", "-out", "ca.pem"];
        authority.openssl(new.iter().chain(&ca).copied());
        authority
    }

    /// Makes `NAME.pem` and `NAME.key`.
    fn issue(&self, name: &str, extension: &str) {
        let subject = format!("/CN={name}");
        let (key, pem) = (format!("{name}.key"), format!("{name}.pem"));
        let extension = ["-addext", extension, "-addext", "basicConstraints=critical,CA:FALSE"];
        let new = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
        let by = ["-CA", "ca.pem", "-CAkey", "ca.key", "-subj", &subject, "-keyout", &key, "-out", &pem];
        self.openssl(new.iter().chain(&by).chain(&extension).copied());
    }

    fn openssl<'a>(&self, arguments: impl Iterator<Item = &'a str>) {
        let output = Command::new("openssl").args(arguments).current_dir(&self.0).output().unwrap();
        assert!(output.status.success(), "{}", stderr(&output));
    }

    fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    /// Options of curl for who has this certificate.
    fn show(&self, name: &str) -> [std::ffi::OsString; 4] {
        let (cert, key) = (self.path(&format!("{name}.pem")), self.path(&format!("{name}.key")));
        ["--cert".into(), cert.into(), "--key".into(), key.into()]
    }
}

#[test]
fn over_tls_only_certificates_of_the_own_authority_open_anything() {
    let (own, other) = (Authority::new(), Authority::new());
    let at = Loopback::new();
    own.issue("server", &format!("subjectAltName=IP:{}", at.ip()));
    own.issue("alice", "extendedKeyUsage=clientAuth");
    other.issue("mallory", "extendedKeyUsage=clientAuth");
    let file = |name| own.path(name).display().to_string();
    let tables = format!(
        "[admin.tcp]\nbind = \"{}\"\n[admin.tcp.tls]\ncert_file = \"{}\"\nkey_file = \"{}\"\nclient_ca_file = \"{}\"",
        at.port(0),
        file("server.pem"),
        file("server.key"),
        file("ca.pem")
    );
    let site = Site::with(Behaviour::Tag, &tables);
    let url = format!("https://{}", at.port(0));
    let api = Api::at(&url).with(["--cacert".into(), own.path("ca.pem")]);
    let alice = api.clone().with(own.show("alice"));
    assert_eq!(alice.get("/v1/status").status, 200);
    for path in ["/v1/status", "/healthz"] {
        assert!(!api.clone().run(path).status.success(), "without a certificate");
        assert!(
            !api.clone().with(other.show("mallory")).run(path).status.success(),
            "with one of a stranger"
        );
        assert!(!Api::at(&url.replace("https", "http")).run(path).status.success(), "without TLS");
    }
    assert!(!Api::at(&url).with(own.show("alice")).run("/healthz").status.success(), "it shows its own");
    assert_eq!(alice.post("/v1/drain", r#"{"pool": "web", "backend": "b0"}"#).status, 200);
    let audit = |operation: &str| {
        let of = |line: &lb_tests::LogLine| line.field("operation") == Some(operation);
        site.daemon.wait_for_log("an audit line", of)
    };
    assert!(audit("drain").field("proof").unwrap().contains("alice"), "{}", audit("drain").text);
}

#[test]
fn plain_text_for_others_than_this_host_is_refused_by_check() {
    let text = "version = 1\n[admin.tcp]\nbind = \"10.0.0.1:9901\"\ntoken_file = \"token\"\n\
                [listeners.web]\nbind = [\"127.0.0.1:8080\"]\nprotocol = \"tcp\"\npool = \"web\"\n\
                [pools.web]\nbackends = [\"10.0.0.1:80\"]\n";
    let file = cli::config_file(text);
    let check = || cli::sluice(["check".as_ref(), "-c".as_ref(), file.path().as_os_str()]);
    let output = check();
    assert_eq!(output.status.code(), Some(1));
    let told = stderr(&output);
    assert!(told.contains(&format!("{}:3:", file.path().display())) && told.contains("tls"), "{told}");
    std::fs::write(file.path(), text.replace("10.0.0.1:9901", "127.0.0.1:9901")).unwrap();
    assert_eq!(check().status.code(), Some(0), "{}", stderr(&check()));
}

#[test]
fn strangers_who_hold_all_connections_over_tcp_do_not_lock_the_operator_out() {
    let (site, api, address, _directory) = with_token("s3cret");
    let mut idle: Vec<_> = (0..64).map(|_| TcpStream::connect(address).unwrap()).collect();
    site.daemon.sluice(["drain", "web/b0"]);
    assert_eq!(site.daemon.status().state, Readiness::Ready);
    // As soon as there is a place, the next is served.
    idle.pop();
    assert_eq!(api.get("/healthz").status, 200);
}

/// What comes back for these bytes before the connection ends.
fn answer_to(socket: &Path, bytes: &[u8]) -> Vec<u8> {
    let mut stream = UnixStream::connect(socket).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    // It may close, or even reset, before it has read everything.
    let _ = stream.write_all(bytes);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = vec![];
    if let Err(error) = stream.read_to_end(&mut answer) {
        assert_eq!(error.kind(), io::ErrorKind::ConnectionReset, "it neither answers nor closes");
    }
    answer
}

#[test]
fn garbage_is_answered_or_closed_and_harms_nobody() {
    let site = Site::start();
    let _open = site.open();
    let huge_head = format!("GET / HTTP/1.1\r\nx: {}\r\n\r\n", "x".repeat(100_000));
    let many_fields = format!("GET / HTTP/1.1\r\n{}\r\n", "x: y\r\n".repeat(5_000));
    let huge_length = "POST /v1/drain HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                       content-length: 99999999999999\r\n\r\n{";
    let two_lengths = "POST /v1/drain HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n\
                       content-length: 2\r\ncontent-length: 3\r\n\r\n{}";
    let http2: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
    for garbage in [
        &b"\0\0\0\0\0\0\0\0"[..],
        &[0xff; 70_000],
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03",
        b"GET\r\n\r\n",
        b"GET /%zz/%00 HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        b"GET /v1/pools/%ff%fe HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
        http2,
        huge_head.as_bytes(),
        many_fields.as_bytes(),
        huge_length.as_bytes(),
        two_lengths.as_bytes(),
    ] {
        let answer = answer_to(&site.daemon.socket(), garbage);
        let refused = answer.is_empty() || answer.starts_with(b"HTTP/1.1 4");
        assert!(refused, "{:?}", String::from_utf8_lossy(&answer));
    }
    let status = site.daemon.status();
    assert_eq!(status.listeners[0].connections, 1);
    assert!(status.overrides.overrides.is_empty());
    assert!(!site.daemon.log_text().contains("panic"), "{}", site.daemon.log_text());
}

#[test]
fn who_sends_slowly_keeps_nobody_waiting() {
    let site = Site::start();
    let socket = site.daemon.socket();
    let begin = |text: &str| {
        let mut stream = UnixStream::connect(&socket).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        stream
    };
    let head = "POST /v1/drain HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\n";
    let body = format!("{head}content-length: 30\r\n\r\n{{");
    let mut slow: Vec<_> = (0..20).flat_map(|_| [begin("GET /v1/sta"), begin(&body)]).collect();
    for _ in 0..3 {
        slow.iter_mut().for_each(|stream| stream.write_all(b" ").unwrap());
        site.daemon.sluice(["drain", "web/b0"]);
        site.daemon.sluice(["undrain", "web/b0"]);
    }
}

#[test]
fn many_requests_at_once_do_not_disturb_relays() {
    let site = Site::with(Behaviour::Exchange, "");
    let api = site.daemon.api();
    std::thread::scope(|scope| {
        let relays: Vec<_> = (0..4)
            .map(|seed| {
                let address = site.at.port(0);
                scope.spawn(move || {
                    let stream = client::connect(address).unwrap();
                    Exchange { seed, up: 20 << 20, down: 20 << 20 }.run(&stream).unwrap()
                })
            })
            .collect();
        let asking: Vec<_> = ["/v1/status", "/metrics", "/v1/pools/web", "/readyz", "/v1/overrides"]
            .map(|path| {
                let urls = vec![path; 40];
                let api = api.clone();
                scope.spawn(move || urls.into_iter().all(|path| api.get(path).status == 200))
            })
            .into();
        let weights = scope.spawn(|| {
            (0..20).all(|weight| {
                let body = format!("{{\"pool\": \"web\", \"backend\": \"b0\", \"weight\": {weight}}}");
                api.post("/v1/weight", &body).status == 200
            })
        });
        assert!(asking.into_iter().all(|asked| asked.join().unwrap()) && weights.join().unwrap());
        for relay in relays {
            relay.join().unwrap();
        }
    });
    assert_eq!(site.audit(20).len(), 20);
    assert_eq!(site.daemon.backend("web", "b0").weight, 19, "the last word counts");
}

#[test]
fn commands_that_come_at_once_are_all_carried_out() {
    let site = Site::start();
    let commands: Vec<Running> = (0..12)
        .map(|index| match index % 3 {
            0 => site.daemon.run(["drain", "web/b0"]),
            1 => site.daemon.run(["weight", "web/b1", "9"]),
            _ => site.daemon.run(["reload"]),
        })
        .collect();
    for mut command in commands {
        assert!(command.wait_exit().success(), "{}", command.printed());
    }
    site.audit(12);
    let daemon = site.daemon.kill_and_restart();
    assert!(daemon.backend("web", "b0").r#override.unwrap().drain);
    assert_eq!(daemon.backend("web", "b1").weight, 9);
}

#[test]
fn without_privileges_everything_works_in_its_own_place() {
    let directory = open_directory();
    let socket = directory.path().join("run/admin.sock");
    let at = Loopback::new();
    let backends = [Backend::start("b0", at.backend(0), Behaviour::Tag)];
    let state = format!("state_dir = \"{}\"", directory.path().join("state").display());
    let config = config(at, &backends).global(&state).table(&admin_socket(&socket));
    let daemon = Launch::new(config).unprivileged().start();
    let api = Api::unix(&socket);
    let answer = api.post("/v1/drain", r#"{"pool": "web"}"#);
    assert_eq!((answer.status, &answer.json()["persisted"]), (200, &true.into()), "{answer:?}");
    assert_eq!(api.post("/v1/reload", "{}").status, 200);
    let owner = std::fs::metadata(directory.path().join("state/overrides")).unwrap().uid();
    assert_eq!(owner, std::fs::metadata(&socket).unwrap().uid());
    assert!(daemon.log_text().contains("\"ready\""));
}
