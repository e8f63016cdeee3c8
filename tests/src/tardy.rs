//! A server that takes its time.

use std::io::{self, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::{client, observe};

/// A server that sends its name and a newline after a delay that can be changed, and then reads to the end.
#[derive(Debug)]
pub struct Tardy {
    name: String,
    address: SocketAddr,
    shared: Arc<Shared>,
    accepts: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Shared {
    delay_ms: AtomicU64,
    accepted: AtomicUsize,
    ends: AtomicBool,
}

impl Tardy {
    /// Starts it on `address`.
    pub fn start(name: &str, address: SocketAddr, delay: Duration) -> Self {
        let listener = TcpListener::bind(address).unwrap_or_else(|error| panic!("{address}: {error}"));
        let shared = Arc::new(Shared::default());
        let (for_thread, line) = (Arc::clone(&shared), format!("{name}\n"));
        let accepts = std::thread::spawn(move || accept_all(&listener, &line, &for_thread));
        let tardy = Self { name: name.into(), address, shared, accepts: Some(accepts) };
        tardy.set_delay(delay);
        tardy
    }

    /// Changes how long it takes to answer, for connections that it accepts from now on.
    pub fn set_delay(&self, delay: Duration) {
        let millis = u64::try_from(delay.as_millis()).expect("a delay is short");
        self.shared.delay_ms.store(millis, Ordering::Relaxed);
    }

    /// How many connections it has accepted.
    pub fn accepted(&self) -> usize {
        self.shared.accepted.load(Ordering::Relaxed)
    }

    /// Its entry in a pool's `backends`, with further keys (`weight = 3`).
    pub fn entry(&self, keys: &str) -> String {
        let comma = if keys.is_empty() { "" } else { ", " };
        format!("{{ address = \"{}\", name = \"{}\"{comma}{keys} }}", self.address, self.name)
    }
}

impl Drop for Tardy {
    fn drop(&mut self) {
        self.shared.ends.store(true, Ordering::Relaxed);
        // Wakes the thread; that it fails means that the thread has gone.
        let _ = client::connect(self.address);
        let _ = self.accepts.take().map(JoinHandle::join);
    }
}

/// A thread for each connection; each ends with its connection, at the latest when the daemon does.
fn accept_all(listener: &TcpListener, line: &str, shared: &Shared) {
    while let Ok((stream, _)) = listener.accept() {
        if shared.ends.load(Ordering::Relaxed) {
            return;
        }
        shared.accepted.fetch_add(1, Ordering::Relaxed);
        let delay = Duration::from_millis(shared.delay_ms.load(Ordering::Relaxed));
        let line = line.to_owned();
        std::thread::spawn(move || serve(&stream, &line, delay));
    }
}

fn serve(mut stream: &TcpStream, line: &str, delay: Duration) -> io::Result<()> {
    observe(delay);
    stream.write_all(line.as_bytes())?;
    io::copy(&mut stream, &mut io::sink())?;
    stream.shutdown(Shutdown::Write)
}
