//! `sluice check`: is this configuration good? Needs neither privileges nor a daemon.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::cli::{load, print};

/// Check a configuration file: exit 0 if it is good, else print every error and exit 1
#[derive(Debug, clap::Args)]
pub(crate) struct Check {
    /// Configuration file
    #[arg(short, long, value_name = "FILE", default_value = "/etc/sluice/sluice.toml")]
    config: PathBuf,
    /// Print the configuration with every default written out
    #[arg(long)]
    print_effective: bool,
}

impl Check {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let config = match load(&self.config) {
            Ok(loaded) => loaded.config,
            Err(code) => return Ok(code),
        };
        if self.print_effective {
            print(lb_config::effective(&config))?;
        } else {
            let (listeners, pools) = (config.listeners.len(), config.pools.len());
            let of = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
            let (listeners, pools) = (of(listeners, "listener"), of(pools, "pool"));
            print(format!("{} is good: {listeners}, {pools}", self.config.display()))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
