//! `sluice`: the composition root. Parses the command line, reads the configuration, registers the data paths with the
//! workers, and sees them through start and drain. No data path logic lives here.
#![forbid(unsafe_code)]

mod app;
mod cli;
mod demo;

use std::process::ExitCode;

fn main() -> ExitCode {
    cli::main()
}
