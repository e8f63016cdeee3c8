//! Drills: something breaks while traffic runs, and what was lost is counted.
//!
//! Clients exchange content whose hashes both ends compare, one after the other on several threads, and everybody is
//! accounted for: by what he saw himself, by his access record and by the metrics ([`books`]). Each drill says what may
//! be lost and why; anything else that is lost fails it.
//!
//! Drills that are elsewhere, with what they belong to:
//! - two hundred reloads: [`crate::reload`], `load::two_hundred_reloads_under_load_lose_nobody_and_leave_nothing_behind`
//! - no file descriptors left: [`crate::fds`], `running_out_of_descriptors_neither_spins_nor_loses_a_client` and
//!   `a_limit_beyond_the_descriptors_loses_no_client`
//! - slow readers: [`crate::slow_reader`], `clients_that_never_read_cost_bounded_memory_and_nobody_else`

mod backends;
mod books;
mod flood;
mod idle;
mod network;
mod visitors;

use std::time::Duration;

use lb_tests::{Backend, Behaviour, Daemon, Loopback, eventually};

/// How long a drill waits for something that has to happen, with much room for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Threads of visitors, and so the most that are under way at once besides those that a drill sends itself.
const THREADS: usize = 6;

/// Connections that are open when something breaks. Enough for four workers to send some to each of three backends.
const HELD: usize = 12;

/// A pool in which a backend that fails is soon tried again, and no backend fails only because the machine is busy.
const POOL: &str = "balance = \"round_robin\"\nconnect_timeout = \"2s\"\n\
                    passive_health = { failures = 1, backoff = \"50ms\", max_backoff = \"100ms\" }";

/// The two backends that nothing happens to, at the first two places.
fn steady(at: Loopback) -> [Backend; 2] {
    [0, 1].map(|i| Backend::start(&format!("steady{i}"), at.backend(i), Behaviour::Exchange))
}

/// Waits until a backend of the pool `web` gets connections that it did not have when this was called.
#[track_caller]
fn wait_until_it_is_used(daemon: &Daemon, backend: &str) {
    let connections = || daemon.backend("web", backend).connections_total;
    let before = connections();
    eventually(PATIENCE, &format!("{backend} gets connections"), || connections() > before);
}

/// Waits until a connect to a backend of the pool `web` has failed that had not when this was called.
#[track_caller]
fn wait_until_it_fails(daemon: &Daemon, backend: &str) {
    let failures = || daemon.backend("web", backend).connect_failures_total;
    let before = failures();
    eventually(PATIENCE, &format!("a connect to {backend} fails"), || failures() > before);
}
