//! `sluice demo`: it works in ten seconds, and goes away without a trace.

use std::net::SocketAddr;
use std::process::Command;
use std::time::Duration;

use lb_tests::{Daemon, Launch, client};
use rustix::process::Signal;

#[test]
fn the_demo_answers_at_the_address_that_it_prints_and_ends_with_ctrl_c() {
    let mut demo = Launch::demo().spawn();
    let address = printed_address(&demo);
    let answer = Command::new("curl")
        .args(["-sS", "--max-time", "10", &format!("http://{address}/")])
        .output()
        .unwrap();
    assert!(answer.status.success(), "{}\n{}", String::from_utf8_lossy(&answer.stderr), demo.log_text());
    assert!(!answer.stdout.is_empty(), "a backend answers");

    demo.signal(Signal::INT);
    assert!(demo.wait_exit(Duration::from_secs(2)).success(), "{}", demo.log_text());
    client::connect(address).expect_err("nothing listens any more");
}

/// The first address of an `http://ADDRESS` in what it prints.
fn printed_address(demo: &Daemon) -> SocketAddr {
    let address = |text: &str| -> Option<SocketAddr> {
        let (_, rest) = text.split_once("http://")?;
        rest.split(|c: char| !(c.is_ascii_hexdigit() || ".:[]".contains(c))).next()?.parse().ok()
    };
    let line = demo.wait_for_log("the address to try", |line| address(&line.text).is_some());
    address(&line.text).unwrap()
}
