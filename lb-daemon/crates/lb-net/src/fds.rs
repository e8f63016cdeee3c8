//! File descriptors: how many there are, and what they are for.

use std::io;

use rustix::process::{Resource, getrlimit, setrlimit};

/// Raises RLIMIT_NOFILE to its hard limit and returns that.
pub fn raise_fd_limit() -> io::Result<u64> {
    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        limit.current = limit.maximum;
        setrlimit(Resource::Nofile, limit)?;
    }
    Ok(limit.maximum.unwrap_or(u64::MAX))
}

/// How the descriptors are shared out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FdBudget {
    /// Client connections that fit, at two descriptors each.
    pub connections: u32,
    /// Pipes for splicing that each worker may keep, at two descriptors each.
    pub pipes_per_worker: u32,
}

impl FdBudget {
    /// Kept for logs, epoll, configuration files and whatever else the process opens.
    const RESERVE: u64 = 64;
    /// A worker's own: epoll and its event descriptors.
    const PER_WORKER: u64 = 4;
    /// More pipes than this do not help one core; each pins up to a pipe's size of memory while its receiver stalls.
    const MAX_PIPES: u64 = 256;

    /// Shares out `limit` descriptors among `workers` and their `listening` sockets. At most an eighth goes into pipes.
    pub fn new(limit: u64, workers: usize, listening: usize) -> Self {
        let workers = (workers as u64).max(1);
        let pipes_per_worker = (limit / 16 / workers).min(Self::MAX_PIPES);
        let used = Self::RESERVE + workers * (Self::PER_WORKER + listening as u64 + 2 * pipes_per_worker);
        let connections = (limit.saturating_sub(used) / 2).max(1);
        let fit = |n: u64| u32::try_from(n).unwrap_or(u32::MAX);
        Self { connections: fit(connections), pipes_per_worker: fit(pipes_per_worker) }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn everything_fits(limit in 256u64..10_000_000, workers in 1usize..64, listening in 0usize..64) {
            let budget = FdBudget::new(limit, workers, listening);
            prop_assert!(budget.connections >= 1);
            let sockets = (workers * listening) as u64;
            let pipes = workers as u64 * u64::from(budget.pipes_per_worker) * 2;
            if budget.connections > 1 {
                prop_assert!(u64::from(budget.connections) * 2 + sockets + pipes + 4 * workers as u64 + 64 <= limit);
            }
        }
    }

    #[test]
    fn a_usual_limit_leaves_most_for_connections() {
        assert_eq!(FdBudget::new(20_000, 2, 1), FdBudget { connections: 9451, pipes_per_worker: 256 });
        assert_eq!(FdBudget::new(1024, 2, 1), FdBudget { connections: 411, pipes_per_worker: 32 });
    }
}
