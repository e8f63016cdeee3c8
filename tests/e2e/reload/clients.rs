//! Clients that come one after the other, for as long as a test does something to the daemon.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use lb_tests::{End, client, eventually};

use super::PATIENCE;

/// Clients of [`Behaviour::Tag`](lb_tests::Behaviour::Tag) backends, from several threads. Each connects, is greeted
/// with its backend's name, has its bytes echoed and says goodbye; whatever else happens to one of them is in the result.
pub(super) struct Clients {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Vec<String>>>,
}

#[derive(Default)]
struct Shared {
    stop: AtomicBool,
    served: AtomicUsize,
}

impl Clients {
    /// Starts `threads` of them, which connect to `address`.
    pub(super) fn start(address: SocketAddr, threads: usize) -> Self {
        let shared = Arc::<Shared>::default();
        let run = |_| {
            let shared = Arc::clone(&shared);
            std::thread::spawn(move || {
                let mut names = Vec::new();
                while !shared.stop.load(Ordering::Relaxed) {
                    names.push(one(address).unwrap_or_else(|error| format!("lost: {error}")));
                    shared.served.fetch_add(1, Ordering::Relaxed);
                }
                names
            })
        };
        let threads = (0..threads).map(run).collect();
        let clients = Self { shared, threads };
        clients.wait_for_more();
        clients
    }

    /// Waits until some have come and gone that had not come when this was called: whatever was in force then is so no more
    /// for them.
    #[track_caller]
    pub(super) fn wait_for_more(&self) {
        let enough = self.shared.served.load(Ordering::Relaxed) + 2 * self.threads.len();
        eventually(PATIENCE, "clients come and go", || self.shared.served.load(Ordering::Relaxed) >= enough);
    }

    /// How many there were, and what they were told: the names of backends, and of anybody who was lost how.
    pub(super) fn stop(mut self) -> (usize, BTreeSet<String>) {
        self.shared.stop.store(true, Ordering::Relaxed);
        let names: Vec<_> =
            self.threads.drain(..).flat_map(|thread| thread.join().expect("a client panicked")).collect();
        (names.len(), names.into_iter().collect())
    }

    /// Asserts that all were served, and by these backends only.
    #[track_caller]
    pub(super) fn assert_served_by<const N: usize>(self, names: [&str; N]) {
        let (count, told) = self.stop();
        assert_eq!(told, names.map(String::from).into(), "what {count} clients were told");
    }
}

impl Drop for Clients {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}

fn one(address: SocketAddr) -> io::Result<String> {
    let stream = client::connect(address)?;
    let name = client::read_line(&stream)?;
    (&stream).write_all(b"hello")?;
    if client::read_bytes(&stream, 5)? != b"hello" {
        return Err(io::Error::other("an echo of something else"));
    }
    stream.shutdown(Shutdown::Write)?;
    match client::read_to_end(&stream) {
        (rest, End::Closed) if rest.is_empty() => Ok(name),
        (rest, end) => Err(io::Error::other(format!("{end:?} after {rest:?}"))),
    }
}
