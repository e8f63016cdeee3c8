//! The example configurations load, without a warning.

use std::ffi::OsStr;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::tidy::Problem;
use crate::workspace::root;

/// Loads every main file below `config/`. Included files have no version of their own and are seen through those.
pub(super) fn check(files: &[PathBuf]) -> Result<Vec<Problem>> {
    let directory = root().join("config");
    let mut problems = Vec::new();
    let examples = files.iter().filter(|path| path.starts_with(&directory));
    for path in examples.filter(|path| path.extension() == Some(OsStr::new("toml"))) {
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        if !is_main_file(&text) {
            continue;
        }
        let complaints = match lb_config::load(path, &|name| std::env::var(name).ok()) {
            Ok(loaded) => loaded.warnings.iter().map(ToString::to_string).collect(),
            Err(errors) => vec![errors.to_string()],
        };
        let problem = |complaint| Problem::new(path, complaint, "examples have to load without a complaint");
        problems.extend(complaints.into_iter().map(problem));
    }
    Ok(problems)
}

/// Whether there is a `version` before the first table.
fn is_main_file(text: &str) -> bool {
    let top = text.lines().map(str::trim_start).take_while(|line| !line.starts_with('['));
    let mut keys = top.filter_map(|line| line.split_once('=')).map(|(key, _)| key.trim_end());
    keys.any(|key| key == "version")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_main_file_states_its_version_at_the_top() {
        assert!(is_main_file("# why\n\nversion = 1\n[pools.a]\n"));
        assert!(!is_main_file("# version = 1\n[pools.a]\nversion = 1\n"));
        assert!(!is_main_file("[pools.a]\nbackends = []\n"));
    }
}
