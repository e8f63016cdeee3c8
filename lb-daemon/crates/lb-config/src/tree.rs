//! Work on the spanned TOML tree: find what stands at a place, and deserialise in spite of mistakes.
//!
//! The walks here recurse, all but [`check_depth`], which comes first and lets no tree pass that is too deep for them.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::Deserialize;
use toml::Spanned;
use toml::de::{DeArray, DeTable, DeValue, Deserializer};

/// Deepest nesting that is accepted. The format itself needs seven levels.
const MAX_DEPTH: usize = 32;

/// Most mistakes that are reported for one file before deserialisation gives up: each costs a pass over the tree.
const MAX_MISTAKES: usize = 100;

/// A path from the root of a file to a value.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct KeyPath<'t>(Vec<Step<'t>>);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Step<'t> {
    Key(Cow<'t, str>),
    Index(usize),
}

impl KeyPath<'_> {
    fn into_owned(self) -> KeyPath<'static> {
        let owned = |step: Step<'_>| match step {
            Step::Key(key) => Step::Key(key.into_owned().into()),
            Step::Index(index) => Step::Index(index),
        };
        KeyPath(self.0.into_iter().map(owned).collect())
    }
}

impl fmt::Display for KeyPath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, step) in self.0.iter().enumerate() {
            let dot = if at == 0 { "" } else { "." };
            match step {
                Step::Index(index) => write!(f, "[{index}]")?,
                Step::Key(key) if is_bare(key) => write!(f, "{dot}{key}")?,
                Step::Key(key) => write!(f, "{dot}{key:?}")?,
            }
        }
        Ok(())
    }
}

/// Whether TOML takes `key` without quotes.
pub(crate) fn is_bare(key: &str) -> bool {
    !key.is_empty() && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
}

/// The tree, if it is not nested too deeply to walk.
pub(crate) fn check_depth(tree: DeTable<'_>) -> Option<DeTable<'_>> {
    if is_deep(&tree) {
        dismantle(tree);
        return None;
    }
    Some(tree)
}

fn is_deep(tree: &DeTable<'_>) -> bool {
    let mut pending: Vec<(&DeValue<'_>, usize)> = tree.values().map(|value| (value.get_ref(), 1)).collect();
    while let Some((value, depth)) = pending.pop() {
        if depth > MAX_DEPTH {
            return true;
        }
        if let Some(table) = value.as_table() {
            pending.extend(table.values().map(|value| (value.get_ref(), depth + 1)));
        } else if let Some(array) = value.as_array() {
            pending.extend(array.iter().map(|value| (value.get_ref(), depth + 1)));
        }
    }
    false
}

/// Drops a tree level by level, as its own drop would recurse.
pub(crate) fn dismantle(tree: DeTable<'_>) {
    let mut pending: Vec<DeValue<'_>> = vec![DeValue::Table(tree)];
    while let Some(value) = pending.pop() {
        match value {
            DeValue::Table(table) => pending.extend(table.into_iter().map(|(_, value)| value.into_inner())),
            DeValue::Array(array) => pending.extend(array.into_iter().map(Spanned::into_inner)),
            DeValue::String(_)
            | DeValue::Integer(_)
            | DeValue::Float(_)
            | DeValue::Boolean(_)
            | DeValue::Datetime(_) => {}
        }
    }
}

/// Which of two entries is meant where one is in the other and both stand at the same place, as a list and its first
/// element do at the first `[[header]]`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Tie {
    Outer,
    Inner,
}

/// The entry whose key or value contains `span` and, of all that do, is the smallest: the span of a `[table]` is its
/// header, so an entry does not enclose its own entries.
pub(crate) fn find<'t>(tree: &'t DeTable<'_>, span: &Range<usize>, tie: Tie) -> Option<KeyPath<'t>> {
    let mut search = Search { span, tie, path: KeyPath::default(), best: None };
    search.table(tree);
    search.best.map(|(_, path)| path)
}

struct Search<'s, 't> {
    span: &'s Range<usize>,
    tie: Tie,
    path: KeyPath<'t>,
    best: Option<(usize, KeyPath<'t>)>,
}

impl<'t> Search<'_, 't> {
    fn table(&mut self, table: &'t DeTable<'_>) {
        for (key, value) in table {
            self.path.0.push(Step::Key(key.get_ref().as_ref().into()));
            self.offer(key.span());
            self.value(value);
            self.path.0.pop();
        }
    }

    fn value(&mut self, value: &'t Spanned<DeValue<'_>>) {
        self.offer(value.span());
        if let Some(table) = value.get_ref().as_table() {
            self.table(table);
        } else if let Some(array) = value.get_ref().as_array() {
            for (index, value) in array.iter().enumerate() {
                self.path.0.push(Step::Index(index));
                self.value(value);
                self.path.0.pop();
            }
        }
    }

    fn offer(&mut self, candidate: Range<usize>) {
        let contains = candidate.start <= self.span.start && self.span.end <= candidate.end;
        let better = self.best.as_ref().is_none_or(|&(size, _)| match self.tie {
            Tie::Outer => candidate.len() < size,
            Tie::Inner => candidate.len() <= size,
        });
        if contains && better {
            self.best = Some((candidate.len(), self.path.clone()));
        }
    }
}

/// The value at `path`.
pub(crate) fn get<'t, 's>(tree: &'t DeTable<'s>, path: &KeyPath<'_>) -> Option<&'t DeValue<'s>> {
    let (first, rest) = path.0.split_first()?;
    let Step::Key(key) = first else { return None };
    let first = tree.get(key.as_ref())?.get_ref();
    rest.iter().try_fold(first, |value, step| {
        match step {
            Step::Key(key) => value.get(key.as_ref()),
            Step::Index(index) => value.get(*index),
        }
        .map(Spanned::get_ref)
    })
}

/// Takes the entry at `path` out.
fn remove(tree: &mut DeTable<'_>, path: &KeyPath<'_>) {
    let Some((last, parents)) = path.0.split_last() else { return };
    let Some((first, parents)) = parents.split_first() else {
        if let Step::Key(key) = last {
            tree.remove(key.as_ref());
        }
        return;
    };
    let Step::Key(first) = first else { return };
    let Some(mut parent) = tree.get_mut(first.as_ref()) else { return };
    for step in parents {
        let child = match (parent.get_mut(), step) {
            (DeValue::Table(table), Step::Key(key)) => table.get_mut(key.as_ref()),
            (DeValue::Array(array), Step::Index(index)) => array.get_mut(*index),
            _ => None,
        };
        match child {
            Some(child) => parent = child,
            None => return,
        }
    }
    match (parent.get_mut(), last) {
        (DeValue::Table(table), Step::Key(key)) => {
            table.remove(key.as_ref());
        }
        (DeValue::Array(array), Step::Index(index)) => {
            let kept = std::mem::replace(array, DeArray::new())
                .into_iter()
                .enumerate()
                .filter(|(at, _)| at != index);
            *array = kept.map(|(_, value)| value).collect::<DeArray<'_>>();
        }
        _ => {}
    }
}

/// Deserialises what can be. Each mistake is given to `report`, then the smallest entry around it is left out and the
/// rest tried again, so that one mistake hides no other. What stands at `faults` is left out from the start. `None` when
/// that leads nowhere.
pub(crate) fn deserialise<'s, T: Deserialize<'s>>(
    tree: &DeTable<'s>,
    faults: &[Range<usize>],
    mut report: impl FnMut(&toml::de::Error),
) -> Option<T> {
    let mut rest = tree.clone();
    for fault in faults {
        let path = find(&rest, fault, Tie::Outer)?.into_owned();
        remove(&mut rest, &path);
    }
    for _ in 0..MAX_MISTAKES {
        match T::deserialize(Deserializer::from(Spanned::new(0..0, rest.clone()))) {
            Ok(value) => return Some(value),
            Err(error) => {
                report(&error);
                let path = find(&rest, &error.span()?, Tie::Outer)?.into_owned();
                remove(&mut rest, &path);
            }
        }
    }
    None
}
