//! serde's messages in the words of the file format.
//!
//! toml's errors carry what serde made of the mistake as text only, so this takes those sentences apart. What it does not
//! recognise it passes on.

use toml::de::DeValue;

use crate::suggest;

/// A message, and what may be added under the snippet.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Wording {
    pub(crate) message: String,
    pub(crate) note: Option<String>,
}

/// The wording of `message`, which is about `value` (where it is not about the key).
pub(crate) fn reword(message: &str, value: Option<&DeValue<'_>>) -> Wording {
    let plain = |message: String| Wording { message, note: None };
    if let Some((word, allowed)) = quoted_choice(message, "unknown field `") {
        // How toml presents a date to a table's visitor.
        if word.starts_with("$__toml_private") {
            return plain("no key of this file takes a date; put it in quotes if it is meant as text".into());
        }
        return choice("unknown key", word, &allowed);
    }
    if let Some((word, allowed)) = quoted_choice(message, "unknown variant `") {
        return choice(&format!("{word:?} is not possible here"), word, &allowed);
    }
    if (message.starts_with("invalid type: ") || message.starts_with("invalid value: "))
        && let Some((_, expected)) = message.rsplit_once(", expected ")
    {
        let expected = match expected {
            "a sequence" => "a list in brackets, for example [\"…\", \"…\"]",
            "a boolean" => "true or false",
            "a string" => "a text in quotes",
            other => other,
        };
        let found = value.map_or_else(String::new, |value| format!(", found {}", describe(value)));
        return plain(format!("expected {expected}{found}"));
    }
    plain(message.to_owned())
}

fn choice(what: &str, word: &str, allowed: &[&str]) -> Wording {
    let suggestion = suggest::did_you_mean(word, allowed.iter().copied());
    Wording {
        message: format!("{what}{suggestion}"),
        note: Some(format!(
            "expected {}{}",
            if allowed.len() > 1 { "one of " } else { "" },
            allowed.join(", ")
        )),
    }
}

/// Takes apart ``unknown field `word`, expected `a` or `b` `` and its like.
fn quoted_choice<'m>(message: &'m str, start: &str) -> Option<(&'m str, Vec<&'m str>)> {
    let (word, expected) = message.strip_prefix(start)?.rsplit_once("`, expected ")?;
    Some((word, expected.split('`').skip(1).step_by(2).collect()))
}

fn describe(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("the text {text:?}"),
        DeValue::Integer(number) => format!("the number {number}"),
        DeValue::Float(number) => format!("the number {number}"),
        DeValue::Boolean(value) => value.to_string(),
        DeValue::Datetime(_) => "a date".into(),
        DeValue::Array(_) => "a list".into(),
        DeValue::Table(_) => "a table".into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_keys_get_a_suggestion_and_the_choice() {
        let wording = reword("unknown field `bnid`, expected one of `bind`, `pool`", None);
        assert_eq!(wording.message, "unknown key; did you mean \"bind\"?");
        assert_eq!(wording.note.unwrap(), "expected one of bind, pool");
        let odd = reword("unknown field `a`, expected `b` or `, expected `bind` or `pool`", None);
        assert_eq!(odd.note.unwrap(), "expected one of bind, pool");
    }

    #[test]
    fn types_are_those_of_toml() {
        let (value, _) = DeValue::parse_recoverable("0x1F");
        let wording = reword("invalid type: integer `31`, expected a boolean", Some(value.get_ref()));
        assert_eq!(wording.message, "expected true or false, found the number 0x1F");
    }

    #[test]
    fn other_messages_pass() {
        assert_eq!(reword("what", None).message, "what");
    }
}
