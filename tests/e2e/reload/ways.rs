//! How a reload is asked for.

use std::process::Command;
use std::thread;

use lb_tests::eventually;
use rustix::process::Signal;

use super::{PATIENCE, Site, lines, listener, pool_beside, pool_of, reloads, wait_for_reloads};

/// Catches: SIGHUP that does nothing, or the second one that does nothing.
#[test]
fn by_signal() {
    let site = Site::start();
    for (count, pool) in (1..).zip(["b", "a", "b"]) {
        site.configure(pool);
        site.daemon.signal(Signal::HUP);
        wait_for_reloads(&site.daemon, f64::from(count));
        assert_eq!(site.served_by(), pool);
    }
    let status = site.daemon.status();
    assert_eq!((status.generation, status.last_reload.unwrap().ok), (4, true));
}

/// Catches: a command that returns before the new configuration is in force, or says another generation than status does.
#[test]
fn by_command() {
    let site = Site::start();
    assert!(site.daemon.status().last_reload.is_none(), "there was none");
    let (kept, _) = super::open(site.at.port(0));
    site.configure("b");
    let text = site.daemon.sluice(["reload"]);
    assert_eq!(site.served_by(), "b", "once the command is done, every client has it");
    assert!(text.contains("pool: a → b"), "it says what it did: {text}");
    assert!(text.ends_with("reloaded: generation 2\n"), "{text}");
    assert_eq!(site.daemon.status().generation, 2);
    assert!(site.daemon.status().last_reload.unwrap().ok);
    eventually(PATIENCE, "who did it is in the audit log", || {
        lines(&site.daemon, "\"operation\":\"reload\"") == 1
    });
    super::assert_goes_on(&kept);
}

/// Catches: a reload without a change that counts as another configuration, or is reported in the words of a plan.
#[test]
fn of_the_same_file_changes_nothing_and_says_so() {
    let site = Site::start();
    let text = site.daemon.sluice(["reload"]);
    assert!(text.contains("nothing") && !text.contains("would"), "it is no plan: {text:?}");
    assert_eq!(site.daemon.status().generation, 1);
    assert_eq!(reloads(&site.daemon, "applied"), 1.0);
}

/// Catches: the API's path, its answer, or its method being another.
#[test]
fn by_post() {
    let site = Site::start();
    site.configure("b");
    let curl = |method: &[&str]| {
        let mut curl = Command::new("curl");
        curl.args(["-sS", "-H", "content-type: application/json", "-w", "%{http_code}", "--unix-socket"]);
        let output =
            curl.arg(site.daemon.socket()).args(method).arg("http://sluice/v1/reload").output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(curl(&["-X", "GET"]).ends_with("405"), "reading must not reload");
    assert_eq!(site.served_by(), "a");
    let answer = curl(&["-d", "{}"]);
    let (answer, code) = answer.split_at(answer.len() - 3);
    let reloaded: lb_admin::Reloaded = serde_json::from_str(answer).unwrap();
    assert_eq!((code, reloaded.generation, reloaded.changed), ("200", 2, true), "{answer}");
    assert_eq!(site.served_by(), "b");
    // Once more: nothing is left to do, which is no error.
    let answer = curl(&["-d", "{}"]);
    let reloaded: lb_admin::Reloaded = serde_json::from_str(&answer[..answer.len() - 3]).unwrap();
    assert_eq!((reloaded.generation, reloaded.changed), (2, false));
}

/// Catches: reloads that run into each other, get lost, deadlock, or answer "busy".
#[test]
fn many_at_once() {
    let site = Site::start();
    site.configure("b");
    thread::scope(|scope| {
        for _ in 0..10 {
            scope.spawn(|| site.daemon.sluice(["reload"]));
            scope.spawn(|| site.daemon.signal(Signal::HUP));
        }
    });
    assert_eq!(site.served_by(), "b");
    assert_eq!(site.daemon.status().generation, 2, "one of them had something to do");
    assert_eq!(reloads(&site.daemon, "refused"), 0.0);
    // Signals that come while one is being handled coalesce, but the last one is never lost.
    site.configure("a");
    site.daemon.signal(Signal::HUP);
    eventually(PATIENCE, "the last signal is obeyed", || site.served_by() == "a");
}

/// Catches: a daemon that, while it ends, opens new ports which nobody serves.
#[test]
fn while_it_drains_it_is_refused() {
    let site = Site::start();
    let _open = super::open(site.at.port(0));
    site.daemon.signal(Signal::TERM);
    site.daemon.wait_for_log("draining", |line| line.says("draining"));
    let two = [site.at.port(0), site.at.port(1)];
    let config = format!("{}{}", pool_beside(pool_of(&site.a), &site.b), listener("web", &two, "a", ""));
    site.daemon.configure(config);
    let error = super::refused_reload(&site.daemon);
    assert!(error.contains("drain"), "{error}");
    assert_eq!(lines(&site.daemon, "\"listening\""), 1, "only at the start");
    super::assert_refuses(site.at.port(1));
}
