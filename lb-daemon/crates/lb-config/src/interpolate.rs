//! `${NAME}` and `${NAME:-default}` in string values.
//!
//! Works on values of the parsed tree, so that what a variable holds can never change the structure of the file, and
//! once, so that a `$` in a variable's value means nothing.

use std::borrow::Cow;
use std::fmt;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

/// Why a string could not be completed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum InterpolateError {
    Undefined(String),
    Unterminated,
    BadName(String),
    LoneDollar,
}

impl fmt::Display for InterpolateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Undefined(name) => write!(
                f,
                "the environment variable {name} is not set; set it, or give a default as ${{{name}:-default}}"
            ),
            Self::Unterminated => f.write_str("there is no } after ${; write $$ for a plain $"),
            Self::BadName(name) => write!(
                f,
                "{name:?} is not the name of an environment variable: letters, digits and _, no digit first"
            ),
            Self::LoneDollar => f.write_str(
                "a single $ means nothing; write ${NAME} for an environment variable, $$ for a plain $",
            ),
        }
    }
}

/// Completes all strings of `tree`; what could not be completed stays as it is and goes to `report`.
pub(crate) fn interpolate<'s>(
    tree: &mut DeTable<'s>,
    env: &dyn Fn(&str) -> Option<String>,
    report: &mut dyn FnMut(std::ops::Range<usize>, InterpolateError),
) {
    tree.iter_mut().for_each(|(_, value)| interpolate_value(value, env, report));
}

fn interpolate_value(
    value: &mut Spanned<DeValue<'_>>,
    env: &dyn Fn(&str) -> Option<String>,
    report: &mut dyn FnMut(std::ops::Range<usize>, InterpolateError),
) {
    let span = value.span();
    match value.get_mut() {
        DeValue::String(text) if text.contains('$') => match complete(text, env) {
            Ok(complete) => *text = Cow::Owned(complete),
            Err(error) => report(span, error),
        },
        DeValue::Array(array) => array.iter_mut().for_each(|value| interpolate_value(value, env, report)),
        DeValue::Table(table) => interpolate(table, env, report),
        DeValue::String(_)
        | DeValue::Integer(_)
        | DeValue::Float(_)
        | DeValue::Boolean(_)
        | DeValue::Datetime(_) => {}
    }
}

fn complete(text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, InterpolateError> {
    let mut complete = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('$') {
        complete.push_str(before);
        if let Some(after) = after.strip_prefix('$') {
            complete.push('$');
            rest = after;
            continue;
        }
        let reference = after.strip_prefix('{').ok_or(InterpolateError::LoneDollar)?;
        let (reference, after) = reference.split_once('}').ok_or(InterpolateError::Unterminated)?;
        complete.push_str(&resolve(reference, env)?);
        rest = after;
    }
    complete.push_str(rest);
    Ok(complete)
}

/// The value of `NAME` or `NAME:-default`; as in a shell, the default also stands in for an empty value.
fn resolve(reference: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<String, InterpolateError> {
    let (name, default) = match reference.split_once(":-") {
        Some((name, default)) => (name, Some(default)),
        None => (reference, None),
    };
    let begins_well = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_');
    if !begins_well || !name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
        return Err(InterpolateError::BadName(name.into()));
    }
    match (env(name), default) {
        (Some(value), None) => Ok(value),
        (Some(value), Some(_)) if !value.is_empty() => Ok(value),
        (_, Some(default)) => Ok(default.into()),
        (None, None) => Err(InterpolateError::Undefined(name.into())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn complete_with_env(text: &str) -> Result<String, String> {
        let env = |name: &str| match name {
            "HOST" => Some("10.0.0.1".to_owned()),
            "EMPTY" => Some(String::new()),
            "TRICK" => Some("${HOST}$".to_owned()),
            _ => None,
        };
        complete(text, &env).map_err(|error| error.to_string())
    }

    #[test]
    fn replaces_once() {
        assert_eq!(complete_with_env("${HOST}:80"), Ok("10.0.0.1:80".into()));
        assert_eq!(complete_with_env("$$${HOST}$$"), Ok("$10.0.0.1$".into()));
        assert_eq!(complete_with_env("${TRICK}"), Ok("${HOST}$".into()));
        assert_eq!(complete_with_env("$${HOST}"), Ok("${HOST}".into()));
        assert_eq!(complete_with_env("a${EMPTY}b"), Ok("ab".into()));
    }

    #[test]
    fn defaults_stand_in_for_unset_and_empty() {
        assert_eq!(complete_with_env("${NOPE:-127.0.0.1}:80"), Ok("127.0.0.1:80".into()));
        assert_eq!(complete_with_env("${EMPTY:-x}"), Ok("x".into()));
        assert_eq!(complete_with_env("${HOST:-x}"), Ok("10.0.0.1".into()));
        assert_eq!(complete_with_env("${NOPE:-}"), Ok(String::new()));
    }

    #[test]
    fn errors_say_what_to_write() {
        assert!(complete_with_env("${NOPE}").unwrap_err().contains("NOPE is not set"));
        assert!(complete_with_env("${HOST").unwrap_err().contains("no } after"));
        assert!(complete_with_env("${}").unwrap_err().contains("is not the name"));
        assert!(complete_with_env("${1A}").unwrap_err().contains("is not the name"));
        assert!(complete_with_env("$HOST").unwrap_err().contains("${NAME}"));
        assert!(complete_with_env("cost: 5$").unwrap_err().contains("$$"));
    }
}
