//! `cargo xtask fuzz`: runs the fuzz targets, each from the seeds that are committed beside it.
//!
//! A fuzz crate is a directory `fuzz` inside the crate that it fuzzes, a workspace of its own. `fuzz/seeds/TARGET` is
//! committed and only read; what the fuzzer finds by itself goes to `fuzz/corpus/TARGET`, which is not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::SystemTime;

use anyhow::{Context, Result, bail, ensure};

use crate::step::{command_line, step};
use crate::workspace::{cargo, files};

/// What to fuzz, and how long.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Only this target.
    pub(crate) target: Option<String>,
    /// Time for each target.
    #[arg(long, default_value_t = 60)]
    pub(crate) seconds: u32,
}

/// Runs the targets one after the other.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut known = Vec::new();
    for directory in directories()? {
        for target in targets(&directory)? {
            if args.target.as_ref().is_none_or(|wanted| *wanted == target) {
                fuzz(&directory, &target, args.seconds)?;
            }
            known.push(target);
        }
    }
    if let Some(wanted) = &args.target {
        ensure!(known.contains(wanted), "no fuzz target {wanted}; there are {}", known.join(", "));
    }
    Ok(())
}

/// The fuzz crates of the project.
pub(crate) fn directories() -> Result<Vec<PathBuf>> {
    let manifests = files()?.into_iter().filter(|path| path.ends_with("fuzz/Cargo.toml"));
    Ok(manifests.filter_map(|path| path.parent().map(Path::to_owned)).collect())
}

fn targets(directory: &Path) -> Result<Vec<String>> {
    let mut list = cargo_fuzz("list", directory);
    let output = list.output().context("cannot run cargo fuzz: `cargo xtask setup` installs it")?;
    let complaint = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} failed: {complaint}", command_line(&list));
    Ok(String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect())
}

fn fuzz(directory: &Path, target: &str, seconds: u32) -> Result<()> {
    let corpus = directory.join("corpus").join(target);
    let seeds = directory.join("seeds").join(target);
    fs::create_dir_all(&corpus).with_context(|| corpus.display().to_string())?;
    let mut run = cargo_fuzz("run", directory);
    // libFuzzer writes to the first directory only.
    run.arg(target).arg(&corpus);
    if seeds.is_dir() {
        run.arg(&seeds);
    }
    run.arg("--").arg(format!("-max_total_time={seconds}")).args(["-timeout=10", "-rss_limit_mb=2048"]);
    let began = SystemTime::now();
    let Err(error) = step(&format!("fuzz {target}"), &mut run) else { return Ok(()) };
    let Some(crash) = written_since(began, &directory.join("artifacts").join(target)) else {
        return Err(error);
    };
    let mut reproduce = cargo_fuzz("run", directory);
    reproduce.arg(target).arg(&crash);
    bail!(
        "{error}\n\nfuzz target {target} has found an input that breaks it: {}\nrun it again with\n  {}\nthen fix it and \
         keep the input in {}",
        crash.display(),
        command_line(&reproduce),
        seeds.display()
    );
}

/// A cargo fuzz command. It wants unstable compiler flags (sanitizers), which a stable compiler gives when told so.
fn cargo_fuzz(act: &str, directory: &Path) -> Command {
    let mut command = cargo(&["fuzz", act, "--fuzz-dir"]);
    command.arg(directory).env("RUSTC_BOOTSTRAP", "1");
    command
}

/// A file that is younger than `began`; older ones are from earlier runs.
fn written_since(began: SystemTime, directory: &Path) -> Option<PathBuf> {
    let mut files = fs::read_dir(directory).ok()?.flatten();
    let is_younger = |file: &fs::DirEntry| Some(file.metadata().ok()?.modified().ok()? >= began);
    files.find(|file| is_younger(file) == Some(true)).map(|file| file.path())
}
