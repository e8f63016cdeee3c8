//! Counts what processes allocate: uprobes on the allocator of the C library, which all peers use, counted by `perf`.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

use crate::bench::sandbox::SCRATCH;

/// The allocator's functions; what is freed has been allocated.
const FUNCTIONS: [&str; 4] = ["malloc", "calloc", "realloc", "posix_memalign"];

/// Events that count, as long as this lives.
pub(crate) struct Allocations {
    pids: Vec<u32>,
    counts: PathBuf,
}

impl Allocations {
    /// Of these processes.
    pub(crate) fn of(pids: Vec<u32>) -> Result<Self> {
        let first = pids.first().context("no process")?;
        let maps = fs::read_to_string(format!("/proc/{first}/maps")).context("the peer has ended")?;
        let mut mapped = maps.lines().filter_map(|line| line.split_whitespace().next_back());
        let library = mapped.find(|path| path.contains("/libc.so")).context("no C library in it")?;
        // Left over by a run that was killed, perhaps.
        delete();
        let mut command = Command::new("perf");
        command.args(["probe", "--quiet", "--exec", library]);
        command.args(FUNCTIONS.map(|function| format!("--add=sluice_{function}={function}")));
        let status = command.stdin(Stdio::null()).stderr(Stdio::null()).status();
        let probed = status.context("cannot run perf: `cargo xtask setup` installs it")?.success();
        ensure!(probed, "perf cannot probe {library}: it takes root, and uprobes in the kernel");
        Ok(Self { pids, counts: Path::new(SCRATCH).join("allocations") })
    }

    /// A command that runs `command` and counts meanwhile.
    pub(crate) fn during(&self, command: &Command) -> Command {
        let mut counting = Command::new("perf");
        counting.args(["stat", "--field-separator=,", "--output"]).arg(&self.counts);
        counting.args(FUNCTIONS.map(|function| format!("--event=probe_libc:sluice_{function}")));
        let pids: Vec<String> = self.pids.iter().map(u32::to_string).collect();
        counting.arg(format!("--pid={}", pids.join(","))).arg("--");
        counting.arg(command.get_program()).args(command.get_args());
        counting
    }

    /// How many there were.
    pub(crate) fn counted(&self) -> Result<f64> {
        let counts = fs::read_to_string(&self.counts).context("perf has not counted")?;
        let figures = counts.lines().filter(|line| line.contains("sluice_"));
        figures
            .map(|line| line.split(',').next().unwrap_or_default().parse::<f64>().context(line.to_owned()))
            .sum()
    }
}

impl Drop for Allocations {
    fn drop(&mut self) {
        delete();
    }
}

fn delete() {
    let mut command = Command::new("perf");
    command.args(["probe", "--quiet", "--del", "probe_libc:sluice_*"]);
    // There may be none.
    let _ = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).status();
}
