//! `cargo xtask ebpf`: builds the XDP programs, byte for byte the same wherever it runs.
//!
//! The object is committed, so that a user needs nothing but stable cargo. `--check` fails where the committed
//! object is not what the sources build.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::step::step;
use crate::workspace::{cargo, metadata, root};

/// What to do with the object.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Write nothing, but fail if the committed object is not what the sources build.
    #[arg(long)]
    pub(crate) check: bool,
}

/// The compiler that builds the object: another one builds another object.
const RUSTC: &str = "1.95.0";
/// The linker, whose LLVM must be the compiler's.
const LINKER: &str = "0.10.0";
const TARGET: &str = "bpfel-unknown-none";
/// The committed object, from the top directory.
const OBJECT: &str = "lb-ebpf/balancer.bpf.o";

/// Builds the object; writes or compares it.
pub(crate) fn run(args: &Args) -> Result<()> {
    let built = build()?;
    let committed = root().join(OBJECT);
    if !args.check {
        fs::write(&committed, &built).with_context(|| committed.display().to_string())?;
        println!("{OBJECT}: {} bytes", built.len());
        return Ok(());
    }
    let found = fs::read(&committed).with_context(|| committed.display().to_string())?;
    if found != built {
        bail!("{OBJECT} is not what its sources build: run `cargo xtask ebpf` and commit it");
    }
    Ok(())
}

/// Builds the object and returns its bytes.
fn build() -> Result<Vec<u8>> {
    expect_version("rustc", RUSTC)?;
    expect_version("bpf-linker", LINKER)?;
    let target = target_directory()?;
    step("eBPF programs", &mut build_command(&target)?)?;
    let object = target.join(TARGET).join("release/balancer");
    fs::read(&object).with_context(|| object.display().to_string())
}

fn build_command(target: &Path) -> Result<Command> {
    let mut command = cargo(&["build", "--release", "--locked", "--target", TARGET, "-Z", "build-std=core"]);
    command
        .current_dir(root().join("lb-ebpf"))
        .env("CARGO_TARGET_DIR", target)
        // Stable rustc takes the unstable flags that this target needs only when told so.
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_ENCODED_RUSTFLAGS", flags()?.join("\u{1f}"));
    Ok(command)
}

/// Flags of the compiler.
fn flags() -> Result<Vec<String>> {
    let home =
        std::env::var("CARGO_HOME").or_else(|_| std::env::var("HOME").map(|home| format!("{home}/.cargo")));
    let home = home.context("neither CARGO_HOME nor HOME is set")?;
    let remap = |from: &str, to: &str| format!("--remap-path-prefix={from}={to}");
    Ok(vec![
        // 32-bit subregisters and compare-exchange; every kernel from 5.12 on has them.
        "-Ctarget-cpu=v3".to_owned(),
        // Headers are not aligned, and the machines that we run on do not mind: else every field is read byte by
        // byte.
        "-Ctarget-feature=+allows-misaligned-mem-access".to_owned(),
        // Paths of this machine have no place in the object.
        remap(&root().display().to_string(), "/sluice"),
        remap(&home, "/cargo"),
    ])
}

/// Checks that a tool is the one that builds the committed object.
fn expect_version(tool: &str, expected: &str) -> Result<()> {
    let output = Command::new(tool).arg("--version").output().with_context(|| {
        format!("cannot run {tool}; shared/toolchain/install brings what building the eBPF programs needs")
    })?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let found = said.split_whitespace().nth(1).unwrap_or_default();
    ensure!(found == expected, "the eBPF programs are built with {tool} {expected}, and this is {found}");
    Ok(())
}

/// Where the programs are built: apart from everything else, which has other flags.
fn target_directory() -> Result<PathBuf> {
    let metadata = metadata()?;
    let target = metadata.get("target_directory").and_then(serde_json::Value::as_str);
    Ok(Path::new(target.context("no target_directory")?).join("ebpf"))
}
