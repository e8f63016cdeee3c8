//! The access log: a line for each request, written to a file.

use std::path::Path;

use lb_tests::{Daemon, HttpBackend, HttpClient, Loopback, eventually};
use serde_json::Value;

use super::{PATIENCE, config, tag};

fn lines(path: &Path, count: usize) -> Vec<String> {
    let read = || std::fs::read_to_string(path).unwrap_or_default();
    eventually(PATIENCE, &format!("{count} lines"), || read().lines().count() >= count);
    read().lines().map(str::to_owned).collect()
}

fn start(format: &str) -> (Daemon, HttpBackend, Loopback, tempfile::TempDir) {
    let (at, home) = (Loopback::new(), tempfile::tempdir().unwrap());
    let backend = HttpBackend::answering("b", at.backend(0), tag);
    let path = home.path().join("access.log");
    let listener = format!("access_log = {{ format = \"{format}\", path = \"{}\" }}", path.display());
    (Daemon::start(config(at, &backend, &listener, "")), backend, at, home)
}

#[test]
fn a_line_of_json_has_what_there_is_to_know() {
    let (_daemon, _backend, at, home) = start("json");
    let mut client = HttpClient::connect(at.port(0));
    client.exchange("GET /a?b=\"c\" HTTP/1.1\r\nHost: h.example\r\nUser-Agent: x\"y\\\r\n\r\n");
    client.exchange("POST /up HTTP/1.1\r\nHost: h.example\r\nContent-Length: 5\r\n\r\nabcde");
    client.exchange("GET / HTTP/1.1\r\n\r\n");
    let lines = lines(&home.path().join("access.log"), 3);
    let lines: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    let text = |line: usize, key: &str| lines[line][key].as_str().unwrap_or_default().to_owned();
    assert_eq!(text(0, "target"), "/a?b=\"c\"");
    assert_eq!(text(0, "user_agent"), "x\"y\\");
    for (key, value) in [
        ("method", "GET"),
        ("host", "h.example"),
        ("listener", "web"),
        ("pool", "web"),
        ("backend", "b"),
        ("client", "127.0.0.1"),
        ("reason", "served"),
    ] {
        assert_eq!(text(0, key), value, "{key}");
    }
    assert_eq!((&lines[0]["status"], &lines[0]["tries"]), (&200.into(), &1.into()));
    assert!(lines[0]["first_byte_us"].as_u64() <= lines[0]["duration_us"].as_u64());
    assert!(lines[1]["bytes_in"].as_u64() > Some(5));
    assert_ne!(text(0, "request_id"), text(1, "request_id"));
    assert_eq!((text(2, "reason"), text(2, "fault")), ("bad_request".into(), "host_missing".into()));
    assert_eq!(lines[2]["status"], 400);
}

#[test]
fn combined_lines_are_as_other_servers_write_them() {
    let (_daemon, _backend, at, home) = start("combined");
    let mut client = HttpClient::connect(at.port(0));
    client.exchange("GET /a HTTP/1.1\r\nHost: a\r\nUser-Agent: x\"y\r\nReferer: http://r/\r\n\r\n");
    let line = lines(&home.path().join("access.log"), 1).remove(0);
    assert!(line.starts_with("127.0.0.1 - - ["), "{line}");
    assert!(line.contains(" +0000] \"GET /a HTTP/1.1\" 200 "), "{line}");
    assert!(line.ends_with(" \"http://r/\" \"x\\x22y\""), "{line}");
}

#[test]
fn a_log_that_was_rotated_goes_on_in_a_new_file_after_a_reload() {
    let (daemon, _backend, at, home) = start("json");
    let path = home.path().join("access.log");
    let mut client = HttpClient::connect(at.port(0));
    client.get("/before");
    assert!(lines(&path, 1)[0].contains("/before"));
    std::fs::rename(&path, home.path().join("old")).unwrap();
    daemon.sluice(["reload"]);
    client.get("/after");
    assert!(lines(&path, 1)[0].contains("/after"));
    assert_eq!(daemon.metric("sluice_access_log_lost_lines_total"), 0.0);
}
