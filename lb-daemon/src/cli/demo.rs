//! `sluice demo`: see it work in ten seconds.

use std::net::SocketAddr;
use std::process::ExitCode;

use anyhow::Context;

/// Try it without root or files: a listener, three built-in backends and a trickle of traffic
#[derive(Debug, clap::Args)]
pub(crate) struct Demo {
    /// Address to listen on; if it is the default and taken, a free port is used
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

impl Demo {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .context("cannot start the demo's runtime")?
            .block_on(crate::demo::run(self.listen))
    }
}
