//! `cargo xtask ebpf`: builds the XDP programs, byte for byte the same wherever it runs.
//!
//! The objects are committed, so that a user needs nothing but stable cargo. `--check` fails where the committed
//! object is not what the sources build.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use crate::step::step;
use crate::workspace::{cargo, root, target_directory};

/// What to do with the objects.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Write nothing, but run clippy and fail if the committed objects are not what the sources build.
    #[arg(long)]
    pub(crate) check: bool,
}

/// The compiler: another one builds other objects.
const RUSTC: &str = "1.95.0";
/// The linker, whose LLVM must be the compiler's.
const LINKER: &str = "0.10.0";
const TARGET: &str = "bpfel-unknown-none";
/// The programs of lb-ebpf: binaries there, committed as `lb-ebpf/NAME.bpf.o`. Only the first is shipped.
const PROGRAMS: [&str; 2] = ["balancer", "testing"];

/// Builds the objects; writes or compares them.
pub(crate) fn run(args: &Args) -> Result<()> {
    expect_version("rustc", RUSTC)?;
    expect_version("bpf-linker", LINKER)?;
    // Apart from everything else, which has other flags.
    let target = target_directory()?.join("ebpf");
    if args.check {
        // With everything that somebody may switch on.
        step("eBPF clippy", compile("clippy", &target)?.args(["--all-features", "--", "-D", "warnings"]))?;
    }
    step("eBPF programs", &mut compile("build", &target)?)?;
    for program in PROGRAMS {
        let read = |path: &Path| fs::read(path).with_context(|| path.display().to_string());
        let built = read(&target.join(TARGET).join("release").join(program))?;
        let name = format!("lb-ebpf/{program}.bpf.o");
        let committed = root().join(&name);
        if !args.check {
            fs::write(&committed, &built).with_context(|| name.clone())?;
            println!("{name}: {} bytes", built.len());
        } else if read(&committed)? != built {
            bail!("{name} is not what its sources build: run `cargo xtask ebpf` and commit it");
        }
    }
    Ok(())
}

/// A cargo command that compiles the programs.
fn compile(act: &str, target: &Path) -> Result<Command> {
    let mut command = cargo(&[act, "--release", "--locked", "--target", TARGET, "-Z", "build-std=core"]);
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
