//! Runs a command; exit code 0 is good.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::os::unix::process::ExitStatusExt;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use lb_model::{BackendName, ExecProbe};
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};

use super::Deadline;
use crate::error::{LastLine, ProbeError, Step};

/// How much of the end of the output is kept, in bytes.
const MAX_OUTPUT: usize = 200;

/// How long output is still read after the command has ended: it is in the pipe already, but whatever the command left
/// running in the background may keep the pipe open for ever.
const OUTPUT_GRACE: Duration = Duration::from_millis(100);

pub(super) async fn probe(
    address: SocketAddr,
    name: Option<&BackendName>,
    probe: &ExecProbe,
    deadline: Deadline,
) -> Result<(), ProbeError> {
    let mut group = Group::spawn(&mut command(address, name, probe))
        .map_err(|error| ProbeError::Local(format!("command {}: {error}", probe.program.display())))?;
    let (status, output) = deadline
        .within(Step::Exit, group.output())
        .await?
        .map_err(|error| ProbeError::Local(format!("command {}: {error}", probe.program.display())))?;
    judge(status, LastLine::of(&output))
}

fn command(address: SocketAddr, name: Option<&BackendName>, probe: &ExecProbe) -> Command {
    let mut command = Command::new(&probe.program);
    command.args(probe.args.iter());
    // The daemon's own environment may hold secrets that its configuration refers to.
    command.env_clear();
    if let Some(path) = std::env::var_os("PATH") {
        command.env("PATH", path);
    }
    command.env("SLUICE_BACKEND_ADDRESS", address.ip().to_string());
    command.env("SLUICE_BACKEND_PORT", address.port().to_string());
    command.env("SLUICE_BACKEND_NAME", name.map_or("", BackendName::as_str));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command.process_group(0).kill_on_drop(true);
    command
}

fn judge(status: ExitStatus, output: LastLine) -> Result<(), ProbeError> {
    match (status.code(), status.signal()) {
        (Some(0), _) => Ok(()),
        (Some(code), _) => Err(ProbeError::Exit { code, output }),
        (None, signal) => Err(ProbeError::Signal { signal: signal.unwrap_or_default(), output }),
    }
}

/// A command and whatever it started, as a process group that is killed when this is dropped. Tokio reaps the command.
struct Group {
    leader: Child,
}

impl Group {
    fn spawn(command: &mut Command) -> std::io::Result<Self> {
        Ok(Self { leader: command.spawn()? })
    }

    /// Waits for the command's end. Returns its status and the end of its output, errors after the rest.
    async fn output(&mut self) -> std::io::Result<(ExitStatus, Vec<u8>)> {
        let (mut out, mut err) = (Tail::default(), Tail::default());
        let (stdout, stderr) = (self.leader.stdout.take(), self.leader.stderr.take());
        let status = {
            let reading = async { tokio::join!(out.read(stdout), err.read(stderr)) };
            let mut reading = std::pin::pin!(reading);
            tokio::select! {
                _closed = &mut reading => self.leader.wait().await?,
                status = self.leader.wait() => {
                    // Elapsing is fine: see the constant.
                    let _ = tokio::time::timeout(OUTPUT_GRACE, reading).await;
                    status?
                }
            }
        };
        out.bytes.push_back(b'\n');
        out.bytes.extend(err.bytes);
        Ok((status, out.bytes.into()))
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        // None once the leader was waited for: its id may be somebody else's by then.
        let leader = self.leader.id().and_then(|id| Pid::from_raw(id.try_into().ok()?));
        if let Some(leader) = leader {
            // Fails if nobody is left, which is what is wanted.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

/// The end of a stream.
#[derive(Default)]
struct Tail {
    bytes: VecDeque<u8>,
}

impl Tail {
    async fn read(&mut self, stream: Option<impl AsyncRead + Unpin>) {
        let Some(mut stream) = stream else { return };
        let mut buffer = [0; 512];
        // An error ends the output as its end does.
        while let Ok(length @ 1..) = stream.read(&mut buffer).await {
            self.bytes.extend(buffer.iter().take(length));
            let surplus = self.bytes.len().saturating_sub(MAX_OUTPUT);
            self.bytes.drain(..surplus);
        }
    }
}
