//! `cargo xtask setup`: brings what tests and benches need onto a Debian machine.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::step::{command_line, step};
use crate::workspace::cargo;

/// The Debian packages, with what they are for.
const PACKAGES: [(&str, &str); 15] = [
    ("bind9-dnsutils", "tests: dig"),
    ("curl", "tests, lab"),
    ("haproxy", "tests, bench: peer"),
    ("iproute2", "lab: namespaces and links"),
    ("libnginx-mod-stream", "tests, bench: peer"),
    ("linux-perf", "bench, profiles"),
    ("nftables", "tests: faults"),
    ("nginx", "tests, bench: peer"),
    ("openssl", "tests"),
    ("procps", "tests"),
    ("prometheus", "tests: metrics and alerts"),
    ("python3", "bench: finds Envoy"),
    (QEMU, "tests: other kernels"),
    ("strace", "tests, bench, profiles"),
    ("util-linux", "bench: namespaces"),
];

const QEMU: &str = "qemu-system-x86";

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
    let mut names: Vec<&str> = missing.iter().map(|(name, _)| *name).collect();
    let mut update = apt_get(&["update"]);
    let mut install = apt_get(&INSTALL);
    install.args(&names);
    if !rustix::process::geteuid().is_root() {
        let (update, install) = (command_line(&update), command_line(&install));
        bail!("packages are missing and only root can install them:\n  sudo {update} && sudo {install}");
    }
    let backported = names.contains(&QEMU) && has_backported_qemu();
    names.retain(|name| !(backported && *name == QEMU));
    step("package lists", &mut update)?;
    if !names.is_empty() {
        step("packages", apt_get(&INSTALL).args(&names))?;
    }
    if backported {
        install_from_backports(QEMU)?;
    }
    for (name, purpose) in missing {
        println!("installed  {name} ({purpose})");
        if SERVICES.contains(&name) {
            stop_service(name)?;
        }
    }
    Ok(())
}

/// An installation that adds to what is there, and takes nothing away for it.
const INSTALL: [&str; 4] = ["install", "--yes", "--no-install-recommends", "--no-remove"];

fn is_installed(package: &str) -> bool {
    field(package, "${db:Status-Status}") == "installed"
}

/// Something that dpkg knows of a package; empty if it does not know the package.
fn field(package: &str, format: &str) -> String {
    let query = ["--show", "--showformat", format, package];
    let output = Command::new("dpkg-query").args(query).stderr(Stdio::null()).output();
    output.map(|output| String::from_utf8_lossy(&output.stdout).into_owned()).unwrap_or_default()
}

/// Whether this machine has QEMU's utilities from Debian's backports: beside those the emulator has to be from
/// there too, since the release's own drives them out.
fn has_backported_qemu() -> bool {
    is_installed("qemu-utils") && field("qemu-utils", "${Version}").contains("~bpo")
}

/// Installs a package from the backports of this Debian release, from the server of the release itself. The
/// machine's own list of sources stays as it is.
fn install_from_backports(package: &str) -> Result<()> {
    let format = "--format=$(REPO_URI) $(CODENAME)";
    let output = apt_get(&["indextargets", format, "Identifier: Packages", "Origin: Debian"]).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    // The release is the suite without a suffix (-updates, -security).
    let release = said.lines().filter_map(|line| line.split_once(' ')).find(|(_, name)| !name.contains('-'));
    let (server, name) = release.context("apt-get indextargets knows no release of Debian")?;
    let keyring = "/usr/share/keyrings/debian-archive-keyring.gpg";
    let others = fs::read_to_string("/etc/apt/sources.list").unwrap_or_default();
    let mut sources = tempfile::NamedTempFile::new()?;
    writeln!(sources, "deb [signed-by={keyring}] {server} {name}-backports main\n{others}")?;
    let option = format!("Dir::Etc::sourcelist={}", sources.path().display());
    step("lists of backports", apt_get(&["update"]).args(["-o", &option]))?;
    let target = format!("{name}-backports");
    let mut install = apt_get(&INSTALL);
    step("backports", install.args(["-o", &option, "--target-release", &target, package]))
}

/// An apt-get command that asks nothing.
pub(crate) fn apt_get(arguments: &[&str]) -> Command {
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
