//! The command line: a file per subcommand.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command line talks to its user")]

mod check;
mod demo;
mod run;
mod version;

use std::path::Path;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use lb_model::Config;

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
    Demo(demo::Demo),
    Version(version::Version),
}

/// Runs the command that was asked for; what goes wrong is printed here and nowhere else.
pub(crate) fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(run) => run.run(),
        Command::Check(check) => check.run(),
        Command::Demo(demo) => demo.run(),
        Command::Version(version) => {
            version.run();
            Ok(ExitCode::SUCCESS)
        }
    };
    result.unwrap_or_else(|error| {
        eprintln!("sluice: {error:#}");
        ExitCode::FAILURE
    })
}

/// Reads a configuration file; prints its warnings, and its errors if it has any.
fn load(path: &Path) -> Result<Config, ExitCode> {
    match lb_config::load(path, &|name| std::env::var(name).ok()) {
        Ok(loaded) => {
            loaded.warnings.iter().for_each(|warning| eprintln!("warning: {warning}"));
            Ok(loaded.config)
        }
        Err(errors) => {
            eprintln!("{errors}");
            Err(ExitCode::FAILURE)
        }
    }
}
