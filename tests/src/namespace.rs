//! A network namespace, and how to do something inside it.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::AsFd as _;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// What the names of all our namespaces begin with; the pid of the process that made it comes next.
const PREFIX: &str = "sl-";

/// A named network namespace that goes away with this value.
#[derive(Debug)]
pub struct Namespace {
    name: String,
}

impl Namespace {
    /// Makes a namespace of this process, with its loopback up. `label` must be unique in the process.
    pub(crate) fn new(label: &str) -> Result<Self> {
        let name = format!("{PREFIX}{}-{label}", std::process::id());
        run(Command::new("ip").args(["netns", "add", &name]), "")?;
        let namespace = Self { name };
        // No duplicate address detection: it would keep IPv6 addresses tentative for a second or two.
        namespace.ip("link set lo up")?;
        run(namespace.command("sysctl").args(["-qw", "net.ipv6.conf.default.accept_dad=0"]), "")?;
        Ok(namespace)
    }

    /// Deletes the namespaces that earlier processes left behind when they were killed.
    pub(crate) fn sweep() -> Result<()> {
        for name in run(Command::new("ip").args(["netns", "list"]), "")?.lines() {
            let name = name.split_ascii_whitespace().next().unwrap_or_default();
            let pid = name.strip_prefix(PREFIX).and_then(|rest| rest.split('-').next()?.parse().ok());
            if pid.is_some_and(|pid| !crate::process::exists(pid)) {
                // Another test process may be sweeping too.
                let _already_gone = run(Command::new("ip").args(["netns", "delete", name]), "");
            }
        }
        Ok(())
    }

    /// Its name, as `ip netns` knows it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Runs `act` on a thread inside the namespace. Sockets that it makes stay there for good.
    pub fn enter<R: Send>(&self, act: impl FnOnce() -> R + Send) -> R {
        let inside = || {
            let path = format!("/run/netns/{}", self.name);
            let namespace = File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
            move_into_link_name_space(namespace.as_fd(), Some(LinkNameSpaceType::Network))
                .unwrap_or_else(|error| panic!("entering {path}: {error}"));
            act()
        };
        std::thread::scope(|scope| scope.spawn(inside).join())
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// A command that runs `program` inside the namespace.
    pub fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program);
        command
    }

    /// Runs `ip` commands inside the namespace, one a line, without the word `ip`.
    pub fn ip(&self, commands: &str) -> Result<()> {
        run(Command::new("ip").args(["-n", &self.name, "-batch", "-"]), commands).map(drop)
    }

    /// How many TCP segments were sent again from inside.
    pub fn retransmissions(&self) -> u64 {
        let snmp =
            self.enter(|| std::fs::read_to_string("/proc/thread-self/net/snmp")).expect("/proc is mounted");
        // A line of names and then one of values.
        let mut lines =
            snmp.lines().filter_map(|line| line.strip_prefix("Tcp:")).map(str::split_ascii_whitespace);
        let (names, values) = lines.next().zip(lines.next()).expect("there are TCP counters");
        let (_, value) =
            names.zip(values).find(|(name, _)| *name == "RetransSegs").expect("it is among them");
        value.parse().expect("counters are numbers")
    }

    /// Cuts or mends the link `device`.
    pub fn set_link(&self, device: &str, state: LinkState) -> Result<()> {
        let state = match state {
            LinkState::Up => "up",
            LinkState::Down => "down",
        };
        self.ip(&format!("link set {device} {state}"))
    }

    /// Replaces what happens to TCP packets of a server at `port`.
    pub fn filter(&self, port: u16, verdict: Verdict) -> Result<()> {
        // What matches, coming in and going out, and what becomes of it.
        let (arriving, leaving) = match verdict {
            Verdict::Accept => ("accept", "accept"),
            Verdict::Drop => ("drop", "accept"),
            Verdict::Reject => ("reject with icmpx admin-prohibited", "accept"),
            Verdict::Refuse => ("tcp flags & (syn | ack) == syn reject with tcp reset", "accept"),
            Verdict::LoseFifth => ("numgen random mod 5 == 0 drop", "numgen random mod 5 == 0 drop"),
        };
        let table = "inet fault";
        let rules = format!(
            "table {table}\ndelete table {table}\n\
             table {table} {{\n\
             chain in {{ type filter hook input priority 0; tcp dport {port} {arriving}; }}\n\
             chain out {{ type filter hook output priority 0; tcp sport {port} {leaving}; }}\n\
             }}"
        );
        run(self.command("nft").args(["-f", "-"]), &rules).map(drop)
    }
}

impl Drop for Namespace {
    fn drop(&mut self) {
        if let Err(error) = run(Command::new("ip").args(["netns", "delete", &self.name]), "") {
            eprintln!("namespace {} is left behind: {error:#}", self.name);
        }
    }
}

/// Whether a link carries packets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkState {
    /// It does.
    Up,
    /// It is cut.
    Down,
}

/// What happens to the packets of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// They pass.
    Accept,
    /// Those that arrive vanish.
    Drop,
    /// Those that arrive are refused with an ICMP error, as a firewall does.
    Reject,
    /// New connections are reset, as where nobody listens; those that are open are left alone.
    Refuse,
    /// One of five vanishes in either direction, by chance. Accept again before waiting for the last to arrive: its
    /// retransmissions could be unlucky for as long as anybody waits.
    LoseFifth,
}

/// Runs `command` with `input` and returns what it printed.
fn run(command: &mut Command, input: &str) -> Result<String> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot run {command:?}"))?;
    // Dropping it at the end of the statement is the end of the input.
    child.stdin.take().context("stdin is piped")?.write_all(input.as_bytes())?;
    let output = child.wait_with_output()?;
    ensure!(
        output.status.success(),
        "{command:?}: {}\n{input}\n{}",
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
