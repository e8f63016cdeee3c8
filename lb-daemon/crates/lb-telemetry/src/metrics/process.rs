//! The process as the kernel sees it.

use std::fs;
use std::time::Duration;

use rustix::process::{Resource, getrlimit};
use rustix::time::{ClockId, clock_gettime};

/// What the kernel tells of this process; `None` where it does not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Process {
    /// Time on a CPU, user and system, of all threads.
    pub cpu: Option<Duration>,
    /// Open file descriptors.
    pub open_fds: Option<u64>,
    /// Most open file descriptors.
    pub max_fds: Option<u64>,
    /// Bytes in memory.
    pub resident_bytes: Option<u64>,
    /// Bytes of address space.
    pub virtual_bytes: Option<u64>,
    /// Threads.
    pub threads: Option<u64>,
}

impl Process {
    /// Asks the kernel. Reads `/proc`, which may take some milliseconds: not for a worker.
    pub fn read() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let bytes = |key| field(&status, key).and_then(|kibibytes| kibibytes.checked_mul(1024));
        Self {
            cpu: cpu(),
            open_fds: open_fds(),
            max_fds: getrlimit(Resource::Nofile).current,
            resident_bytes: bytes("VmRSS"),
            virtual_bytes: bytes("VmSize"),
            threads: field(&status, "Threads"),
        }
    }
}

fn cpu() -> Option<Duration> {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).ok()
}

/// Since Linux 6.2 the directory's size is their number, which spares listing hundreds of thousands.
fn open_fds() -> Option<u64> {
    let directory = "/proc/self/fd";
    match fs::metadata(directory).ok()?.len() {
        // Without the one that lists them.
        0 => u64::try_from(fs::read_dir(directory).ok()?.count()).ok()?.checked_sub(1),
        number => Some(number),
    }
}

/// The number at `key` of `/proc/self/status` (proc_pid_status(5)): `VmRSS:      1234 kB`.
fn field(status: &str, key: &str) -> Option<u64> {
    let value = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'))?;
    value.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_their_whole_key() {
        let status = "Name:\tThreads: 7\nVmRSSx:\t1 kB\nVmRSS:\t  1234 kB\nThreads:\t3\nVmSize:\tmuch\n";
        assert_eq!(field(status, "VmRSS"), Some(1234));
        assert_eq!(field(status, "Threads"), Some(3));
        assert_eq!(field(status, "VmSize"), None);
        assert_eq!(field(status, "VmPeak"), None);
    }

    #[test]
    fn this_process_is_described() {
        let before = Process::read();
        let files: Vec<_> = (0..100).map(|_| fs::File::open("/dev/null").unwrap()).collect();
        let after = Process::read();
        // Other tests open and close a few at the same time.
        assert!(after.open_fds.unwrap() > before.open_fds.unwrap() + files.len() as u64 / 2);
        assert!(after.open_fds < after.max_fds);
        assert!(after.threads.unwrap() >= 1);
        assert!(after.cpu > Some(Duration::ZERO) && after.cpu >= before.cpu);
        assert!(after.resident_bytes.unwrap() > 100_000);
        assert!(after.resident_bytes < after.virtual_bytes);
    }
}
