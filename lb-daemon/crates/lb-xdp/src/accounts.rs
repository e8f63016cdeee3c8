//! What was counted, by name. Programs count by number, and numbers change hands: a name must not inherit what
//! its number has counted for another, nor lose what was counted for it under a number that it no longer has.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::counters::Counts;

/// Says how much of what was counted under a number is whose.
///
/// A number belongs to the name that got it, also while it rests: programs may still count under it then. When
/// it has rested nobody counts any more, and its account is closed.
#[derive(Debug)]
pub(crate) struct Accounts<N> {
    /// Whose a number is. A name may have several.
    holders: HashMap<u16, N>,
    /// What had been counted under a number when it was closed last.
    before: HashMap<u16, Counts>,
    /// What was counted for a name under numbers that were closed.
    closed: HashMap<N, Counts>,
}

impl<N> Default for Accounts<N> {
    /// Of numbers that nothing was counted under.
    fn default() -> Self {
        Self { holders: HashMap::new(), before: HashMap::new(), closed: HashMap::new() }
    }
}

impl<N: Eq + std::hash::Hash + Ord + Clone> Accounts<N> {
    /// Gives numbers to names: these are all names that there are. Those that are gone leave nothing behind; should
    /// they return, they begin at 0.
    pub(crate) fn assign(&mut self, holders: HashMap<u16, N>) {
        let names: HashSet<&N> = holders.values().collect();
        self.holders.retain(|_, name| names.contains(name));
        self.closed.retain(|name, _| names.contains(name));
        self.holders.extend(holders);
    }

    /// Takes a number from its holder; `counted` is what was counted under it in all. Nobody counts under it until it
    /// is given to somebody else.
    pub(crate) fn close(&mut self, number: u16, counted: Counts) {
        let before = self.before.insert(number, counted).unwrap_or_default();
        if let Some(name) = self.holders.remove(&number) {
            let closed = self.closed.entry(name).or_default();
            *closed = closed.plus(counted.since(before));
        }
    }

    /// What was counted for each name, with `counted` saying what was counted under a number in all.
    pub(crate) fn totals<E>(
        &self,
        counted: impl Fn(u16) -> Result<Counts, E>,
    ) -> Result<BTreeMap<&N, Counts>, E> {
        let mut totals: BTreeMap<&N, Counts> = BTreeMap::new();
        for (&number, name) in &self.holders {
            let before = self.before.get(&number).copied().unwrap_or_default();
            let total =
                totals.entry(name).or_insert_with(|| self.closed.get(name).copied().unwrap_or_default());
            *total = total.plus(counted(number)?.since(before));
        }
        Ok(totals)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(packets: u64) -> Counts {
        Counts { packets, bytes: packets * 100, flows: packets / 2 }
    }

    /// What each name has, where `counted` was counted under the numbers from 0 on.
    fn totals<'a>(accounts: &'a Accounts<&'static str>, counted: &[u64]) -> Vec<(&'a str, Counts)> {
        let totals = accounts.totals(|number| Ok::<_, ()>(counts(counted[usize::from(number)])));
        totals.unwrap().into_iter().map(|(&name, counts)| (name, counts)).collect()
    }

    #[test]
    fn a_number_that_changes_hands_begins_at_zero() {
        let mut accounts = Accounts::default();
        accounts.assign(HashMap::from([(0, "a"), (1, "b")]));
        assert_eq!(totals(&accounts, &[10, 4]), [("a", counts(10)), ("b", counts(4))]);
        accounts.assign(HashMap::from([(1, "b")]));
        assert_eq!(totals(&accounts, &[12, 6]), [("b", counts(6))]);
        accounts.close(0, counts(14));
        accounts.assign(HashMap::from([(1, "b"), (0, "c")]));
        assert_eq!(totals(&accounts, &[14, 6]), [("b", counts(6)), ("c", counts(0))]);
        assert_eq!(totals(&accounts, &[18, 8]), [("b", counts(8)), ("c", counts(4))]);
    }

    #[test]
    fn a_name_keeps_what_numbers_counted_that_it_had() {
        let mut accounts = Accounts::default();
        accounts.assign(HashMap::from([(0, "a"), (1, "a")]));
        assert_eq!(totals(&accounts, &[10, 4]), [("a", counts(14))]);
        // Number 0 rests; a program that began before goes on counting.
        accounts.assign(HashMap::from([(1, "a")]));
        assert_eq!(totals(&accounts, &[12, 4]), [("a", counts(16))]);
        accounts.close(0, counts(12));
        assert_eq!(totals(&accounts, &[12, 4]), [("a", counts(16))]);
        accounts.assign(HashMap::from([(0, "b"), (1, "a")]));
        assert_eq!(totals(&accounts, &[20, 6]), [("a", counts(18)), ("b", counts(8))]);
    }

    #[test]
    fn a_name_that_returns_begins_at_zero() {
        let mut accounts = Accounts::default();
        accounts.assign(HashMap::from([(0, "a")]));
        accounts.assign(HashMap::new());
        // Its old number rests still.
        accounts.assign(HashMap::from([(1, "a")]));
        assert_eq!(totals(&accounts, &[10, 0]), [("a", counts(0))]);
        accounts.close(0, counts(10));
        assert_eq!(totals(&accounts, &[10, 2]), [("a", counts(2))]);
    }
}
