//! `sluice reload`: put the files into effect.

use std::process::ExitCode;

use lb_admin::render;

use crate::cli::print;
use crate::cli::socket::{Socket, style};

/// Have the running Sluice read its configuration again: all of it comes into effect, or nothing
#[derive(Debug, clap::Args)]
pub(crate) struct Reload {
    #[command(flatten)]
    socket: Socket,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Reload {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let reloaded = self.socket.ask(async |client| Ok(client.reload().await?))?;
        if self.json {
            print(render::json(&reloaded))?;
        } else {
            if reloaded.changed {
                print(render::plan_text(&reloaded.plan, style()))?;
            } else {
                print("nothing has changed")?;
            }
            print(format!("reloaded: generation {}", reloaded.generation))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
