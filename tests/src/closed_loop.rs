//! Clients that come one after the other, for as long as a test does something to the daemon.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::eventually;

/// How long a test waits for clients, with much room for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// Several threads, each with one client at a time: the next comes when the last is done. What each of them says in the end
/// is kept.
#[derive(Debug)]
pub struct ClosedLoop<T> {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<Vec<T>>>,
}

#[derive(Debug, Default)]
struct Shared {
    stop: AtomicBool,
    done: AtomicUsize,
}

impl<T: Send + 'static> ClosedLoop<T> {
    /// Starts `threads` threads whose clients do `one`, and returns once some of them are done.
    #[track_caller]
    pub fn start(threads: usize, one: impl Fn() -> T + Send + Sync + 'static) -> Self {
        let shared = Arc::<Shared>::default();
        let one = Arc::new(one);
        let run = |_| {
            let (shared, one) = (Arc::clone(&shared), Arc::clone(&one));
            std::thread::spawn(move || {
                let mut said = Vec::new();
                while !shared.stop.load(Ordering::Relaxed) {
                    said.push(one());
                    shared.done.fetch_add(1, Ordering::Relaxed);
                }
                said
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
    pub fn wait_for_more(&self) {
        let enough = self.shared.done.load(Ordering::Relaxed) + 2 * self.threads.len();
        eventually(PATIENCE, "clients come and go", || self.shared.done.load(Ordering::Relaxed) >= enough);
    }

    /// Lets those finish that are at it, and says what all have said.
    #[track_caller]
    pub fn stop(mut self) -> Vec<T> {
        self.shared.stop.store(true, Ordering::Relaxed);
        let join = |thread: JoinHandle<Vec<T>>| thread.join().expect("a client panicked");
        self.threads.drain(..).flat_map(join).collect()
    }
}

impl<T> Drop for ClosedLoop<T> {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }
}
