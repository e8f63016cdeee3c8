//! `sluice version`.

/// Print the version
#[derive(Debug, clap::Args)]
pub(crate) struct Version {
    /// Also what it was built for and what this machine lends it
    #[arg(short, long)]
    verbose: bool,
}

impl Version {
    pub(crate) fn run(self) {
        println!("sluice {}", env!("CARGO_PKG_VERSION"));
        if self.verbose {
            let built = if cfg!(debug_assertions) { "debug" } else { "release" };
            println!("target    {}-{} ({built})", std::env::consts::ARCH, std::env::consts::OS);
            println!("datapaths splice");
            println!("protocols tcp");
            println!("workers   {} (what \"auto\" means here)", lb_net::auto_workers());
            println!("ipv6      {}", if lb_net::has_ipv6() { "yes" } else { "no" });
        }
    }
}
