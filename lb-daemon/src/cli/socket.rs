//! What all commands have in common that talk to a running Sluice.

use std::future::Future;
use std::io::{IsTerminal, stdout};
use std::path::PathBuf;
use std::str::FromStr;

use anyhow::Context;
use lb_admin::render::{self, Style};
use lb_admin::{Changed, Client, Target};
use lb_model::AdminSocket;

/// Where the running Sluice is.
#[derive(Debug, Clone, clap::Args)]
pub(crate) struct Socket {
    /// Admin socket of the Sluice to talk to
    #[arg(long = "socket", value_name = "PATH", env = "SLUICE_SOCKET", default_value = AdminSocket::DEFAULT_PATH)]
    path: PathBuf,
}

impl Socket {
    /// Does `work` with a client.
    pub(crate) fn ask<T, F>(&self, work: impl FnOnce(Client) -> F) -> anyhow::Result<T>
    where
        F: Future<Output = anyhow::Result<T>>,
    {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.context("cannot start a runtime")?.block_on(work(Client::unix(&self.path)))
    }
}

/// `POOL` or `POOL/BACKEND`.
#[derive(Debug, Clone)]
pub(crate) struct TargetArg(pub(crate) Target);

impl FromStr for TargetArg {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (pool, backend) = match text.split_once('/') {
            Some((pool, backend)) => (pool, Some(backend)),
            None => (text, None),
        };
        if pool.is_empty() || backend == Some("") {
            return Err("expected POOL or POOL/BACKEND, for example web/10.0.0.1:8080".into());
        }
        Ok(Self(Target { pool: pool.into(), backend: backend.map(Into::into) }))
    }
}

/// How standard output wants text.
pub(crate) fn style() -> Style {
    let terminal = stdout().is_terminal();
    let width = terminal.then(terminal_size::terminal_size).flatten();
    Style {
        color: terminal && std::env::var_os("NO_COLOR").is_none(),
        width: width.map(|(terminal_size::Width(columns), _)| columns.into()),
    }
}

/// What a command has changed, for people.
pub(crate) fn changed_text(target: &Target, changed: &Changed) -> String {
    if changed.backends.is_empty() {
        let backend = target.backend.as_ref().map_or_else(String::new, |backend| format!("/{backend}"));
        return format!("{}{backend}: done; there is no such backend at the moment\n", target.pool);
    }
    render::changed_text(changed, style())
}
