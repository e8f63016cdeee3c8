//! The command line: a file per subcommand.
#![expect(clippy::print_stderr, reason = "a command line talks to its user")]

mod check;
mod demo;
mod drain;
mod plan;
mod reload;
mod run;
mod socket;
mod status;
mod undrain;
mod version;
mod weight;

use std::io::{ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use clap::{Parser, Subcommand};
use lb_config::Loaded;

/// Sluice: load balancer and API gateway, from the packet to the request.
#[derive(Debug, Parser)]
#[command(name = "sluice", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Run(run::Run),
    Check(check::Check),
    Status(status::Status),
    Drain(drain::Drain),
    Undrain(undrain::Undrain),
    Weight(weight::Weight),
    Plan(plan::Plan),
    Reload(reload::Reload),
    Demo(demo::Demo),
    Version(version::Version),
}

/// Runs the command that was asked for; what goes wrong is printed here and nowhere else.
pub(crate) fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(run) => run.run(),
        Command::Check(check) => check.run(),
        Command::Status(status) => status.run(),
        Command::Drain(drain) => drain.run(),
        Command::Undrain(undrain) => undrain.run(),
        Command::Weight(weight) => weight.run(),
        Command::Plan(plan) => plan.run(),
        Command::Reload(reload) => reload.run(),
        Command::Demo(demo) => demo.run(),
        Command::Version(version) => version.run(),
    };
    result.unwrap_or_else(|error| {
        if error.is::<EnoughSeen>() {
            return ExitCode::SUCCESS;
        }
        eprintln!("sluice: {error:#}");
        ExitCode::FAILURE
    })
}

/// Whoever reads standard output has closed it, as `head` does: no failure, but no reason to go on.
#[derive(Debug, thiserror::Error)]
#[error("standard output is closed")]
struct EnoughSeen;

/// Writes `text` to standard output, with a newline at its end.
fn print(text: impl AsRef<str>) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{}", text.as_ref().trim_end_matches('\n')).and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(EnoughSeen.into()),
        result => result.context("cannot write to standard output"),
    }
}

/// Reads a configuration file; prints its warnings, and its errors if it has any.
fn load(path: &Path) -> Result<Loaded, ExitCode> {
    match lb_config::load(path, &|name| std::env::var(name).ok()) {
        Ok(loaded) => {
            loaded.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
            Ok(loaded)
        }
        Err(errors) => {
            eprintln!("{errors}");
            Err(ExitCode::FAILURE)
        }
    }
}
