//! `cargo xtask lint`: what can be judged without running the program.

use anyhow::Result;

use crate::step::{step, timed};
use crate::workspace::cargo;
use crate::{docs, fuzz, tidy, workspace};

/// What to check.
#[derive(Debug, Default, clap::Args)]
pub(crate) struct Args {
    /// Also look dependencies up in the advisory database, which needs the network.
    #[arg(long)]
    advisories: bool,
}

/// Runs all checks; the first that fails ends it.
pub(crate) fn run(args: &Args) -> Result<()> {
    timed("tidy", "cargo xtask tidy", tidy::run)?;
    step("format", &mut cargo(&["fmt", "--all", "--check"]))?;
    for fuzz in fuzz::directories()? {
        // These are workspaces of their own.
        let mut format = cargo(&["fmt", "--check", "--manifest-path"]);
        step("format", format.arg(fuzz.join("Cargo.toml")))?;
    }
    // Another one: no machine of a user builds it.
    step(
        "format",
        cargo(&["fmt", "--check", "--manifest-path"]).arg(workspace::root().join("lb-ebpf/Cargo.toml")),
    )?;
    let mut deny = cargo(&["deny", "--locked", "check", "bans", "licenses", "sources"]);
    if args.advisories {
        deny.arg("advisories");
    }
    step("dependencies", &mut deny)?;
    step(
        "clippy",
        &mut cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"]),
    )?;
    timed("documents", "cargo xtask docs --check", || docs::run(&docs::Args { check: true }))
}
