//! The project's chores: `cargo xtask COMMAND`, a file per command.
#![forbid(unsafe_code)]
#![expect(clippy::print_stdout, reason = "the output of these commands is for people and scripts")]
#![expect(clippy::disallowed_methods, reason = "chores read clocks and wait; nothing here runs on a worker")]

mod bench;
mod docs;
mod ebpf;
mod fuzz;
mod kernels;
mod lab;
mod lint;
mod setup;
mod step;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;

/// The project's chores.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Installs what tests and benches need; safe to run again.
    Setup,
    /// Runs everything that the gate wants.
    Test(test::Args),
    /// Checks format, lints, dependencies, generated documents and the project's own rules.
    Lint(lint::Args),
    /// Checks the project's own rules: module docs, file sizes, import rules, examples.
    Tidy,
    /// Writes the documents that are generated from the code.
    Docs(docs::Args),
    /// Builds the XDP programs, which are committed.
    Ebpf(ebpf::Args),
    /// Runs the fuzz targets.
    Fuzz(fuzz::Args),
    /// Opens a network of namespaces with a client, a balancer and three backends, to try things by hand.
    Lab,
    /// Measures what the proxy costs beside its peers.
    Bench(bench::Args),
    #[command(hide = true)]
    BenchBackend(bench::backend::Args),
    #[command(hide = true)]
    BenchLoad(bench::load::Args),
}

fn main() -> ExitCode {
    match run(&Cli::parse().command) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: &Command) -> Result<ExitCode> {
    match command {
        Command::Setup => setup::run()?,
        Command::Test(args) => test::run(args)?,
        Command::Lint(args) => lint::run(args)?,
        Command::Tidy => tidy::run()?,
        Command::Docs(args) => docs::run(args)?,
        Command::Ebpf(args) => ebpf::run(args)?,
        Command::Fuzz(args) => fuzz::run(args)?,
        Command::Lab => lab::run()?,
        Command::Bench(args) => return bench::run(args),
        Command::BenchBackend(args) => bench::backend::run(args)?,
        Command::BenchLoad(args) => bench::load::run(args)?,
    }
    Ok(ExitCode::SUCCESS)
}
