//! The gate runs what the README tells people to run.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::tidy::Problem;
use crate::workspace::root;

/// Compares README.md with `.ci/run`.
pub(super) fn check() -> Result<Option<Problem>> {
    let gate = root().join(".ci/run");
    let script = fs::read_to_string(&gate).with_context(|| gate.display().to_string())?;
    let readme = root().join("README.md");
    // A README that is missing mentions nothing.
    let text = fs::read_to_string(&readme).unwrap_or_default();
    Ok(check_texts(&readme, &text, &script))
}

fn check_texts(readme: &Path, text: &str, script: &str) -> Option<Problem> {
    let command = script.lines().map(str::trim).rfind(|line| !line.is_empty() && !line.starts_with('#'))?;
    // As a line of a code block, where a comment may follow, or between backquotes.
    let bare = |line: &str| {
        line.split(" #").next().is_some_and(|line| line.trim().trim_start_matches("$ ") == command)
    };
    let told = text.lines().any(bare) || text.contains(&format!("`{command}`"));
    (!told).then(|| {
        let wrong = format!("does not tell people to test with `{command}`, which is what .ci/run runs");
        Problem::new(readme, wrong, "make both the same command")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const SCRIPT: &str = "#!/bin/sh\ncargo xtask setup\ncargo xtask test\n# end\n";

    #[test]
    fn the_last_command_of_the_gate_is_in_the_readme() {
        let check = |text: &str| check_texts(Path::new("README.md"), text, SCRIPT).is_none();
        assert!(check("```sh\n$ cargo xtask test\n```\n"));
        assert!(check("cargo xtask test      # everything\n"));
        assert!(check("Run `cargo xtask test` to test."));
        assert!(!check("```sh\ncargo xtask test --release\n```\n"));
        assert!(!check("cargo xtask setup\n"));
    }
}
