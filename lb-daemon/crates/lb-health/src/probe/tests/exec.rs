//! Command probes: verdicts, reasons, and that no process is left.

use std::path::Path;

use lb_model::ExecProbe;
use tempfile::TempDir;

use super::*;

fn sh(script: &str) -> Probe {
    Probe::Exec(ExecProbe { program: "sh".into(), args: ["-c".to_owned(), script.to_owned()].into() })
}

fn backend() -> SocketAddr {
    "192.0.2.1:80".parse().unwrap()
}

async fn run_sh(script: &str) -> ProbeResult {
    probe(backend(), sh(script), PATIENT).await
}

/// Polls until `condition` holds.
async fn until(what: &str, mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENT;
    while !condition() {
        assert!(Instant::now() < deadline, "{what} takes too long");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// The process ids that a script wrote into `file`, once all `count` are there.
async fn pids(file: &Path, count: usize) -> Vec<String> {
    let read = || std::fs::read_to_string(file).unwrap_or_default();
    until("the script", || read().lines().count() == count).await;
    read().lines().map(ToOwned::to_owned).collect()
}

/// Whether a process has ended; an orphan may wait for init to reap it.
fn has_ended(pid: &str) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.is_empty() || stat.rsplit(") ").next().is_some_and(|rest| rest.starts_with('Z'))
}

fn is_reaped(pid: &str) -> bool {
    !Path::new("/proc").join(pid).exists()
}

#[tokio::test]
async fn the_exit_code_decides_and_the_last_line_says_why() {
    assert!(run_sh("exit 0").await.unwrap().is_some());
    assert_eq!(message(run_sh("exit 3").await), "exit code 3");
    assert_eq!(message(run_sh("echo first; echo replica lags; exit 1").await), "exit code 1: replica lags");
    assert_eq!(message(run_sh("echo out; echo err >&2; exit 1").await), "exit code 1: err");
    assert_eq!(message(run_sh("kill -9 $$").await), "killed by signal 9");
}

#[tokio::test]
async fn output_is_bounded_and_harmless() {
    let long = message(run_sh("head -c 10000000 /dev/zero | tr '\\0' x; exit 1").await);
    assert_eq!(long.len(), "exit code 1: ".len() + 200);
    assert_eq!(message(run_sh("printf 'a\\033[31mb\\377\\n'; exit 1").await), "exit code 1: a[31mb\u{fffd}");
}

#[tokio::test]
async fn a_command_knows_its_backend_and_nothing_else() {
    let script = "test \"$SLUICE_BACKEND_ADDRESS $SLUICE_BACKEND_PORT $SLUICE_BACKEND_NAME\" = '192.0.2.1 80 web-1' \
                  && test -z \"$CARGO$HOME\" && ! read -r line";
    assert!(run_sh(script).await.is_ok());
}

#[tokio::test]
async fn a_command_that_cannot_be_started_is_no_verdict() {
    let exec = ExecProbe { program: "/nowhere/check".into(), args: [].into() };
    let error = probe(backend(), Probe::Exec(exec), PATIENT).await.unwrap_err();
    assert!(error.is_local() && error.to_string().contains("/nowhere/check"), "{error}");
}

#[tokio::test]
async fn a_hanging_command_and_what_it_started_are_killed_and_reaped() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("pids");
    let script = format!("trap '' TERM; sleep 1000 & printf '%s\\n' $$ $! > {}; wait", file.display());
    // Long enough for the script to begin, on any machine; what it does then takes no time.
    let timeout = Duration::from_secs(2);
    let (result, pids) = tokio::join!(probe(backend(), sh(&script), timeout), pids(&file, 2));
    assert_eq!(message(result), "command did not end within 2s");
    until("killing", || is_reaped(&pids[0]) && has_ended(&pids[1])).await;
}

#[tokio::test]
async fn a_command_whose_probe_is_dropped_is_killed_and_reaped() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("pids");
    let script = format!("echo $$ > {}; exec sleep 1000", file.display());
    let pids = tokio::select! {
        _ = run_sh(&script) => unreachable!("it sleeps"),
        pids = pids(&file, 1) => pids,
    };
    until("killing", || is_reaped(&pids[0])).await;
}

#[tokio::test]
async fn what_is_left_in_the_background_is_not_waited_for() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("pids");
    let script = format!("sleep 1000 & echo $! > {}; echo done; exit 1", file.display());
    assert_eq!(message(run_sh(&script).await), "exit code 1: done");
    let left = pids(&file, 1).await;
    let left = rustix::process::Pid::from_raw(left[0].parse().unwrap()).unwrap();
    rustix::process::kill_process(left, rustix::process::Signal::KILL).unwrap();
}
