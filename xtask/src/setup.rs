//! `cargo xtask setup`: brings what tests and benches need onto a Debian machine.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::step::{command_line, step};
use crate::workspace::cargo;

/// The Debian packages, with what they are for.
const PACKAGES: [(&str, &str); 13] = [
    ("bind9-dnsutils", "tests: dig"),
    ("curl", "tests, lab"),
    ("haproxy", "tests, bench: peer"),
    ("iproute2", "lab: namespaces and links"),
    ("libnginx-mod-stream", "tests, bench: peer"),
    ("nftables", "tests: faults"),
    ("nginx", "tests, bench: peer"),
    ("openssl", "tests"),
    ("procps", "tests"),
    ("prometheus", "tests: metrics and alerts"),
    ("python3", "bench: finds Envoy"),
    ("strace", "tests, profiles"),
    ("util-linux", "bench: namespaces"),
];

/// What cargo installs: crate and version.
const TOOLS: [(&str, &str); 3] =
    [("bpf-linker", "0.10.0"), ("cargo-deny", "0.20.2"), ("cargo-fuzz", "0.13.2")];

/// Packages that start a service of the same name when they are installed.
const SERVICES: [&str; 3] = ["haproxy", "nginx", "prometheus"];

/// Installs what is missing.
pub(crate) fn run() -> Result<()> {
    install_packages()?;
    for (tool, version) in TOOLS {
        install_tool(tool, version)?;
    }
    Ok(())
}

fn install_packages() -> Result<()> {
    let (present, missing): (Vec<_>, Vec<_>) = PACKAGES.into_iter().partition(|(name, _)| is_installed(name));
    for (name, _) in present {
        println!("present    {name}");
    }
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
    let mut update = apt_get(&["update"]);
    let mut install = apt_get(&["install", "--yes", "--no-install-recommends"]);
    install.args(&names);
    if !rustix::process::geteuid().is_root() {
        let (update, install) = (command_line(&update), command_line(&install));
        bail!("packages are missing and only root can install them:\n  sudo {update} && sudo {install}");
    }
    step("package lists", &mut update)?;
    step("packages", &mut install)?;
    for (name, purpose) in missing {
        println!("installed  {name} ({purpose})");
        if SERVICES.contains(&name) {
            stop_service(name)?;
        }
    }
    Ok(())
}

fn is_installed(package: &str) -> bool {
    let query = ["--show", "--showformat=${db:Status-Status}", package];
    let output = Command::new("dpkg-query").args(query).stderr(Stdio::null()).output();
    output.is_ok_and(|output| output.stdout == b"installed")
}

fn apt_get(arguments: &[&str]) -> Command {
    let mut command = Command::new("apt-get");
    // A runlevel in which services do not start: they are here to be measured, not to serve.
    command
        .args(arguments)
        .env("DEBIAN_FRONTEND", "noninteractive")
        .env("RUNLEVEL", "1")
        .stdin(Stdio::null());
    command
}

/// Stops a service that its package may have started although we asked it not to: systemd does not look at RUNLEVEL.
fn stop_service(name: &str) -> Result<()> {
    let mut stop = if Path::new("/run/systemd/system").exists() {
        let mut command = Command::new("systemctl");
        command.args(["stop", name]);
        command
    } else {
        let mut command = Command::new(format!("/etc/init.d/{name}"));
        command.arg("stop");
        command
    };
    step(&format!("stop {name}"), stop.stdout(Stdio::null()))?;
    println!("stopped    {name} (the service)");
    Ok(())
}

fn install_tool(tool: &str, version: &str) -> Result<()> {
    let installed = Command::new(tool).arg("--version").stderr(Stdio::null()).output();
    let said =
        installed.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default();
    if said.split_whitespace().last() == Some(version) {
        println!("present    {tool} {version}");
        return Ok(());
    }
    step(tool, &mut cargo(&["install", "--locked", tool, "--version", version]))
        .with_context(|| format!("cannot install {tool} {version}"))?;
    println!("installed  {tool} {version}");
    Ok(())
}
