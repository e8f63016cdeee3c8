//! What the kernel knows about a process.

use std::fs;
use std::time::Duration;

use rustix::process::{Pid, Resource, Rlimit, getrlimit, prlimit, setrlimit};

/// CPU time that the process has used so far, user and system.
pub fn cpu_time(pid: Pid) -> Duration {
    let stat = read(pid, "stat");
    // The second field is the name in parentheses, which may itself contain anything.
    let (_, after_name) = stat.rsplit_once(')').expect("stat has a name");
    let ticks: u64 = after_name
        .split_ascii_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>().expect("utime and stime are numbers"))
        .sum();
    Duration::from_millis(ticks * 1000 / rustix::param::clock_ticks_per_second())
}

/// Whether every thread of the process sleeps: it has done all that there was to do.
pub fn is_idle(pid: Pid) -> bool {
    every_thread_is(pid, 'S')
}

/// Whether every thread of the process is stopped by a signal.
pub fn is_stopped(pid: Pid) -> bool {
    every_thread_is(pid, 'T')
}

fn every_thread_is(pid: Pid, state: char) -> bool {
    let tasks = fs::read_dir(format!("/proc/{}/task", pid.as_raw_pid())).expect("the process is ours");
    tasks.flatten().all(|task| {
        // A thread that has just ended does nothing either.
        let stat = fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_none_or(|(_, after_name)| after_name.starts_with(state))
    })
}

/// Resident memory in bytes.
pub fn resident_bytes(pid: Pid) -> u64 {
    let status = read(pid, "status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process has VmRSS");
    let kib = line.trim().trim_end_matches("kB").trim();
    kib.parse::<u64>().expect("VmRSS is in kB") * 1024
}

/// Number of open file descriptors.
pub fn open_fds(pid: Pid) -> usize {
    fs::read_dir(format!("/proc/{}/fd", pid.as_raw_pid())).expect("the process is ours").count()
}

/// The soft and the hard limit of open file descriptors.
pub fn fd_limits(pid: Pid) -> (u64, u64) {
    let limits = read(pid, "limits");
    let line =
        limits.lines().find_map(|line| line.strip_prefix("Max open files")).expect("every limit is listed");
    let mut numbers = line.split_ascii_whitespace().map_while(|word| word.parse().ok());
    numbers.next().zip(numbers.next()).expect("both limits are numbers")
}

/// Changes the soft limit of open file descriptors of a running process.
pub fn set_fd_soft_limit(pid: Pid, soft: u64) {
    let (_, hard) = fd_limits(pid);
    prlimit(Some(pid), Resource::Nofile, Rlimit { current: Some(soft), maximum: Some(hard) })
        .expect("changing a limit of our own child");
}

/// Whether a process (or a zombie) of this number exists.
pub fn exists(pid: u32) -> bool {
    fs::exists(format!("/proc/{pid}")).expect("/proc is mounted")
}

/// Whether the process has ended; an orphan may still wait for init to reap it.
pub fn has_ended(pid: u32) -> bool {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_none_or(|(_, after_name)| after_name.starts_with('Z'))
}

/// The children of a process, zombies included.
pub fn children(pid: Pid) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("/proc is mounted").flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    let parent = pid.as_raw_pid().to_string();
    let is_child = |number: &u32| {
        let stat = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
        // After the name: the state, then the parent.
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.split(' ').nth(1) == Some(&parent))
    };
    numbers.filter(is_child).collect()
}

/// Lets this process have as many file descriptors as it may, and says how many.
pub fn raise_fd_limit() -> u64 {
    let limit = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, maximum: limit.maximum })
        .expect("a process may raise its soft limit to its hard limit");
    limit.maximum.unwrap_or(u64::MAX)
}

fn read(pid: Pid, file: &str) -> String {
    let path = format!("/proc/{}/{file}", pid.as_raw_pid());
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}
