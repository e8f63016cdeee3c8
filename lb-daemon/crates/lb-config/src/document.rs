//! One configuration text, read: its tree for questions about places, and its raw tables.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use toml::de::{DeTable, DeValue};

use crate::diagnostic::{Diagnostic, Problems};
use crate::interpolate::interpolate;
use crate::raw::RawFile;
use crate::source::Source;
use crate::tree::{self, Tie};
use crate::wording::reword;

/// Most syntax errors that are reported for one file: after some they are consequences of each other.
const MAX_SYNTAX_ERRORS: usize = 20;

/// A text that has been parsed as far as its mistakes allow.
#[derive(Debug)]
pub(crate) struct Document<'s> {
    source: &'s Source,
    /// Everything that is in the file, also what could not be deserialised.
    tree: DeTable<'s>,
    /// The parts that have the right shape.
    pub(crate) raw: RawFile,
}

impl<'s> Document<'s> {
    /// Reads `source`; what is wrong with it goes to `problems`.
    pub(crate) fn read(
        source: &'s Source,
        env: &dyn Fn(&str) -> Option<String>,
        problems: &mut Problems,
    ) -> Self {
        let (tree, syntax_errors) = parse(source);
        let tree = tree::check_depth(tree);
        if tree.is_none() {
            problems.error(Diagnostic::new(
                source,
                0..0,
                String::new(),
                "tables and lists are nested too deeply",
            ));
            problems.mark_incomplete();
        }
        let mut document = Self { source, tree: tree.unwrap_or_default(), raw: RawFile::default() };

        let damage = document.report_syntax(syntax_errors, problems);
        let faults = document.interpolate(env, &damage, problems);
        document.deserialise(&faults, &damage, problems);
        document
    }

    /// Reports syntax errors: of each line the first, the others being consequences.
    fn report_syntax(&self, mut errors: Vec<toml::de::Error>, problems: &mut Problems) -> Damage {
        let mut damage = Damage::default();
        if !errors.is_empty() {
            problems.mark_incomplete();
        }
        errors.sort_by_key(|error| error.span().map_or(0, |span| span.start));
        let line = |error: &toml::de::Error| self.source.line_of(error.span().map_or(0, |span| span.start));
        for errors in errors.chunk_by(|a, b| line(a) == line(b)) {
            let Some(first) = errors.first() else { continue };
            damage.add(self.source, line(first));
            let too_many = damage.lines.len() > MAX_SYNTAX_ERRORS;
            // The next key was taken for an element, and so is the rest of the file.
            let unclosed = errors.iter().any(|error| error.message().starts_with("unexpected `=` in array"));
            let message = if too_many {
                "more syntax errors from here on: correct those before first"
            } else if unclosed {
                "the list before this line is not closed, expected `]`"
            } else {
                first.message()
            };
            let span = first.span().unwrap_or(0..0);
            problems.error(Diagnostic::new(self.source, span, String::new(), message));
            if too_many || unclosed {
                damage.displaced_from = damage.displaced_from.or(Some(line(first)));
                break;
            }
        }
        damage
    }

    /// Completes strings; returns the places of those that could not be.
    fn interpolate(
        &mut self,
        env: &dyn Fn(&str) -> Option<String>,
        damage: &Damage,
        problems: &mut Problems,
    ) -> Vec<Range<usize>> {
        let mut errors = Vec::new();
        interpolate(&mut self.tree, env, &mut |span, error| errors.push((span, error)));
        for (span, error) in &errors {
            if !damage.covers(self.source, span) {
                problems.error(self.diagnostic(span.clone(), &error.to_string()));
            }
        }
        errors.into_iter().map(|(span, _)| span).collect()
    }

    fn deserialise(&mut self, faults: &[Range<usize>], damage: &Damage, problems: &mut Problems) {
        let raw = tree::deserialise(&self.tree, faults, |error| {
            let span = error.span().unwrap_or(0..0);
            if damage.covers(self.source, &span) {
                return;
            }
            let path = tree::find(&self.tree, &span, Tie::Outer);
            let value = path.as_ref().and_then(|path| tree::get(&self.tree, path));
            let wording = reword(error.message(), value);
            let key = path.map(|path| path.to_string()).unwrap_or_default();
            let diagnostic = Diagnostic::new(self.source, span, key, &wording.message);
            problems.error(match wording.note {
                Some(note) => diagnostic.with_note(&note),
                None => diagnostic,
            });
        });
        match raw {
            Some(raw) => self.raw = raw,
            None => {
                problems.mark_incomplete();
                problems
                    .error(self.diagnostic_at_top("too many mistakes to look for more: correct these first"));
            }
        }
    }

    /// A problem at `span`, under the path of the key that stands there.
    pub(crate) fn diagnostic(&self, span: Range<usize>, message: &str) -> Diagnostic {
        let key = tree::find(&self.tree, &span, Tie::Inner).map(|path| path.to_string()).unwrap_or_default();
        Diagnostic::new(self.source, span, key, message)
    }

    /// Whether the table that stands at `span` has `key` in the file, even if its value was of no use.
    pub(crate) fn has_key(&self, span: &Range<usize>, key: &str) -> bool {
        self.value_at(span).and_then(DeValue::as_table).is_some_and(|table| table.contains_key(key))
    }

    /// Whether the list that stands at `span` is empty in the file, not only of what is of use.
    pub(crate) fn is_empty_list(&self, span: &Range<usize>) -> bool {
        self.value_at(span).and_then(DeValue::as_array).is_some_and(|list| list.is_empty())
    }

    /// Whether the table that stands at `span` is empty in the file, not only of what is of use.
    pub(crate) fn is_empty_table(&self, span: &Range<usize>) -> bool {
        self.value_at(span).and_then(DeValue::as_table).is_some_and(|table| table.is_empty())
    }

    fn value_at(&self, span: &Range<usize>) -> Option<&DeValue<'s>> {
        tree::get(&self.tree, &tree::find(&self.tree, span, Tie::Inner)?)
    }

    /// A problem with the file as a whole, such as that something is not in it.
    pub(crate) fn diagnostic_at_top(&self, message: &str) -> Diagnostic {
        Diagnostic::new(self.source, 0..0, String::new(), message)
    }

    /// Where the top-level key `key` is, and its value.
    pub(crate) fn root_key(&self, key: &str) -> Option<(Range<usize>, &DeValue<'s>)> {
        self.tree.get_key_value(key).map(|(key, value)| (key.span(), value.get_ref()))
    }

    /// The keys of the top-level table `section`, with their places: what the file says, whether of use or not.
    pub(crate) fn keys_of(&self, section: &str) -> impl Iterator<Item = (&str, Range<usize>)> {
        let table = self.tree.get(section).and_then(|section| section.get_ref().as_table());
        table.into_iter().flat_map(|table| table.keys().map(|key| (key.get_ref().as_ref(), key.span())))
    }

    /// `path` as it is for the process: in the file, it is relative to the file's directory.
    pub(crate) fn resolve(&self, path: &Path) -> PathBuf {
        self.source.directory.join(path)
    }

    /// The place of `span`, to be named in a message about another place.
    pub(crate) fn place(&self, span: &Range<usize>) -> Place<'_> {
        Place { source: self.source, offset: span.start }
    }
}

/// The tree of as much of `source` as can be read, and the syntax errors.
fn parse(source: &Source) -> (DeTable<'_>, Vec<toml::de::Error>) {
    let (tree, mut errors) = DeTable::parse_recoverable(&source.text);
    // At a key without a value the parser ends its tree. Without such lines it gives us the rest.
    let valueless: BTreeSet<usize> = errors
        .iter()
        .filter(|error| error.message().starts_with("key with no value"))
        .filter_map(|error| error.span())
        .map(|span| source.line_of(span.start))
        .collect();
    if valueless.is_empty() {
        return (tree.into_inner(), errors);
    }
    tree::dismantle(tree.into_inner());
    let (tree, rest) = DeTable::parse_recoverable(source.without_lines(&valueless));
    // Errors of both are reported once, as only the first of a line is.
    errors.extend(rest);
    (tree.into_inner(), errors)
}

/// A place, shown as `file:line:column`.
pub(crate) struct Place<'s> {
    source: &'s Source,
    offset: usize,
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let position = self.source.position(self.offset);
        write!(f, "{}:{}:{}", self.source.name, position.line, position.column)
    }
}

/// The lines with syntax errors, where later stages would find only consequences.
#[derive(Debug, Default)]
struct Damage {
    lines: BTreeSet<usize>,
    /// The line from which on nothing is where it belongs: after a broken `[header]`, keys are in the wrong table, and
    /// in a list that is not closed everything is an element.
    displaced_from: Option<usize>,
}

impl Damage {
    fn add(&mut self, source: &Source, line: usize) {
        self.lines.insert(line);
        if source.line(line).trim_start().starts_with('[') {
            self.displaced_from = self.displaced_from.or(Some(line));
        }
    }

    fn covers(&self, source: &Source, span: &Range<usize>) -> bool {
        let line = source.line_of(span.start);
        // A value that the parser made up has an empty span.
        let made_up = span.is_empty() && !self.lines.is_empty();
        made_up || self.lines.contains(&line) || self.displaced_from.is_some_and(|from| from <= line)
    }
}
