//! `cargo xtask tidy`: the project's own rules, those that no compiler or linter knows.

mod examples;
mod gate;
mod manifests;
mod sources;

use std::fmt;
use std::path::Path;

use anyhow::{Result, bail};

use crate::workspace;

/// A broken rule.
#[derive(Debug, PartialEq, Eq)]
struct Problem {
    /// Where, from the top directory.
    file: String,
    /// What is wrong there.
    wrong: String,
    /// How to put it right.
    remedy: String,
}

/// Checks all rules and shows all problems.
pub(crate) fn run() -> Result<()> {
    let files = workspace::files()?;
    let mut problems = sources::check(&files)?;
    problems.extend(manifests::check(&workspace::metadata()?)?);
    problems.extend(examples::check(&files)?);
    problems.extend(gate::check()?);
    for problem in &problems {
        eprintln!("{problem}");
    }
    match problems.len() {
        0 => Ok(()),
        1 => bail!("tidy found a problem"),
        n => bail!("tidy found {n} problems"),
    }
}

impl Problem {
    fn new(file: &Path, wrong: impl Into<String>, remedy: impl Into<String>) -> Self {
        let file = file.strip_prefix(workspace::root()).unwrap_or(file);
        Self { file: file.display().to_string(), wrong: wrong.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}; {}", self.file, self.wrong, self.remedy)
    }
}
