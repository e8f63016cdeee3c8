//! The processes of a bench: where they run, what they have cost, and that none outlives it.

use std::collections::HashMap;
use std::fs;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::process::{Pid, Signal};
use rustix::thread::CpuSet;

/// Where the process under test runs, alone.
pub(crate) const PROXY_CPU: usize = 0;

/// Where the generator, the backend and the bench itself run.
pub(crate) const LOAD_CPU: usize = 1;

/// A process with all its descendants, killed when dropped.
#[derive(Debug)]
pub(crate) struct Tree(Child);

/// CPU time used by each thread of a tree.
#[derive(Debug)]
pub(crate) struct CpuTimes(HashMap<u32, Duration>);

/// Pins the calling thread, and with it what it starts from now on.
pub(crate) fn pin(cpus: &[usize]) -> Result<()> {
    let mut set = CpuSet::new();
    cpus.iter().for_each(|&cpu| set.set(cpu));
    rustix::thread::sched_setaffinity(None, &set).with_context(|| format!("cannot pin to CPUs {cpus:?}"))
}

/// Waits a little.
pub(crate) fn pause(duration: Duration) {
    std::thread::sleep(duration);
}

impl Tree {
    /// Starts `command` on these CPUs.
    pub(crate) fn spawn(command: &mut Command, cpus: &[usize]) -> Result<Self> {
        pin(cpus)?;
        let child = command.spawn().with_context(|| format!("cannot start {command:?}"));
        pin(&[LOAD_CPU])?;
        child.map(Self)
    }

    /// The root process.
    pub(crate) fn child(&mut self) -> &mut Child {
        &mut self.0
    }

    /// Every live process of the tree, the root first.
    pub(crate) fn pids(&self) -> Result<Vec<u32>> {
        let mut parents = Vec::new();
        for entry in fs::read_dir("/proc")? {
            let Ok(pid) = entry?.file_name().to_string_lossy().parse::<u32>() else { continue };
            // A process that has gone meanwhile is no longer of the tree.
            let Ok(stat) = fs::read_to_string(format!("/proc/{pid}/stat")) else { continue };
            // The name in parentheses may hold anything; behind the last one come the state and the parent.
            let parent =
                stat.rsplit(')').next().and_then(|rest| rest.split_whitespace().nth(1)?.parse::<u32>().ok());
            parents.extend(parent.map(|parent| (pid, parent)));
        }
        let mut tree = vec![self.0.id()];
        let mut known = 0;
        while let Some(&parent) = tree.get(known) {
            tree.extend(parents.iter().filter(|(_, p)| *p == parent).map(|(pid, _)| *pid));
            known += 1;
        }
        Ok(tree)
    }

    /// CPU time so far, user and system, in the scheduler's nanoseconds.
    pub(crate) fn cpu_times(&self) -> Result<CpuTimes> {
        let mut times = HashMap::new();
        for pid in self.pids()? {
            for task in
                fs::read_dir(format!("/proc/{pid}/task")).context("the process under test has ended")?
            {
                let task = task?.path();
                let Ok(schedstat) = fs::read_to_string(task.join("schedstat")) else { continue };
                let nanos = schedstat.split_whitespace().next().context("empty schedstat")?.parse()?;
                let tid = task.file_name().unwrap_or_default().to_string_lossy().parse()?;
                times.insert(tid, Duration::from_nanos(nanos));
            }
        }
        Ok(CpuTimes(times))
    }

    /// CPU time since `before`, once the tree has come to rest: what a load leaves to do belongs to it.
    pub(crate) fn cpu_since(&self, before: &CpuTimes) -> Result<Duration> {
        const GRAIN: Duration = Duration::from_millis(10);
        // A proxy's own timers use microseconds in such a time, a connection that is still to be closed more.
        const REST: Duration = Duration::from_micros(100);
        let deadline = Instant::now() + Duration::from_secs(1);
        let mut used = self.cpu_times()?.since(before);
        loop {
            pause(GRAIN);
            let now = self.cpu_times()?.since(before);
            if now.saturating_sub(used) < REST || Instant::now() > deadline {
                return Ok(now);
            }
            used = now;
        }
    }

    /// Memory of the tree in bytes; what processes share is counted once.
    pub(crate) fn memory(&self) -> Result<u64> {
        let mut total = 0;
        for pid in self.pids()? {
            let path = format!("/proc/{pid}/smaps_rollup");
            let rollup = fs::read_to_string(&path).with_context(|| path.clone())?;
            let kibibytes =
                rollup.lines().find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix("kB"));
            total += 1024 * kibibytes.with_context(|| format!("no Pss in {path}"))?.trim().parse::<u64>()?;
        }
        Ok(total)
    }
}

impl Drop for Tree {
    fn drop(&mut self) {
        for pid in self.pids().unwrap_or_default() {
            if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
                // It may have ended already, which is what we want.
                let _ = rustix::process::kill_process(pid, Signal::KILL);
            }
        }
        let _ = self.0.wait();
    }
}

impl CpuTimes {
    /// What was used between two readings. A thread that is gone by the second has taken its last bit with it.
    fn since(&self, before: &Self) -> Duration {
        let used = |(tid, now): (&u32, &Duration)| {
            now.saturating_sub(before.0.get(tid).copied().unwrap_or_default())
        };
        self.0.iter().map(used).sum()
    }
}
