//! Numbers for what has names: listeners, pools, backends. A number that was given back rests until no flow can
//! refer to it.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::Hash;
use std::time::Instant;

/// Numbers from `first` on, each for a key.
#[derive(Debug)]
pub(crate) struct Numbers<K> {
    by_key: HashMap<K, u16>,
    free: BTreeSet<u16>,
    /// Given back, and when.
    resting: Vec<(u16, Instant)>,
}

impl<K: Eq + Hash + Clone> Numbers<K> {
    /// So many numbers.
    pub(crate) fn new(first: u16, room: u16) -> Self {
        let free = (first..first.saturating_add(room)).collect();
        Self { by_key: HashMap::new(), free, resting: Vec::new() }
    }

    /// The number of `key`, a new one if it has none; `None` if there is none left.
    pub(crate) fn of(&mut self, key: &K) -> Option<u16> {
        if let Some(&number) = self.by_key.get(key) {
            return Some(number);
        }
        let number = self.free.pop_first()?;
        self.by_key.insert(key.clone(), number);
        Some(number)
    }

    /// Takes the numbers of all keys but `keys`, and lets them rest from `now` on. Returns them.
    pub(crate) fn keep_only(&mut self, keys: &HashSet<K>, now: Instant) -> Vec<u16> {
        let gone = self.by_key.extract_if(|key, _| !keys.contains(key));
        let gone: Vec<u16> = gone.map(|(_, number)| number).collect();
        self.resting.extend(gone.iter().map(|&number| (number, now)));
        gone
    }

    /// Lets a number that rests begin its rest at `now`.
    pub(crate) fn rest_from(&mut self, number: u16, now: Instant) {
        self.resting.iter_mut().filter(|(resting, _)| *resting == number).for_each(|(_, since)| *since = now);
    }

    /// Those that rest since before `then`.
    pub(crate) fn rested(&self, then: Instant) -> impl Iterator<Item = u16> {
        self.resting.iter().filter(move |(_, since)| *since < then).map(|(number, _)| *number)
    }

    /// Lets those be used again that rest since before `then`.
    pub(crate) fn wake(&mut self, then: Instant) {
        let woken = self.resting.extract_if(.., |(_, since)| *since < then);
        self.free.extend(woken.map(|(number, _)| number));
    }

    /// How many of `keys` have no number yet.
    pub(crate) fn missing(&self, keys: &HashSet<K>) -> usize {
        keys.iter().filter(|key| !self.by_key.contains_key(key)).count()
    }

    /// How many more keys there is room for.
    pub(crate) fn left(&self) -> usize {
        self.free.len()
    }

    /// The numbers that have a key.
    pub(crate) fn used(&self) -> impl Iterator<Item = (&K, u16)> {
        self.by_key.iter().map(|(key, &number)| (key, number))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_number_rests_before_it_is_used_again() {
        let mut numbers = Numbers::new(1, 2);
        assert_eq!([numbers.of(&"a"), numbers.of(&"b"), numbers.of(&"a")], [Some(1), Some(2), Some(1)]);
        assert_eq!(numbers.of(&"c"), None);
        let (began, second) = (crate::tests::beginning(), Duration::from_secs(1));
        assert_eq!(numbers.keep_only(&HashSet::from(["b"]), began), [1]);
        assert_eq!((numbers.of(&"c"), numbers.left()), (None, 0));
        numbers.rest_from(1, began + second);
        numbers.wake(began + second);
        assert_eq!(numbers.of(&"c"), None);
        numbers.rest_from(1, began);
        numbers.wake(began);
        assert_eq!(numbers.rested(began).count(), 0);
        assert_eq!(numbers.of(&"c"), None);
        assert_eq!(numbers.rested(began + second).collect::<Vec<_>>(), [1]);
        numbers.wake(began + second);
        assert_eq!(numbers.missing(&HashSet::from(["b", "c"])), 1);
        assert_eq!(numbers.of(&"c"), Some(1));
    }
}
