//! What the tools of those who will use all this say.

use std::io::Write as _;
use std::process::{Command, Output, Stdio};

use super::*;

/// A tool, if it is on the PATH. With `SLUICE_REQUIRE_LAB=1` it has to be, so that a gate cannot pass by skipping.
fn tool(name: &str, package: &str) -> Option<Command> {
    let search = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&search).any(|directory| directory.join(name).exists()) {
        return Some(Command::new(name));
    }
    let why = format!("there is no {name}: install the package {package}, or run `cargo xtask setup`");
    assert!(
        std::env::var_os("SLUICE_REQUIRE_LAB").is_none_or(|v| v != "1"),
        "SLUICE_REQUIRE_LAB=1, but {why}"
    );
    eprintln!("SKIPPED: {why}");
    None
}

#[track_caller]
fn assert_content(output: &Output) {
    let said = [&output.stdout[..], &output.stderr[..]].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn prometheus_has_nothing_to_say_against_a_scrape() {
    let Some(mut promtool) = tool("promtool", "prometheus") else { return };
    promtool.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut promtool = promtool.spawn().unwrap();
    let text = render(&Sheets::used().report());
    promtool.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    let output = promtool.wait_with_output().unwrap();
    assert_content(&output);
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn alerts_are_valid_and_fire_as_their_tests_say() {
    for (action, file) in
        [("check", "deploy/prometheus/alerts.yml"), ("test", "deploy/prometheus/alerts_test.yml")]
    {
        let Some(mut promtool) = tool("promtool", "prometheus") else { return };
        assert_content(&promtool.args([action, "rules"]).arg(project_file(file)).output().unwrap());
    }
}

#[test]
fn the_service_is_hardened() {
    let Some(mut analyze) = tool("systemd-analyze", "systemd") else { return };
    // In tenths: 2.0 of 10.
    analyze.args(["security", "--offline=true", "--threshold=20", "--no-pager"]);
    assert_content(&analyze.arg(project_file("deploy/systemd/sluice.service")).output().unwrap());
}
