//! Reloads when a file of the configuration changes, where that is switched on.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;
use std::time::Duration;

use lb_model::Watch;
use lb_net::Directories;

use crate::daemon::Daemon;

/// After the last change, so that a file that is being written, or a set of files, is read when it is whole.
const SETTLE: Duration = Duration::from_millis(200);

/// Reloads on changes, for ever, as the configuration in force says.
pub(crate) async fn watch(daemon: &Daemon) {
    loop {
        let reloaded = daemon.reloaded.notified();
        let watched = match daemon.runtime.view().snapshot.config.global.watch {
            Watch::Off => None,
            Watch::On => start(&daemon.history().directories),
        };
        let Some(watched) = watched else {
            reloaded.await;
            continue;
        };
        // What changed before the watch began was seen by nobody.
        daemon.reload_if_changed().await;
        tokio::select! {
            result = settled(&watched) => match result {
                Ok(()) => daemon.reload_if_changed().await,
                Err(error) => {
                    tracing::error!(%error, "no longer watching the configuration's files: reload by hand");
                    daemon.reloaded.notified().await;
                }
            },
            // There may be other files now, or none to watch.
            () = reloaded => {}
        }
    }
}

/// Not the files themselves: editors, `mv` and Kubernetes replace those.
fn start(directories: &BTreeSet<PathBuf>) -> Option<Directories> {
    Directories::watch(directories.iter().filter(|directory| directory.is_dir()))
        .inspect_err(|error| {
            tracing::error!(%error, "cannot watch the configuration's files: reload by hand");
        })
        .ok()
}

/// Something has changed, and then nothing more for a moment.
async fn settled(directories: &Directories) -> io::Result<()> {
    directories.changed().await?;
    while let Ok(changed) = tokio::time::timeout(SETTLE, directories.changed()).await {
        changed?;
    }
    Ok(())
}
