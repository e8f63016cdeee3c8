//! `sluice plan`: what would a reload change?

use std::process::ExitCode;

use lb_admin::render;

use crate::cli::print;
use crate::cli::socket::{Socket, style};

/// Show what a reload of the running Sluice would change; change nothing
#[derive(Debug, clap::Args)]
pub(crate) struct Plan {
    #[command(flatten)]
    socket: Socket,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Plan {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let plan = self.socket.ask(async |client| Ok(client.plan().await?))?;
        if self.json {
            print(render::json(&plan))?;
        } else {
            print(render::plan_text(&plan, style()))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
