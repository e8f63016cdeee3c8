//! Steps of a longer command: announced, timed, and named where they fail.
//!
//! All of it goes to standard error, so that the output of a command stays its own.

use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};

/// Runs one command as a step.
pub(crate) fn step(name: &str, command: &mut Command) -> Result<()> {
    let line = command_line(command);
    timed(name, &line, || {
        let status = command.status().with_context(|| format!("{name}: cannot run {line}"))?;
        if !status.success() {
            bail!("{name} failed ({status}); the command was\n  {line}");
        }
        Ok(())
    })
}

/// Runs one of our own functions as a step; `command` repeats it alone.
pub(crate) fn timed(name: &str, command: &str, act: impl FnOnce() -> Result<()>) -> Result<()> {
    eprintln!("── {name}: {command}");
    let began = Instant::now();
    act()?;
    eprintln!("   {name}: {:.1} s", began.elapsed().as_secs_f64());
    Ok(())
}

/// A command as one would type it, with the variables that it sets.
pub(crate) fn command_line(command: &Command) -> String {
    let variables = command.get_envs().filter_map(|(name, value)| {
        Some(format!("{}={}", name.to_string_lossy(), quote(&value?.to_string_lossy())))
    });
    let program = std::path::Path::new(command.get_program()).file_name().unwrap_or(command.get_program());
    let words = std::iter::once(program).chain(command.get_args()).map(|word| quote(&word.to_string_lossy()));
    variables.chain(words).collect::<Vec<_>>().join(" ")
}

fn quote(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_=./:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_line_can_be_pasted() {
        let mut command = Command::new("/usr/bin/cargo");
        command.args(["test", "it's", "a b"]).env("RUSTC_BOOTSTRAP", "1").env_remove("HOME");
        assert_eq!(command_line(&command), r"RUSTC_BOOTSTRAP=1 cargo test 'it'\''s' 'a b'");
    }

    #[test]
    fn a_failed_step_says_its_command() {
        let error = step("fail", Command::new("false").arg("x")).unwrap_err().to_string();
        assert!(error.contains("false x"), "{error}");
    }
}
