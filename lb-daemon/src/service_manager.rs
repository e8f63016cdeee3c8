//! What is said to systemd, if it started this process and wants to know (`Type=notify`). Elsewhere nothing happens.

use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use lb_net::WorkerCommands;
use sd_notify::NotifyState;

/// Everything is up, or a reload is over.
pub(crate) fn ready() {
    notify(&[NotifyState::Ready]);
}

/// A reload begins.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => notify(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "cannot tell the service manager when the reload began"),
    }
}

/// The end begins.
pub(crate) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Tells the watchdog, if there is one, that every worker still answers; for ever. Where one does not, the
/// watchdog hears nothing more, and systemd ends the process.
pub(crate) async fn watchdog(workers: &[WorkerCommands]) {
    let Some(period) = sd_notify::watchdog_enabled() else { return std::future::pending().await };
    let mut ticks = tokio::time::interval(period / 3);
    loop {
        ticks.tick().await;
        for worker in workers {
            if worker.ping().await.is_err() {
                return std::future::pending().await;
            }
        }
        notify(&[NotifyState::Watchdog]);
    }
}

fn notify(states: &[NotifyState<'_>]) {
    let sent = match abstract_address() {
        Some(address) => send(states, &address),
        None => sd_notify::notify(states),
    };
    if let Err(error) = sent {
        tracing::warn!(%error, "cannot tell the service manager how things stand");
    }
}

/// The service manager's socket, if it is an abstract one, which sd-notify does not know.
fn abstract_address() -> Option<SocketAddr> {
    let address = std::env::var_os("NOTIFY_SOCKET")?;
    SocketAddr::from_abstract_name(address.as_encoded_bytes().strip_prefix(b"@")?).ok()
}

fn send(states: &[NotifyState<'_>], address: &SocketAddr) -> io::Result<()> {
    let message: String = states.iter().map(|state| format!("{state}\n")).collect();
    UnixDatagram::unbound()?.send_to_addr(message.as_bytes(), address).map(drop)
}
