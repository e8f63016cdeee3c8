//! `cargo xtask bench`: what the proxy costs beside its peers, measured in one run.
//!
//! The figure that counts is the proxy's own CPU time for a fixed load: it shares the machine with the generator and
//! the backend, so throughput alone would measure them too. Rounds of all peers are interleaved in rotating order and
//! ratios are taken round by round, so that what else happens on the machine hits all alike.
//!
//! Outside ([`run`]) this builds the daemon and enters the [`sandbox`]; inside, [`proxy`] runs the cases.

mod allocations;
pub(crate) mod backend;
mod case;
mod datagrams;
mod http;
pub(crate) mod load;
mod outcome;
mod peer;
mod process;
mod proxy;
mod report;
mod sandbox;
mod stats;
mod wire;
mod xdp;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::bench::peer::Peer;
use crate::workspace;

/// What to measure.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    layer: Layer,
}

#[derive(Debug, clap::Subcommand)]
enum Layer {
    /// The L4 proxy: connections, bulk, idle memory, small messages, PROXY protocol, SNI, datagrams.
    L4(Options),
    /// The gateway: requests on kept connections and on their own, small and large, idle memory, system calls, allocations;
    /// without and with an access log.
    Http(Options),
    /// The XDP program: nanoseconds a packet; as root.
    Xdp(xdp::Options),
}

/// How to measure it.
#[derive(Debug, clap::Args)]
pub(crate) struct Options {
    /// Only the cases whose names begin so, for example l4.bulk.
    #[arg(long, value_name = "PREFIX")]
    only: Option<String>,
    /// Only these peers.
    #[arg(long, value_name = "PEERS", value_delimiter = ',')]
    peers: Vec<Peer>,
    /// Rounds of every case, instead of its own number.
    #[arg(long)]
    rounds: Option<usize>,
    /// A tenth of the load and two rounds: shows that the bench works, gates nothing.
    #[arg(long)]
    quick: bool,
    /// One JSON object a row.
    #[arg(long)]
    json: bool,
    /// This binary, instead of building one with the dist profile.
    #[arg(long, value_name = "FILE")]
    sluice: Option<PathBuf>,
    /// We are in the sandbox already.
    #[arg(long, hide = true)]
    inside: bool,
}

/// Runs the benches; fails where a gate is missed.
pub(crate) fn run(args: &Args) -> Result<ExitCode> {
    let (layer, cases, options) = match &args.layer {
        Layer::L4(options) => ("l4", case::L4.as_slice(), options),
        Layer::Http(options) => ("http", case::HTTP.as_slice(), options),
        Layer::Xdp(options) => return xdp::run(options),
    };
    if options.inside {
        return proxy::run(layer, cases, options);
    }
    let sluice = match &options.sluice {
        Some(path) => path.canonicalize().with_context(|| path.display().to_string())?,
        None => workspace::build("lb-daemon", "sluice", "dist")?,
    };
    let mut inside: Vec<OsString> = std::env::args_os().skip(1).collect();
    inside.push("--inside".into());
    if options.sluice.is_none() {
        inside.extend(["--sluice".into(), sluice.into()]);
    }
    // The generator shares the machine with what it measures: never an unoptimised one.
    let program = if cfg!(debug_assertions) {
        workspace::build("xtask", "xtask", "release")?
    } else {
        std::env::current_exe()?
    };
    sandbox::enter(&program, &inside)
}

impl Options {
    /// The command that repeats this run.
    fn command_line(&self, layer: &str) -> String {
        let mut line = format!("cargo xtask bench {layer}");
        let mut add = |option: String| {
            line.push(' ');
            line.push_str(&option);
        };
        if let Some(only) = &self.only {
            add(format!("--only {only}"));
        }
        if !self.peers.is_empty() {
            let peers: Vec<String> = self.peers.iter().map(Peer::to_string).collect();
            add(format!("--peers {}", peers.join(",")));
        }
        if let Some(rounds) = self.rounds {
            add(format!("--rounds {rounds}"));
        }
        if self.quick {
            add("--quick".to_owned());
        }
        line
    }
}
