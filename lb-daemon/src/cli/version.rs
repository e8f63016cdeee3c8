//! `sluice version`.

use std::process::ExitCode;

use crate::cli::print;

/// Print the version
#[derive(Debug, clap::Args)]
pub(crate) struct Version {
    /// Also what it was built for and what this machine lends it
    #[arg(short, long)]
    verbose: bool,
}

impl Version {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let mut text = format!("sluice {}", env!("CARGO_PKG_VERSION"));
        if self.verbose {
            let (arch, system) = (std::env::consts::ARCH, std::env::consts::OS);
            let built = if cfg!(debug_assertions) { "debug" } else { "release" };
            let (workers, ipv6) = (lb_net::auto_workers(), if lb_net::has_ipv6() { "yes" } else { "no" });
            text += &format!(
                "\ntarget    {arch}-{system} ({built})\n\
                 datapaths splice\n\
                 protocols tcp\n\
                 workers   {workers} (what \"auto\" means here)\n\
                 ipv6      {ipv6}"
            );
        }
        print(text)?;
        Ok(ExitCode::SUCCESS)
    }
}
