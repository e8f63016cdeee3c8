//! `sluice`: the composition root. Parses the command line, reads the configuration, registers the data paths with the
//! workers, and sees them through start and drain. No data path logic lives here.
#![forbid(unsafe_code)]

mod app;
mod cli;
mod clock;
mod control;
mod daemon;
mod demo;
mod discovery;
mod health;
mod listeners;
mod look;
mod metrics;
mod overrides_file;
mod service_manager;
mod status;
mod watch;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
