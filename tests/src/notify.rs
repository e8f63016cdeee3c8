//! The service manager's end of `sd_notify(3)`.

use std::io;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;

use crate::{Deadline, cli};

/// How long a test waits for a message, with much room for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A socket that hears what a daemon tells its service manager.
#[derive(Debug)]
pub struct NotifySocket {
    socket: UnixDatagram,
    path: PathBuf,
    _directory: TempDir,
}

impl NotifySocket {
    /// Makes one that every user may send to.
    #[expect(clippy::new_without_default, reason = "it makes a file")]
    pub fn new() -> Self {
        let directory = cli::open_directory();
        let path = directory.path().join("notify");
        let socket = UnixDatagram::bind(&path).expect("binding a unix socket");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o777)).expect("it is our file");
        Self { socket, path, _directory: directory }
    }

    /// Where it is: the value of `NOTIFY_SOCKET`.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The assignments of the next message; panics if none comes in time.
    #[track_caller]
    pub fn next(&self) -> Vec<String> {
        self.next_within(PATIENCE).expect("the daemon tells its service manager something")
    }

    /// The assignments of the next message, if one comes within this time.
    pub fn next_within(&self, patience: Duration) -> Option<Vec<String>> {
        // A timeout of zero would be none.
        let patience = patience.max(Duration::from_millis(1));
        self.socket.set_read_timeout(Some(patience)).expect("a socket has a timeout");
        let mut message = [0; 4096];
        let length = match self.socket.recv(&mut message) {
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return None,
            Err(error) => panic!("receiving a message: {error}"),
        };
        let text = String::from_utf8_lossy(message.get(..length).unwrap_or_default()).into_owned();
        Some(text.lines().map(ToOwned::to_owned).collect())
    }

    /// Waits for a message with this assignment, and returns all those before it and itself.
    #[track_caller]
    pub fn wait_for(&self, assignment: &str) -> Vec<Vec<String>> {
        let deadline = Deadline::after(PATIENCE);
        let mut messages = vec![];
        while !deadline.passed() {
            let Some(message) = self.next_within(deadline.remaining()) else { break };
            let found = message.iter().any(|line| line == assignment);
            messages.push(message);
            if found {
                return messages;
            }
        }
        panic!("no {assignment} among {messages:?}")
    }
}
