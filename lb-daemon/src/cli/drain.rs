//! `sluice drain`: take backends out.

use std::process::ExitCode;
use std::time::Duration;

use lb_admin::{Backend, Client, Target, render};

use crate::cli::print;
use crate::cli::socket::{Socket, TargetArg, changed_text};

/// Give a backend, or all of a pool, no new connections; those that it has go on
#[derive(Debug, clap::Args)]
pub(crate) struct Drain {
    #[command(flatten)]
    socket: Socket,
    /// What to drain
    #[arg(value_name = "POOL[/BACKEND]")]
    target: TargetArg,
    /// Wait until it has no connections left and is safe to stop
    #[arg(long)]
    wait: bool,
    /// With --wait: give up after this many seconds, with exit code 1
    #[arg(long, value_name = "SECONDS", requires = "wait")]
    timeout: Option<u64>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Drain {
    pub(crate) fn run(self) -> anyhow::Result<ExitCode> {
        let Self { socket, target: TargetArg(target), wait, timeout, json } = self;
        socket.ask(async |client| {
            let changed = client.drain(&target).await?;
            if json && !wait {
                print(render::json(&changed))?;
            } else if !json {
                print(changed_text(&target, &changed))?;
            }
            if !wait {
                return Ok(ExitCode::SUCCESS);
            }
            let tell = |left| {
                let text = format!("{left} connection{} left", if left == 1 { "" } else { "s" });
                if json { Ok(()) } else { print(text) }
            };
            let until_idle = until_idle(&client, &target, changed.backends, tell);
            match timeout.map(Duration::from_secs) {
                None => until_idle.await?,
                Some(timeout) => match tokio::time::timeout(timeout, until_idle).await {
                    Ok(done) => done?,
                    Err(_elapsed) => anyhow::bail!("it still has connections after {} s", timeout.as_secs()),
                },
            }
            print(if json { "{\"connections\": 0}" } else { "no connections left: safe to stop" })?;
            Ok(ExitCode::SUCCESS)
        })
    }
}

/// Tells how many connections are left whenever that is another number, until none is.
async fn until_idle(
    client: &Client,
    target: &Target,
    mut backends: Vec<Backend>,
    tell: impl Fn(u64) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    const EVERY: Duration = Duration::from_millis(500);

    let mut told = None;
    loop {
        let left: u64 = backends.iter().map(|backend| backend.connections).sum();
        if left == 0 {
            return Ok(());
        }
        if told.replace(left) != Some(left) {
            tell(left)?;
        }
        tokio::time::sleep(EVERY).await;
        let pools = client.status().await?.pools;
        let pools: Vec<_> = pools.into_iter().filter(|pool| pool.name == target.pool).collect();
        anyhow::ensure!(
            !pools.is_empty(),
            "pool {:?} has been removed: its connections are not counted any more",
            target.pool
        );
        let wanted = |name: &String| target.backend.as_ref().is_none_or(|backend| backend == name);
        backends = pools
            .into_iter()
            .flat_map(|pool| pool.backends)
            .filter(|backend| wanted(&backend.name))
            .collect();
    }
}
