//! Tasks of the control runtime, each under a key: probes, lookups.
//!
//! What `tokio_util::task::JoinMap` is, without a second hash table crate in the tree.
#![forbid(unsafe_code)]

use std::collections::HashMap;
use std::future::Future;

use tokio::task::{self, AbortHandle, JoinError, JoinSet};

/// The tasks that are under way. They end with this value.
#[derive(Debug)]
pub struct Tasks<K, T> {
    tasks: JoinSet<T>,
    keys: HashMap<task::Id, (K, AbortHandle)>,
}

impl<K, T> Default for Tasks<K, T> {
    fn default() -> Self {
        Self { tasks: JoinSet::new(), keys: HashMap::new() }
    }
}

impl<K, T: Send + 'static> Tasks<K, T> {
    /// How many there are; those that have ended count until [`next`](Self::next) has told.
    pub fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tasks.is_empty()
    }

    /// Starts one. Several may have the same key.
    pub fn spawn(&mut self, key: K, task: impl Future<Output = T> + Send + 'static) {
        let handle = self.tasks.spawn(task);
        self.keys.insert(handle.id(), (key, handle));
    }

    /// Aborts those whose key is not wanted. [`next`](Self::next) tells of them, too.
    pub fn abort_unless(&self, wanted: impl Fn(&K) -> bool) {
        self.keys.values().filter(|(key, _)| !wanted(key)).for_each(|(_, task)| task.abort());
    }

    /// The next that ends, with its key: its result, or why it has none. `None` if none is under way. Cancel safe.
    pub async fn next(&mut self) -> Option<(K, Result<T, JoinError>)> {
        let ended = self.tasks.join_next_with_id().await?;
        let (id, result) = match ended {
            Ok((id, result)) => (id, Ok(result)),
            Err(error) => (error.id(), Err(error)),
        };
        let (key, _) = self.keys.remove(&id)?;
        Some((key, result))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn each_is_told_of_under_its_key_however_it_ends() {
        let mut tasks = Tasks::default();
        tasks.spawn("answers", async { 7 });
        tasks.spawn("panics", async { panic!("on purpose") });
        tasks.spawn("waits", std::future::pending());
        tasks.abort_unless(|&key| key != "waits");
        assert_eq!(tasks.len(), 3);
        let mut told = HashMap::new();
        while let Some((key, result)) = tasks.next().await {
            told.insert(key, result);
        }
        assert!(tasks.is_empty());
        assert_eq!(told["answers"].as_ref().unwrap(), &7);
        assert!(told["panics"].as_ref().unwrap_err().is_panic());
        assert!(told["waits"].as_ref().unwrap_err().is_cancelled());
    }
}
