//! `sluice undrain`: put backends back.

use std::process::ExitCode;

use lb_admin::render;

use crate::cli::print;
use crate::cli::socket::{Socket, TargetArg, changed_text};

/// Give a backend, or all of a pool, new connections again
#[derive(Debug, clap::Args)]
pub(crate) struct Undrain {
    #[command(flatten)]
    socket: Socket,
    /// What to put back
    #[arg(value_name = "POOL[/BACKEND]")]
    target: TargetArg,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Undrain {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let changed = self.socket.ask(async |client| Ok(client.undrain(&self.target.0).await?))?;
        if self.json {
            print(render::json(&changed))?;
        } else {
            print(changed_text(&self.target.0, &changed))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
