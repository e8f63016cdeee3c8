//! `sluice status`: what is going on.

use std::process::ExitCode;
use std::time::Duration;

use lb_admin::render;

use crate::cli::print;
use crate::cli::socket::{Socket, style};

/// Show listeners, pools and backends of the running Sluice
#[derive(Debug, clap::Args)]
pub(crate) struct Status {
    #[command(flatten)]
    socket: Socket,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Show it again every second until Ctrl-C
    #[arg(long)]
    watch: bool,
}

impl Status {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let Self { socket, json, watch } = self;
        socket.ask(async |client| {
            loop {
                let status = client.status().await?;
                let text = if json { render::json(&status) } else { render::status_table(&status, style()) };
                // To the top of the screen, and away with what was there; for a person only.
                let clear = if watch && style().width.is_some() { "\x1b[H\x1b[2J" } else { "" };
                print(format!("{clear}{text}"))?;
                if !watch {
                    return Ok(ExitCode::SUCCESS);
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        })
    }
}
