//! `cargo xtask test kernels`: lb-xdp's tests on the oldest kernel that the XDP programs are promised to run on,
//! which is Debian 12's, in an emulated machine.
//!
//! The machine has a kernel ([`image`]), an [`initramfs`] with the tests and what they need, and a serial
//! console, on which they say how they went ([`machine`]). Its first process is `bin/guest.rs`.

mod image;
mod initramfs;
mod machine;

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::kernels::machine::Machine;
use crate::step::{command_line, timed};
use crate::workspace::{build, cargo, target_directory};

/// Runs the tests.
pub(crate) fn run() -> Result<()> {
    ensure!(cfg!(target_arch = "x86_64"), "the emulated machine is an x86-64 one, as the host has to be");
    let directory = target_directory()?.join("kernels");
    std::fs::create_dir_all(&directory).with_context(|| directory.display().to_string())?;
    let kernel = image::oldest(&directory)?;
    let tests = tests()?;
    let guest = build("xtask", "guest", "dev")?;
    let initramfs = directory.join("initramfs");
    initramfs::write(&initramfs, &[(Path::new("init"), &guest), (Path::new("tests"), &tests)])?;
    let machine = Machine { kernel: &kernel, initramfs: &initramfs };
    timed("kernels", "cargo xtask test kernels", || machine.run_tests())
}

/// Builds lb-xdp's tests; the binary.
fn tests() -> Result<PathBuf> {
    let mut command = cargo(&["test", "--package=lb-xdp", "--lib", "--locked", "--no-run"]);
    command.args(["--message-format=json-render-diagnostics"]).stderr(std::process::Stdio::inherit());
    let output = command.output().context("cannot run cargo")?;
    ensure!(output.status.success(), "{} failed", command_line(&command));
    let said = String::from_utf8_lossy(&output.stdout);
    let messages = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut executables = messages.filter_map(|message| Some(message.get("executable")?.as_str()?.into()));
    executables.next_back().context("cargo built no tests of lb-xdp")
}
