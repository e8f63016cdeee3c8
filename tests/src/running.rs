//! A command that runs beside the test, line by line.

use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};

use crate::{Watched, eventually};

/// How long a test waits for something that has to happen, with much room for a busy machine.
const PATIENCE: Duration = Duration::from_secs(20);

/// A command that runs beside the test, killed with this value.
#[derive(Debug)]
pub struct Running {
    child: Child,
    printed: Arc<Watched<Vec<String>>>,
    readers: Vec<JoinHandle<()>>,
}

impl Running {
    /// Starts it; what it prints, errors included, is read as it comes.
    pub fn start(command: &mut Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|error| panic!("cannot run {command:?}: {error}"));
        let printed = Arc::<Watched<Vec<String>>>::default();
        let readers = vec![
            follow(child.stdout.take().expect("stdout is piped"), Arc::clone(&printed)),
            follow(child.stderr.take().expect("stderr is piped"), Arc::clone(&printed)),
        ];
        Self { child, printed, readers }
    }

    /// Its process.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("our child is there until it is waited for");
    }

    /// What it has printed so far.
    pub fn printed(&self) -> String {
        self.printed.read(|lines| lines.iter().flat_map(|line| [line, "\n"]).collect())
    }

    /// Waits until it has printed `count` lines that contain `text`.
    #[track_caller]
    pub fn wait_for(&self, count: usize, text: &str) {
        let enough = |lines: &Vec<String>| {
            (lines.iter().filter(|line| line.contains(text)).count() >= count).then_some(())
        };
        let found = self.printed.wait(PATIENCE, enough);
        assert!(found.is_some(), "{text:?} is not {count} times in\n{}", self.printed());
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("waiting for our child").is_none()
    }

    /// Waits until it has ended and all that it printed is here.
    #[track_caller]
    pub fn wait_exit(&mut self) -> ExitStatus {
        eventually(PATIENCE, "the command ends", || !self.is_running());
        for reader in self.readers.drain(..) {
            reader.join().expect("a reader does not panic");
        }
        self.child.wait().expect("waiting for our child")
    }
}

fn follow(stream: impl Read + Send + 'static, printed: Arc<Watched<Vec<String>>>) -> JoinHandle<()> {
    std::thread::spawn(move || {
        for line in BufReader::new(stream).lines().map_while(Result::ok) {
            printed.change(|lines| lines.push(line));
        }
    })
}

impl Drop for Running {
    fn drop(&mut self) {
        // Where it has been waited for, both do nothing.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
