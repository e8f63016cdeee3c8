//! `cargo xtask test`: everything that the gate wants, cheap things first.

use anyhow::Result;

use crate::step::{step, timed};
use crate::workspace::{build, cargo};
use crate::{ebpf, fuzz, kernels, lint};

/// How to test.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    only: Option<Part>,
    /// Build everything with the release profile.
    #[arg(long)]
    release: bool,
}

/// A part of it.
#[derive(Debug, clap::Subcommand)]
enum Part {
    /// The XDP programs on the oldest kernel that they have to run on, in an emulated machine.
    Kernels,
}

/// Time for each fuzz target.
const FUZZ_SECONDS: u32 = 20;

/// Runs every step; the first that fails ends it.
pub(crate) fn run(args: &Args) -> Result<()> {
    if let Some(Part::Kernels) = args.only {
        return kernels::run();
    }
    lint::run(&lint::Args::default())?;
    timed("eBPF object", "cargo xtask ebpf --check", || ebpf::run(&ebpf::Args { check: true }))?;
    let profile = if args.release { "release" } else { "dev" };
    let sluice = build("lb-daemon", "sluice", profile)?;
    let mut tests = cargo(&["test", "--workspace", "--locked"]);
    tests.args(args.release.then_some("--release")).env("SLUICE_BIN", sluice);
    // Where the lab can be had, a test that cannot have it fails.
    let required = rustix::process::geteuid().is_root() || std::env::var_os("CI").is_some();
    if required {
        tests.env("SLUICE_REQUIRE_LAB", "1");
    }
    step("tests", &mut tests)?;
    if required {
        kernels::run()?;
    } else {
        eprintln!("SKIPPED, this is for root and CI: cargo xtask test kernels");
    }
    fuzz::run(&fuzz::Args { target: None, seconds: FUZZ_SECONDS })?;
    eprintln!("all passed");
    Ok(())
}
