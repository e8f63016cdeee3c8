//! The demo's own clients, and where their requests went.

use std::fmt::Write;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// Answers by backend, and failures, since the last line.
#[derive(Clone)]
pub(super) struct Tally(Arc<Counts>);

struct Counts {
    answers: Vec<(&'static str, AtomicU32)>,
    failed: AtomicU32,
}

impl Tally {
    pub(super) fn new(names: &[&'static str]) -> Self {
        let answers = names.iter().map(|&name| (name, AtomicU32::new(0))).collect();
        Self(Arc::new(Counts { answers, failed: AtomicU32::new(0) }))
    }

    fn count(&self, answer: &io::Result<String>) {
        let answered = answer.as_ref().ok().and_then(|text| {
            self.0.answers.iter().find(|(name, _)| text.contains(&format!("hello from {name}")))
        });
        answered.map_or(&self.0.failed, |(_, count)| count).fetch_add(1, Ordering::Relaxed);
    }

    /// A bar for each backend; begins anew.
    pub(super) fn take_line(&self) -> String {
        let mut line = String::new();
        for (name, count) in &self.0.answers {
            let count = count.swap(0, Ordering::Relaxed);
            let bar = "#".repeat(count.min(20) as usize);
            let _ = write!(line, "{name} {count:>2} {bar:<20}  ");
        }
        let _ = write!(line, "failed {}", self.0.failed.swap(0, Ordering::Relaxed));
        line
    }
}

/// One request.
pub(super) async fn request(address: SocketAddr, tally: Tally) {
    tally.count(&exchange(address).await);
}

async fn exchange(address: SocketAddr) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET / HTTP/1.1\r\nHost: demo\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer)
}
