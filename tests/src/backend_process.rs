//! A backend that can be killed or stopped: a process of its own.

use std::fmt;
use std::io::{BufRead as _, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::{Behaviour, cli, eventually, process};

/// How long a process takes to obey a signal, with much room for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A process with one or more [`Backend`](crate::Backend)s, killed with this value. The processes' program is
/// `src/bin/backend.rs`.
pub struct BackendProcess {
    command: Command,
    child: Child,
}

impl BackendProcess {
    /// The name of its backends, where they say it.
    pub const NAME: &str = "process";

    /// Starts a process that serves these addresses, and waits until it does.
    pub fn start(backends: &[(SocketAddr, Behaviour)]) -> Self {
        let mut command = Command::new(cli::built("backend"));
        for (address, behaviour) in backends {
            command.arg(address.to_string()).arg(behaviour.to_string());
        }
        // It ends when its standard input does, so that it does not outlive a test that is killed.
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let child = spawn(&mut command);
        Self { command, child }
    }

    /// SIGKILL: the kernel closes all that it had open.
    pub fn kill(&mut self) {
        self.child.kill().expect("killing our child");
        self.child.wait().expect("waiting for our child");
    }

    /// Starts it again, after [`Self::kill`].
    pub fn restart(&mut self) {
        self.child = spawn(&mut self.command);
    }

    /// SIGSTOP: it does nothing any more, while its kernel still accepts connections and data for it.
    pub fn hang(&self) {
        self.signal(Signal::STOP);
        eventually(PATIENCE, "the process is stopped", || process::is_stopped(self.pid()));
    }

    /// SIGCONT: it goes on where it was.
    pub fn wake(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("our child is there until it is waited for");
    }

    fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }
}

fn spawn(command: &mut Command) -> Child {
    let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
    let stdout = child.stdout.take().expect("stdout is piped");
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line).expect("reading from a pipe");
    assert_eq!(line, "ready\n", "{command:?} does not serve");
    child
}

impl Drop for BackendProcess {
    fn drop(&mut self) {
        // Where it has been killed, both do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl fmt::Debug for BackendProcess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("BackendProcess").field(&self.child.id()).finish()
    }
}
