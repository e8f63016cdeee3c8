//! A server of a test, on a thread of its own.

use std::convert::Infallible;
use std::io;
use std::thread::JoinHandle;

use tokio::sync::oneshot;

/// Serves until it is dropped.
#[derive(Debug)]
pub(crate) struct Service {
    running: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Service {
    /// Runs what `serve` makes, which has a runtime to itself. Its tasks end with this value.
    pub(crate) fn start<F>(name: &str, serve: impl FnOnce() -> F + Send + 'static) -> Self
    where
        F: Future<Output = io::Result<Infallible>>,
    {
        let (stop, stopped) = oneshot::channel();
        let run = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build();
            runtime.expect("making a runtime").block_on(async {
                tokio::select! {
                    never = async { serve().await } => drop(never.expect("serving")),
                    _ = stopped => {}
                }
            });
        };
        let thread = std::thread::Builder::new().name(name.to_owned()).spawn(run);
        Self { running: Some((stop, thread.expect("starting a thread"))) }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.running.take() {
            // An error means that the thread has ended, which the join reports.
            let _ = stop.send(());
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "a server's thread panicked");
        }
    }
}
