//! `sluice weight`: another share for backends.

use std::process::ExitCode;
use std::str::FromStr;

use lb_admin::{NewWeight, render};

use crate::cli::print;
use crate::cli::socket::{Socket, TargetArg, changed_text};

/// Give a backend, or all of a pool, another weight
#[derive(Debug, clap::Args)]
pub(crate) struct Weight {
    #[command(flatten)]
    socket: Socket,
    /// Whose weight
    #[arg(value_name = "POOL[/BACKEND]")]
    target: TargetArg,
    /// The weight, 0 to 65535, or `reset` for the configured one
    #[arg(value_name = "WEIGHT")]
    weight: WeightArg,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Clone, Copy)]
enum WeightArg {
    Configured,
    Weight(u16),
}

impl FromStr for WeightArg {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, &'static str> {
        match text {
            "reset" => Ok(Self::Configured),
            _ => text.parse().ok().map(Self::Weight).ok_or("expected a number from 0 to 65535, or `reset`"),
        }
    }
}

impl Weight {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let TargetArg(target) = self.target;
        let weight = match self.weight {
            WeightArg::Configured => None,
            WeightArg::Weight(weight) => Some(weight),
        };
        let wanted = NewWeight { pool: target.pool.clone(), backend: target.backend.clone(), weight };
        let changed = self.socket.ask(async |client| Ok(client.set_weight(&wanted).await?))?;
        if self.json {
            print(render::json(&changed))?;
        } else {
            print(changed_text(&target, &changed))?;
        }
        Ok(ExitCode::SUCCESS)
    }
}
