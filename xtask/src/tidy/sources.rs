//! Rules for Rust files.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use crate::tidy::Problem;

/// Where a file stops to be one concept.
const MOST_LINES: usize = 800;

/// Checks every Rust file of `files`.
pub(super) fn check(files: &[PathBuf]) -> Result<Vec<Problem>> {
    let mut problems = Vec::new();
    for path in files.iter().filter(|path| path.extension() == Some(OsStr::new("rs"))) {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        problems.extend(check_file(path, &text));
    }
    Ok(problems)
}

fn check_file(path: &Path, text: &str) -> Vec<Problem> {
    let mut problems = Vec::new();
    if !text.starts_with("//!") {
        let remedy = "begin with `//!`: what the module owns, and what always holds there";
        problems.push(Problem::new(path, "the file does not say what it is for", remedy));
    }
    let lines = text.lines().count();
    if lines > MOST_LINES && !is_test(path) {
        let wrong = format!("{lines} lines are more than one concept");
        problems.push(Problem::new(path, wrong, format!("split it, {MOST_LINES} lines are the limit")));
    }
    problems
}

/// Tests may be long: below a directory `tests`, or in `tests.rs`.
fn is_test(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests")
        || path.file_name() == Some(OsStr::new("tests.rs"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wrongs(path: &str, text: &str) -> Vec<String> {
        check_file(Path::new(path), text).into_iter().map(|problem| problem.wrong).collect()
    }

    #[test]
    fn a_module_without_docs_is_a_problem() {
        assert_eq!(wrongs("a/b.rs", "//! Owns b.\nfn b() {}\n"), [""; 0]);
        assert_eq!(wrongs("a/b.rs", "// b\n"), ["the file does not say what it is for"]);
        assert_eq!(wrongs("a/b.rs", "\n//! late\n").len(), 1);
    }

    #[test]
    fn only_tests_may_be_long() {
        let long = format!("//!\n{}", "\n".repeat(MOST_LINES));
        assert_eq!(wrongs("a/b.rs", &long), ["801 lines are more than one concept"]);
        assert_eq!(wrongs("a/b/tests.rs", &long), [""; 0]);
        assert_eq!(wrongs("tests/e2e/b.rs", &long), [""; 0]);
        assert_eq!(wrongs("a/b.rs", long.strip_suffix('\n').unwrap()), [""; 0]);
    }
}
