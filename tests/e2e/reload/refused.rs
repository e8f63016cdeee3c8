//! All or nothing: a file that is no good changes nothing at all.

use std::fs;
use std::net::TcpListener;

use rustix::process::Signal;

use super::clients::Clients;
use super::{Site, assert_refuses, lines, listener, open, refused_reload, reloads, served_by};

/// Catches: an error without its place, an exit code of 0, an error that the log or status or metrics do not have.
#[test]
fn a_mistake_is_told_with_its_place_wherever_one_looks() {
    let site = Site::start();
    let daemon = &site.daemon;
    let text = site.config("b", "").replace("protocol = \"tcp\"", "protokoll = \"tcp\"");
    let line = 1 + text.lines().position(|line| line.contains("protokoll")).unwrap();
    let place = format!("{}:{line}:1: ", daemon.home().join("sluice.toml").display());
    daemon.configure(text);

    let error = refused_reload(daemon);
    assert!(error.contains(&place), "{place} is not in {error}");
    assert!(error.contains("protokoll") && error.contains("the old configuration stays"), "{error}");
    assert_eq!(daemon.command(["reload", "--json"]).status.code(), Some(1));
    daemon.signal(Signal::HUP);
    lb_tests::eventually(super::PATIENCE, "SIGHUP is refused too", || reloads(daemon, "refused") >= 3.0);

    let refusal = daemon.wait_for_log("the refusal", |line| line.text.contains("reload refused"));
    assert_eq!(refusal.field("level"), Some("ERROR"));
    assert!(refusal.text.contains(&format!("sluice.toml:{line}:1")), "{}", refusal.text);
    assert_eq!(lines(daemon, "reload refused"), 3, "once for each");
    let status = daemon.status();
    let last = status.last_reload.clone().unwrap();
    assert!(!last.ok && last.error.clone().unwrap().contains(&place), "{last:?}");
    assert_eq!(status.generation, 1);
    assert!(daemon.sluice(["status"]).contains("refused"), "who looks at the table is told");
    assert_eq!(daemon.metric("sluice_config_last_reload_success"), 0.0);
    assert_eq!(reloads(daemon, "applied"), 0.0);
    assert_eq!(served_by(site.at.port(0)), "a");

    daemon.reload(site.config("b", ""));
    assert_eq!(daemon.metric("sluice_config_last_reload_success"), 1.0);
    assert!(daemon.status().last_reload.unwrap().ok);
    assert!(!daemon.sluice(["status"]).contains("refused"), "and not for ever");
}

/// Catches: pools, limits, access lists, the log or the first of two listeners that are changed before the last step fails.
#[test]
fn an_address_that_is_taken_leaves_everything_as_it_was() {
    let site = Site::start();
    let (at, daemon) = (site.at, &site.daemon);
    let (before, _) = open(at.port(0));
    let _taken = TcpListener::bind(at.port(3)).unwrap();
    let text = site.config("b", "deny = [\"127.0.0.0/8\"]\nmax_connections = 1\nidle_timeout = \"50ms\"");
    let text = text.replace("workers = 4", "workers = 4\nmax_connections = 1");
    let text = text.replace("format = \"json\"", "format = \"human\"\nlevel = \"error\"");
    // One of them can be had; they are bound in the order of their names.
    let new = listener("aa", &[at.port(1)], "b", "") + &listener("zz", &[at.port(2), at.port(3)], "b", "");
    daemon.configure(text + &new);
    let sockets = super::listeners::sockets(daemon);
    let error = refused_reload(daemon);
    let taken = at.port(3).to_string();
    assert!(error.contains(&taken) && error.contains("zz"), "which address, and whose: {error}");

    assert_eq!(super::listeners::sockets(daemon), sockets, "nothing new, and the old ones are the same");
    assert_refuses(at.port(1));
    assert_refuses(at.port(2));
    let others: Vec<_> = (0..4).map(|_| open(at.port(0))).collect();
    assert!(others.iter().all(|(_, name)| name == "a"));
    super::assert_goes_on(&before);
    let status = daemon.status();
    assert_eq!((status.generation, status.listeners.len()), (1, 1));
    assert_eq!(status.listeners[0].max_connections, None);
    let client = others[0].0.local_addr().unwrap();
    super::finish(&others[0].0);
    daemon.wait_for_record(client);
    assert!(error.contains("the old configuration stays"), "{error}");
}

/// Catches: half a configuration that comes into force because its first half happens to be one.
#[test]
fn a_truncated_file_under_load_disturbs_nobody() {
    let site = Site::start();
    let daemon = &site.daemon;
    let clients = Clients::start(site.at.port(0), 2);
    let whole = site.config("b", "max_connections = 9999");
    let path = daemon.home().join("sluice.toml");
    let mut refused = 0;
    // Cut within its last table, which is the listener that everybody uses.
    for length in (whole.len() - 110..whole.len() - 30).step_by(10) {
        fs::write(&path, &whole[..length]).unwrap();
        let error = refused_reload(daemon);
        assert!(error.contains("sluice.toml"), "{error}");
        refused += 1;
        clients.wait_for_more();
    }
    fs::write(&path, "").unwrap();
    refused_reload(daemon);
    fs::remove_file(&path).unwrap();
    let error = refused_reload(daemon);
    assert!(error.contains("sluice.toml"), "it says which file is missing: {error}");
    clients.wait_for_more();
    clients.assert_served_by(["a"]);
    assert_eq!(reloads(daemon, "refused"), f64::from(refused + 2));
    daemon.reload(&whole);
    assert_eq!(served_by(site.at.port(0)), "b");
}
