//! `sluice undrain`: put backends back.

use std::process::ExitCode;

use lb_admin::render;

use crate::cli::socket::{Socket, TargetArg, style};

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
            println!("{}", render::json(&changed));
        } else {
            print!("{}", render::changed_text(&changed, style()));
        }
        Ok(ExitCode::SUCCESS)
    }
}
