//! The operator's reference page, from the JSON Schema.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::schema::inline_schema;

/// What precedes the tables: the notation that all of them share.
const INTRODUCTION: &str = "\
# Configuration reference

<!-- Generated from the doc comments in lb-config/src/raw: edit those. -->

A configuration is a [TOML](https://toml.io) file. Unknown keys are errors. `sluice check -c FILE` reports everything that
is wrong, with file, line and column; `--print-effective` shows the configuration with every default written out.

- A **duration** is a text with units: `\"250ms\"`, `\"30s\"`, `\"1m 30s\"`. The units are `d`, `h`, `m`, `s`, `ms`, `us` and
  `ns`; the longest duration is `\"365d\"`. Where it says so, `\"off\"` stands for never.
- A **size** is a text with its unit: `\"512B\"`, `\"4KiB\"`, `\"1MiB\"`, `\"2GiB\"`. A **rate** is a size per second: `\"1KiB/s\"`.
- An **address** is an IP address. IPv6 addresses have brackets: `\"[2001:db8::1]:80\"`.
- A **DNS name** is taken as it is, complete with or without a last dot: `\"app.example.com\"`.
- A **path** that is relative is relative to the file that says it.
- A **network** is an address with a prefix length, `\"10.0.0.0/8\"`, or a single address.
- A **name** has letters, digits and `_ - . : [ ]`, at most 128. In a `[header]` it needs quotes unless it consists of
  letters, digits, `_` and `-`.
- `${NAME}` in a text value is replaced by the environment variable of that name, `${NAME:-default}` by the default if the
  variable is unset or empty; `$$` is a plain `$`. What a variable holds is not looked through again.
";

/// The reference of the file format as Markdown.
pub fn reference_markdown() -> String {
    let mut page = INTRODUCTION.to_owned();
    write_table(&mut page, "", &inline_schema());
    page
}

/// Writes the section of the table at `path` and, after it, those of the tables in it.
fn write_table(page: &mut String, path: &str, schema: &Value) {
    let heading = if path.is_empty() { "Top of the file".to_owned() } else { format!("`{path}`") };
    let _ = writeln!(page, "\n## {heading}\n\n{}\n", description(schema));
    let _ = writeln!(page, "| key | type | default | meaning |\n| --- | --- | --- | --- |");
    let empty = Map::new();
    let keys = schema.get("properties").and_then(Value::as_object).unwrap_or(&empty);
    for (key, value) in keys {
        let kind = kind(value);
        let default = default(key, value, schema);
        let _ =
            writeln!(page, "| `{key}` | {kind} | {default} | {} |", description(value).replace('|', "\\|"));
    }
    if let Some(example) = schema.get("x-example").and_then(Value::as_str) {
        let _ = writeln!(page, "\n```toml\n{}\n```", example.trim_end());
    }
    for (key, value) in keys {
        if let Some((path, schema)) = table_below(path, key, value) {
            write_table(page, &path, schema);
        }
    }
}

/// The table that `key` of the table at `path` holds, if it holds one, and how its header is written.
fn table_below<'s>(path: &str, key: &str, value: &'s Value) -> Option<(String, &'s Value)> {
    let path = path.trim_matches(['[', ']']);
    let path = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
    // Explained in the section that this names.
    if value.get("x-explained").is_some() {
        return None;
    }
    if value.get("properties").is_some() {
        return Some((format!("[{path}]"), value));
    }
    if let Some(named) = value.get("additionalProperties").filter(|named| named.get("properties").is_some()) {
        return Some((format!("[{path}.NAME]"), named));
    }
    if let Some(items) = value.get("items").filter(|items| items.get("properties").is_some()) {
        return Some((format!("[[{path}]]"), items));
    }
    let (header, choices) = match value.get("items") {
        Some(items) => (format!("[[{path}]]"), items.get("anyOf")?),
        None => (format!("[{path}]"), value.get("anyOf")?),
    };
    let mut choices = choices.as_array()?.iter();
    choices.find(|choice| choice.get("properties").is_some()).map(|table| (header, table))
}

/// What kind of value a key takes.
fn kind(schema: &Value) -> String {
    let number = |key: &str| schema.get(key).and_then(Value::as_u64);
    if let Some(title) = schema.get("title").and_then(Value::as_str) {
        return title.to_owned();
    }
    if let Some(only) = schema.get("const") {
        return format!("`{only}`");
    }
    if let Some(choices) = schema.get("anyOf").and_then(Value::as_array) {
        return alternatives(choices.iter().map(kind));
    }
    if let Some(words) = schema.get("enum").and_then(Value::as_array) {
        return alternatives(words.iter().map(|word| format!("`{word}`")));
    }
    match schema.get("type").and_then(Value::as_str) {
        Some("array") => format!("list: {}", schema.get("items").map(kind).unwrap_or_default()),
        Some("boolean") => "`true` or `false`".into(),
        Some("integer") => match (number("minimum"), number("maximum")) {
            (Some(min), Some(max)) if max < u64::from(u32::MAX) => format!("number, {min} to {max}"),
            (Some(min), _) => format!("number, {min} or more"),
            (None, _) => "number".into(),
        },
        Some("object") if schema.get("properties").is_some() => "table".into(),
        Some("object") => match schema.get("additionalProperties").and_then(|values| values.get("title")) {
            Some(title) => format!("table: {} by name", title.as_str().unwrap_or_default()),
            None => "tables by name".into(),
        },
        _ => "text".into(),
    }
}

fn alternatives(of: impl Iterator<Item = String>) -> String {
    of.collect::<Vec<_>>().join(" or ")
}

/// What holds where the key is not set.
fn default(key: &str, value: &Value, table: &Value) -> String {
    if let Some(default) = value.get("default") {
        return format!("`{default}`");
    }
    if let Some(unset) = value.get("x-unset").and_then(Value::as_str) {
        return unset.to_owned();
    }
    let required = table.get("required").and_then(Value::as_array);
    if required.is_some_and(|keys| keys.iter().any(|required| required == key)) {
        return "required".into();
    }
    "see there".into()
}

/// The doc comment, in one line.
fn description(schema: &Value) -> String {
    schema.get("description").and_then(Value::as_str).unwrap_or_default().replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_and_key_is_explained() {
        let page = reference_markdown();
        for heading in [
            "Top of the file",
            "`[global]`",
            "`[log]`",
            "`[admin]`",
            "`[admin.tcp]`",
            "`[admin.tcp.tls]`",
            "`[listeners.NAME]`",
            "`[[listeners.NAME.sni]]`",
            "`[[listeners.NAME.routes]]`",
            "`[listeners.NAME.routes.request_headers]`",
            "`[listeners.NAME.access_log]`",
            "`[pools.NAME]`",
            "`[[pools.NAME.backends]]`",
            "`[pools.NAME.health_check]`",
            "`[pools.NAME.health_check.body]`",
            "`[pools.NAME.health_check.expect]`",
            "`[pools.NAME.discovery]`",
            "`[pools.NAME.send_proxy]`",
            "`[pools.NAME.queue]`",
            "`[pools.NAME.passive_health]`",
        ] {
            assert!(page.contains(&format!("\n## {heading}\n")), "{heading} is missing in\n{page}");
        }
        for row in page.lines().filter(|line| line.starts_with("| `")) {
            assert_eq!(row.replace("\\|", "").matches('|').count(), 5, "{row}");
            assert!(!row.contains("|  |"), "{row} has an empty cell");
        }
        assert!(page.contains("| `drain_timeout` | duration | `\"30s\"` | How long"), "{page}");
        assert!(page.contains("| `workers` | number, 1 to 1024 or `\"auto\"` | `\"auto\"` |"), "{page}");
    }

    /// All examples of the page, as one file.
    fn examples() -> String {
        let page = reference_markdown();
        let blocks: Vec<_> =
            page.split("```toml\n").skip(1).filter_map(|rest| rest.split("```").next()).collect();
        blocks.concat()
    }

    #[test]
    fn the_examples_are_one_valid_configuration() {
        let text = examples().replace("include = [\"conf.d/*.toml\"]\n", "");
        crate::parse("examples", &text, &|_| None).unwrap_or_else(|errors| panic!("{errors}"));
    }
}
