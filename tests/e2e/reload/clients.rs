//! Clients that come one after the other, for as long as a test does something to the daemon.

use std::collections::BTreeSet;
use std::io::{self, Write as _};
use std::net::{Shutdown, SocketAddr};

use lb_tests::{ClosedLoop, End, client};

/// Clients of [`Behaviour::Tag`](lb_tests::Behaviour::Tag) backends, from several threads. Each connects, is greeted
/// with its backend's name, has its bytes echoed and says goodbye; whatever else happens to one of them is in the result.
pub(super) struct Clients(ClosedLoop<String>);

impl Clients {
    /// Starts `threads` of them, which connect to `address`.
    pub(super) fn start(address: SocketAddr, threads: usize) -> Self {
        let told = move || one(address).unwrap_or_else(|error| format!("lost: {error}"));
        Self(ClosedLoop::start(threads, told))
    }

    /// As [`ClosedLoop::wait_for_more`].
    #[track_caller]
    pub(super) fn wait_for_more(&self) {
        self.0.wait_for_more();
    }

    /// How many there were, and what they were told: the names of backends, and of anybody who was lost how.
    pub(super) fn stop(self) -> (usize, BTreeSet<String>) {
        let told = self.0.stop();
        (told.len(), told.into_iter().collect())
    }

    /// Asserts that all were served, and by these backends only.
    #[track_caller]
    pub(super) fn assert_served_by<const N: usize>(self, names: [&str; N]) {
        let (count, told) = self.stop();
        assert_eq!(told, names.map(String::from).into(), "what {count} clients were told");
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
