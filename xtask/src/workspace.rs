//! Where things are, and how cargo is called.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use crate::step::{command_line, step};

/// The top directory of the project.
pub(crate) fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// Every file of the project below the top directory, but for what tools make: hidden files, builds and what fuzzers find.
pub(crate) fn files() -> Result<Vec<PathBuf>> {
    const MADE: [&str; 4] = ["target", "corpus", "artifacts", "coverage"];
    let mut files = Vec::new();
    let mut directories = vec![root().to_owned()];
    while let Some(directory) = directories.pop() {
        for entry in fs::read_dir(&directory).with_context(|| directory.display().to_string())? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name.to_string_lossy();
            if name.starts_with('.') {
                continue;
            }
            match entry.file_type()? {
                kind if kind.is_file() => files.push(entry.path()),
                kind if kind.is_dir() && !MADE.contains(&&*name) => directories.push(entry.path()),
                _ => {}
            }
        }
    }
    files.sort();
    Ok(files)
}

/// A cargo command of the toolchain that runs us, in the top directory.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    command.args(arguments).current_dir(root());
    command
}

/// What `cargo metadata` knows of the workspace's own packages.
pub(crate) fn metadata() -> Result<Value> {
    let mut command = cargo(&["metadata", "--no-deps", "--format-version=1"]);
    let output = command.output().context("cannot run cargo")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} failed: {complaint}", command_line(&command));
    serde_json::from_slice(&output.stdout).context("the output of cargo metadata")
}

/// Where cargo builds.
pub(crate) fn target_directory() -> Result<PathBuf> {
    let metadata = metadata()?;
    let target = metadata.get("target_directory").and_then(Value::as_str);
    Ok(target.context("no target_directory")?.into())
}

/// Builds a package; returns its binary.
pub(crate) fn build(package: &str, binary: &str, profile: &str) -> Result<PathBuf> {
    let arguments = ["build", "--locked", "--package", package, "--profile", profile];
    step(&format!("build {binary}"), &mut cargo(&arguments))?;
    // The dev profile has a directory of another name.
    let directory = if profile == "dev" { "debug" } else { profile };
    let binary = target_directory()?.join(directory).join(binary);
    ensure!(binary.is_file(), "cargo built no {}", binary.display());
    Ok(binary)
}
