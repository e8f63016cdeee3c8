//! The machine of a bench: private network, process and mount namespaces.
//!
//! The network has nothing but loopback, and settings that make runs comparable between hosts. When the first process
//! of the process namespace ends, the kernel kills all others, so that nothing is left behind, however a bench ends.

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, ensure};
use rustix::process::{Resource, Rlimit};

use crate::bench::process::{LOAD_CPU, PROXY_CPU, pin};

/// Where peers find their configuration: a file system in memory that only this mount namespace sees.
pub(crate) const SCRATCH: &str = "/mnt";

/// Open files that a peer may have: two for each of the 10,000 idle connections and plenty.
const OPEN_FILES: u64 = 65_536;

/// Settings of the network: queues and port ranges so wide that no case runs into them.
const SETTINGS: [(&str, &str); 5] = [
    ("ipv4/ip_local_port_range", "10000 65000"),
    ("ipv4/tcp_tw_reuse", "1"),
    ("ipv4/tcp_max_tw_buckets", "262144"),
    ("ipv4/tcp_max_syn_backlog", "16384"),
    ("core/somaxconn", "16384"),
];

/// Runs `program`, a build of this one, with `arguments` inside.
pub(crate) fn enter(program: &Path, arguments: &[OsString]) -> Result<ExitCode> {
    let cpus = std::thread::available_parallelism().context("number of CPUs")?.get();
    ensure!(
        [PROXY_CPU, LOAD_CPU].iter().all(|&cpu| cpu < cpus),
        "a bench needs two CPUs: one for the proxy, one for the load"
    );
    let mut command = Command::new("setpriv");
    command.args([
        "--pdeathsig",
        "KILL",
        "unshare",
        "--net",
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
    ]);
    if !rustix::process::geteuid().is_root() {
        command.arg("--map-root-user");
    }
    let status = command
        .arg("--")
        .arg(program)
        .args(arguments)
        .status()
        .context("cannot run setpriv and unshare: is util-linux installed? (`cargo xtask setup`)")?;
    Ok(status.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Makes the namespaces ready; returns the number of open files that a process may have.
pub(crate) fn prepare() -> Result<u64> {
    pin(&[LOAD_CPU])?;
    run("ip", &["link", "set", "lo", "up"])?;
    // The default of some hosts is bbr, which makes bulk on loopback twice as dear. Such a host does not let other
    // network namespaces make cubic their default, but it lets routes ask for it.
    for destination in ["127.0.0.0/8", "127.0.0.1"] {
        let route =
            ["route", "change", "local", destination, "dev", "lo", "table", "local", "congctl", "cubic"];
        run("ip", &route)?;
    }
    run("mount", &["-t", "tmpfs", "sluice-bench", SCRATCH])?;
    for (name, value) in SETTINGS {
        let path = Path::new("/proc/sys/net").join(name);
        fs::write(&path, value).with_context(|| format!("cannot set {} to {value}", path.display()))?;
    }
    Ok(raise_open_files())
}

/// Raises the limit as far as we may.
fn raise_open_files() -> u64 {
    let wanted = Rlimit { current: Some(OPEN_FILES), maximum: Some(OPEN_FILES) };
    if rustix::process::setrlimit(Resource::Nofile, wanted).is_ok() {
        return OPEN_FILES;
    }
    let hard = rustix::process::getrlimit(Resource::Nofile).maximum;
    let all = Rlimit { current: hard, maximum: hard };
    // Lowering or keeping the hard limit is always allowed.
    let _ = rustix::process::setrlimit(Resource::Nofile, all);
    hard.unwrap_or(u64::MAX)
}

fn run(program: &str, arguments: &[&str]) -> Result<()> {
    let status =
        Command::new(program).args(arguments).status().with_context(|| format!("cannot run {program}"))?;
    ensure!(status.success(), "{program} {} failed", arguments.join(" "));
    Ok(())
}
