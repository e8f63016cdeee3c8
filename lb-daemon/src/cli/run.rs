//! `sluice run`: the daemon.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;

use crate::app::{App, Start};
use crate::cli::load;

/// Run the load balancer in the foreground
#[derive(Debug, clap::Args)]
pub(crate) struct Run {
    /// Configuration file
    #[arg(short, long, value_name = "FILE", default_value = "/etc/sluice/sluice.toml")]
    config: PathBuf,
}

impl Run {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let loaded = match load(&self.config) {
            Ok(loaded) => loaded,
            Err(code) => return Ok(code),
        };
        let logging = lb_telemetry::install(&loaded.config.log)?;
        let start = Start { loaded, source: Some(self.config), logging };
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the control runtime")?
            .block_on(async { App::start(start).await?.run_until_signalled().await })
    }
}
