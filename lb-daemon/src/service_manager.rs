//! What is said to systemd, if it started this process and wants to know (`Type=notify`). Elsewhere nothing happens.

use std::time::Duration;

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
        Err(_) => notify(&[NotifyState::Reloading]),
    }
}

/// The end begins.
pub(crate) fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// Tells the watchdog, if there is one, that every worker still answers; for ever. Where one does not, the
/// watchdog hears nothing more, and systemd ends the process.
pub(crate) async fn watchdog(workers: &[WorkerCommands]) {
    let mut micros = 0;
    if !sd_notify::watchdog_enabled(false, &mut micros) {
        return std::future::pending().await;
    }
    let mut ticks = tokio::time::interval(Duration::from_micros(micros) / 3);
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
    if let Err(error) = sd_notify::notify(false, states) {
        tracing::warn!(%error, "cannot tell the service manager how things stand");
    }
}
