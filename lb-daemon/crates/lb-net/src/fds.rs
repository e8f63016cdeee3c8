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
    /// Health probes that may run at once, at one descriptor each.
    pub probes: u32,
}

impl FdBudget {
    /// Kept for logs, epoll, configuration files and whatever else the process opens.
    const RESERVE: u64 = 64;
    /// Kept for the admin interface and resolvers.
    const CONTROL: u64 = 64;
    /// A worker's own: epoll and its event descriptors.
    const PER_WORKER: u64 = 4;
    /// More pipes than this do not help one core; each pins up to a pipe's size of memory while its receiver stalls.
    const MAX_PIPES: u64 = 256;
    /// So many probes at once check thousands of backends every few seconds.
    const MAX_PROBES: u64 = 256;

    /// Shares out `limit` descriptors among `workers` and their `listening` sockets, of which each worker has one
    /// per address. At most an eighth goes into pipes.
    pub fn new(limit: u64, workers: usize, listening: usize) -> Self {
        let pipes_per_worker = (limit / 16 / (workers as u64).max(1)).min(Self::MAX_PIPES);
        Self::with_pipes(limit, workers, listening, fit(pipes_per_worker))
    }

    /// The same where the workers run already, with so many pipes each: only what listens has changed.
    pub fn with_pipes(limit: u64, workers: usize, listening: usize, pipes_per_worker: u32) -> Self {
        let workers = (workers as u64).max(1);
        // A thirty-second: where descriptors are few, rather fewer probes at once than fewer connections.
        let probes = (limit / 32).clamp(1, Self::MAX_PROBES);
        let per_worker = Self::PER_WORKER + listening as u64 + 2 * u64::from(pipes_per_worker);
        let used = Self::RESERVE + Self::CONTROL + probes + workers * per_worker;
        let connections = (limit.saturating_sub(used) / 2).max(1);
        Self { connections: fit(connections), pipes_per_worker, probes: fit(probes) }
    }
}

fn fit(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn everything_fits(limit in 256u64..10_000_000, workers in 1usize..64, listening in 0usize..64) {
            let budget = FdBudget::new(limit, workers, listening);
            prop_assert!(budget.connections >= 1 && budget.probes >= 1);
            let sockets = (workers * listening) as u64;
            let pipes = workers as u64 * u64::from(budget.pipes_per_worker) * 2;
            let others = u64::from(budget.probes) + 4 * workers as u64 + 128;
            if budget.connections > 1 {
                prop_assert!(u64::from(budget.connections) * 2 + sockets + pipes + others <= limit);
            }
        }

        #[test]
        fn what_listens_more_costs_connections_only(limit in 2048u64..1_000_000, more in 0usize..64) {
            let start = FdBudget::new(limit, 2, 1);
            let later = FdBudget::with_pipes(limit, 2, 1 + more, start.pipes_per_worker);
            prop_assert_eq!(later.connections + u32::try_from(more).unwrap(), start.connections);
            prop_assert_eq!(FdBudget { connections: start.connections, ..later }, start);
        }
    }

    #[test]
    fn a_usual_limit_leaves_most_for_connections() {
        let budget =
            |connections, pipes_per_worker, probes| FdBudget { connections, pipes_per_worker, probes };
        assert_eq!(FdBudget::new(20_000, 2, 1), budget(9291, 256, 256));
        assert_eq!(FdBudget::new(1024, 2, 1), budget(363, 32, 32));
    }
}
