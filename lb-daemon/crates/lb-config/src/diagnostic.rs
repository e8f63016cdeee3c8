//! What is wrong with a configuration, where, and how an operator reads it.

use std::fmt;
use std::ops::Range;

use crate::source::{Position, Source};

/// Most characters of a message: it may quote a value, and a value may be megabytes.
const MAX_MESSAGE: usize = 500;

/// One problem: where it is, which key it concerns, what is wrong and what to do.
///
/// Its text is one line for people and for `grep`, then the line of the file with the place marked:
///
/// ```text
/// sluice.toml:12:8: listeners.web.pool: there is no pool "wbe"; did you mean "web"?
///    |
/// 12 | pool = "wbe"
///    |        ^^^^^
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    file: String,
    place: Option<Place>,
    key: String,
    message: String,
    note: Option<String>,
    /// Sorts by file, then by place in it.
    order: (usize, usize),
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Place {
    position: Position,
    snippet: String,
}

impl Diagnostic {
    /// A problem at `span` of `source`, in the value of `key` (empty where there is no key).
    pub(crate) fn new(source: &Source, span: Range<usize>, key: String, message: &str) -> Self {
        Self {
            file: source.name.clone(),
            place: Some(Place { position: source.position(span.start), snippet: source.snippet(&span) }),
            key: tame(&key),
            message: tame(message),
            note: None,
            order: (source.order, span.start),
        }
    }

    /// A problem with a whole file, such as that it cannot be read.
    pub(crate) fn whole_file(file: String, message: &str) -> Self {
        Self { file, place: None, key: String::new(), message: tame(message), note: None, order: (0, 0) }
    }

    /// Adds a line under the snippet.
    pub(crate) fn with_note(mut self, note: &str) -> Self {
        self.note = Some(tame(note));
        self
    }

    /// The file, as named on the command line or found by an `include`.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The line, counted from 1; `None` if the problem is the file itself.
    pub fn line(&self) -> Option<usize> {
        self.place.as_ref().map(|place| place.position.line)
    }

    /// The column in characters, counted from 1; `None` if the problem is the file itself.
    pub fn column(&self) -> Option<usize> {
        self.place.as_ref().map(|place| place.position.column)
    }

    /// The key path, such as `pools.web.backends[1].weight`; empty where no key is concerned.
    pub fn key(&self) -> &str {
        &self.key
    }

    /// What is wrong, without place and key.
    pub fn message(&self) -> &str {
        &self.message
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(Place { position: Position { line, column }, .. }) = self.place {
            write!(f, ":{line}:{column}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(place) = &self.place {
            write!(f, "\n{}", place.snippet)?;
        }
        if let Some(note) = &self.note {
            let gutter = self.line().map_or(1, |line| line.to_string().len());
            write!(f, "\n{:gutter$} = {note}", "")?;
        }
        Ok(())
    }
}

/// Everything that is wrong with a configuration, in file order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigErrors {
    diagnostics: Vec<Diagnostic>,
}

impl ConfigErrors {
    /// The problems, at least one, in file order.
    pub fn diagnostics(&self) -> &[Diagnostic] {
        &self.diagnostics
    }
}

impl From<Box<Diagnostic>> for ConfigErrors {
    fn from(diagnostic: Box<Diagnostic>) -> Self {
        Self { diagnostics: vec![*diagnostic] }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, diagnostic) in self.diagnostics.iter().enumerate() {
            let gap = if index == 0 { "" } else { "\n\n" };
            write!(f, "{gap}{diagnostic}")?;
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}

/// Collects problems while a configuration is read.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    errors: Vec<Diagnostic>,
    warnings: Vec<Diagnostic>,
    /// Something could not be read at all, so what seems to be missing may be in there.
    incomplete: bool,
}

impl Problems {
    pub(crate) fn error(&mut self, diagnostic: Diagnostic) {
        self.errors.push(diagnostic);
    }

    /// Reports the absence of something, unless it may well be in a part that could not be read.
    pub(crate) fn absence(&mut self, diagnostic: Diagnostic) {
        if !self.incomplete {
            self.errors.push(diagnostic);
        }
    }

    pub(crate) fn warning(&mut self, diagnostic: Diagnostic) {
        self.warnings.push(diagnostic);
    }

    pub(crate) fn mark_incomplete(&mut self) {
        self.incomplete = true;
    }

    /// The warnings, or all errors if there is any.
    pub(crate) fn finish(mut self) -> Result<Vec<Diagnostic>, ConfigErrors> {
        if self.errors.is_empty() {
            self.warnings.sort_by_key(|diagnostic| diagnostic.order);
            return Ok(self.warnings);
        }
        self.errors.sort_by_key(|diagnostic| diagnostic.order);
        Err(ConfigErrors { diagnostics: self.errors })
    }
}

/// A text from a file as it may be shown on a terminal: bounded, and without control characters.
fn tame(text: &str) -> String {
    let mut tame = String::new();
    for (count, c) in text.chars().enumerate() {
        if count == MAX_MESSAGE {
            tame.push('…');
            break;
        }
        if c.is_control() {
            tame.extend(c.escape_default());
        } else {
            tame.push(c);
        }
    }
    tame
}
