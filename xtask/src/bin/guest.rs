//! The first process of a kernel under test (see `kernels.rs`): mounts what the tests need, runs them with the
//! arguments that the kernel was given, says how they ended and turns the machine off.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "the console is how the host hears of us")]

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use rustix::mount::{MountFlags, mount};
use rustix::system::{RebootCommand, reboot};

/// File systems, and where the tests look for them.
const MOUNTS: [(&str, &str); 5] =
    [("proc", "/proc"), ("sysfs", "/sys"), ("bpf", "/sys/fs/bpf"), ("devtmpfs", "/dev"), ("tmpfs", "/tmp")];

/// Runs the tests. When this returns with an error the kernel panics, which ends the machine too.
fn main() -> Result<()> {
    match run_tests() {
        Ok(ending) => println!("the tests ended: {ending}"),
        Err(error) => println!("the tests did not run: {error:#}"),
    }
    reboot(RebootCommand::PowerOff).context("cannot turn the machine off")
}

fn run_tests() -> Result<String> {
    for (kind, place) in MOUNTS {
        mount_at(kind, Path::new(place)).with_context(|| format!("cannot mount {kind} at {place}"))?;
    }
    println!("Linux {}", rustix::system::uname().release().to_string_lossy());
    // A test that cannot have what it needs fails.
    let mut tests = Command::new("/tests");
    tests.args(std::env::args_os().skip(1)).env("SLUICE_REQUIRE_LAB", "1");
    Ok(tests.status().context("cannot run /tests")?.to_string())
}

fn mount_at(kind: &str, place: &Path) -> Result<()> {
    if !place.exists() {
        fs::create_dir(place)?;
    }
    Ok(mount(kind, place, kind, MountFlags::empty(), None)?)
}
