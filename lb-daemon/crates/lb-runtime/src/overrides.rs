//! What an operator has set by hand, over the configuration: who is drained, and who has another weight. Pure; kept in a
//! file between two runs, for which there is a text form.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use lb_model::{BackendName, PoolName, Weight};

/// Whom an override concerns: one backend, or all backends of a pool, those included that come later.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OverrideTarget {
    /// The pool.
    pub pool: PoolName,
    /// The backend; `None` is the whole pool.
    pub backend: Option<BackendName>,
}

/// What is to be overridden.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OverrideChange {
    /// No new connections.
    Drain,
    /// New connections again.
    Undrain,
    /// Another weight.
    Weight(Weight),
    /// The configured weight again.
    ConfiguredWeight,
}

/// All overrides. What is set for a backend goes before what is set for its pool.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Overrides {
    entries: BTreeMap<OverrideTarget, Override>,
}

/// What is set for one target.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Override {
    /// Whether it is drained; [`Drain::Off`] excepts a backend from its pool's draining.
    pub drain: Option<Set<Drain>>,
    /// Its weight.
    pub weight: Option<Set<Weight>>,
}

/// A value, and since when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Set<T> {
    /// The value.
    pub value: T,
    /// When it was set, in seconds of Unix time.
    pub at: u64,
}

/// Whether new connections are kept away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Drain {
    /// They are.
    On,
    /// They are not.
    Off,
}

impl Overrides {
    /// Changes what is set for `target` at `at` (seconds of Unix time). Setting what is set already changes nothing.
    pub fn change(&mut self, target: &OverrideTarget, change: OverrideChange, at: u64) {
        if target.backend.is_none() {
            self.clear_backends(&target.pool, change);
        }
        let of_pool = target.backend.is_some().then(|| self.get(&target.pool, None).drain).flatten();
        let entry = self.entries.entry(target.clone()).or_default();
        match change {
            OverrideChange::Drain => set(&mut entry.drain, Drain::On, at),
            OverrideChange::Undrain if of_pool.is_some() => set(&mut entry.drain, Drain::Off, at),
            OverrideChange::Undrain => entry.drain = None,
            OverrideChange::Weight(weight) => set(&mut entry.weight, weight, at),
            OverrideChange::ConfiguredWeight => entry.weight = None,
        }
        self.entries.retain(|_, entry| *entry != Override::default());
    }

    /// What a pool is told holds for all of its backends.
    fn clear_backends(&mut self, pool: &PoolName, change: OverrideChange) {
        for (_, entry) in self.entries.iter_mut().filter(|(t, _)| t.pool == *pool && t.backend.is_some()) {
            match change {
                OverrideChange::Drain | OverrideChange::Undrain => entry.drain = None,
                OverrideChange::Weight(_) | OverrideChange::ConfiguredWeight => entry.weight = None,
            }
        }
    }

    /// What holds for a backend: its own overrides, else its pool's.
    pub fn effective(&self, pool: &PoolName, backend: &BackendName) -> Override {
        if self.entries.is_empty() {
            return Override::default();
        }
        let (own, of_pool) = (self.get(pool, Some(backend)), self.get(pool, None));
        let drain = own.drain.or(of_pool.drain).filter(|drain| drain.value == Drain::On);
        Override { drain, weight: own.weight.or(of_pool.weight) }
    }

    /// Everything that is set, by target.
    pub fn iter(&self) -> impl Iterator<Item = (&OverrideTarget, &Override)> {
        self.entries.iter()
    }

    fn get(&self, pool: &PoolName, backend: Option<&BackendName>) -> Override {
        let target = OverrideTarget { pool: pool.clone(), backend: backend.cloned() };
        self.entries.get(&target).copied().unwrap_or_default()
    }
}

fn set<T: PartialEq>(slot: &mut Option<Set<T>>, value: T, at: u64) {
    if slot.as_ref().is_none_or(|set| set.value != value) {
        *slot = Some(Set { value, at });
    }
}

/// One override a line: what, pool, perhaps backend, perhaps value, when.
impl fmt::Display for Overrides {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (OverrideTarget { pool, backend }, entry) in &self.entries {
            let backend = backend.as_ref().map_or_else(String::new, |backend| format!(" {backend}"));
            if let Some(Set { value, at }) = entry.drain {
                let what = if value == Drain::On { "drain" } else { "undrain" };
                writeln!(f, "{what} {pool}{backend} @{at}")?;
            }
            if let Some(Set { value, at }) = entry.weight {
                writeln!(f, "weight {pool}{backend} ={} @{at}", value.0)?;
            }
        }
        Ok(())
    }
}

/// A line that is no override.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {text:?} is no override; expected for example \"drain POOL BACKEND @1764000000\"")]
pub struct InvalidOverride {
    /// Which line, from 1.
    pub line: usize,
    text: String,
}

impl FromStr for Overrides {
    type Err = InvalidOverride;

    fn from_str(text: &str) -> Result<Self, InvalidOverride> {
        let mut overrides = Self::default();
        for (line, text) in (1..).zip(text.lines()) {
            if text.trim_start().starts_with('#') || text.trim().is_empty() {
                continue;
            }
            let parsed = parse_line(text).ok_or_else(|| InvalidOverride { line, text: text.into() })?;
            let (target, what) = parsed;
            let entry = overrides.entries.entry(target).or_default();
            match what {
                Line::Drain(drain) => entry.drain = Some(drain),
                Line::Weight(weight) => entry.weight = Some(weight),
            }
        }
        Ok(overrides)
    }
}

enum Line {
    Drain(Set<Drain>),
    Weight(Set<Weight>),
}

fn parse_line(text: &str) -> Option<(OverrideTarget, Line)> {
    let mut words = text.split_whitespace();
    let what = words.next()?;
    let at = words.next_back()?.strip_prefix('@')?.parse().ok()?;
    let line = match what {
        "drain" => Line::Drain(Set { value: Drain::On, at }),
        "undrain" => Line::Drain(Set { value: Drain::Off, at }),
        "weight" => {
            let weight = words.next_back()?.strip_prefix('=')?.parse().ok()?;
            Line::Weight(Set { value: Weight(weight), at })
        }
        _ => return None,
    };
    let pool = words.next()?.parse().ok()?;
    let backend = words.next().map(str::parse).transpose().ok()?;
    words.next().is_none().then_some((OverrideTarget { pool, backend }, line))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn target(text: &str) -> OverrideTarget {
        let mut words = text.split('/');
        OverrideTarget {
            pool: words.next().unwrap().parse().unwrap(),
            backend: words.next().map(|backend| backend.parse().unwrap()),
        }
    }

    fn after(changes: &[(&str, OverrideChange)]) -> Overrides {
        let mut overrides = Overrides::default();
        for (at, (on, change)) in (1..).zip(changes) {
            overrides.change(&target(on), *change, at);
        }
        overrides
    }

    fn drained(overrides: &Overrides, backend: &str) -> bool {
        let target = target(backend);
        overrides.effective(&target.pool, &target.backend.unwrap()).drain.is_some()
    }

    use OverrideChange::{ConfiguredWeight, Drain, Undrain};

    fn weight(weight: u16) -> OverrideChange {
        OverrideChange::Weight(Weight(weight))
    }

    #[test]
    fn a_drained_pool_drains_all_but_those_that_were_taken_out_afterwards() {
        let overrides = after(&[("web/b1", Undrain), ("web", Drain), ("web/b2", Undrain)]);
        assert!(drained(&overrides, "web/b1"));
        assert!(!drained(&overrides, "web/b2"));
        assert!(drained(&overrides, "web/comes-later"));
        assert!(!drained(&overrides, "api/b1"));
    }

    #[test]
    fn undraining_a_pool_undrains_everything_in_it_and_leaves_no_trace() {
        let overrides = after(&[("web/b1", Drain), ("web", Drain), ("web/b2", Drain), ("web", Undrain)]);
        assert_eq!(overrides, Overrides::default());
    }

    #[test]
    fn a_weight_holds_until_the_configured_one_is_wanted_again() {
        let mut overrides = after(&[("web", weight(3)), ("web/b1", weight(0))]);
        let (pool, b1) = ("web".parse().unwrap(), "b1".parse().unwrap());
        let held = |overrides: &Overrides| overrides.effective(&pool, &b1).weight.map(|set| set.value.0);
        assert_eq!(held(&overrides), Some(0));
        overrides.change(&target("web/b1"), ConfiguredWeight, 9);
        assert_eq!(held(&overrides), Some(3));
        overrides.change(&target("web"), ConfiguredWeight, 9);
        assert_eq!(held(&overrides), None);
    }

    #[test]
    fn saying_it_twice_keeps_when_it_was_said_first() {
        let overrides = after(&[("web/b1", Drain), ("web/b1", Drain)]);
        assert_eq!(overrides, after(&[("web/b1", Drain)]));
    }

    #[test]
    fn a_line_that_is_none_is_named() {
        let error = "# a comment\n\ndrain web b1 @5\nweight web b1 @5\n".parse::<Overrides>().unwrap_err();
        assert_eq!(error.line, 4);
    }

    fn change() -> impl Strategy<Value = OverrideChange> {
        prop_oneof![Just(Drain), Just(Undrain), Just(ConfiguredWeight), any::<u16>().prop_map(weight),]
    }

    proptest! {
        #[test]
        fn survives_its_file(changes in prop::collection::vec(("[ab](/[xyz])?", change()), 0..30)) {
            let mut overrides = Overrides::default();
            for (at, (on, change)) in (0..).zip(&changes) {
                overrides.change(&target(on), *change, at);
            }
            prop_assert_eq!(overrides.to_string().parse::<Overrides>().unwrap(), overrides);
        }

        #[test]
        fn reading_never_panics(text in "([a-z@= 0-9#]{0,12}\n?){0,5}") {
            let _ = text.parse::<Overrides>();
        }
    }
}
