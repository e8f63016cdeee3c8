//! Tests of the whole way from text to model.

mod admin;
mod checks;
mod discovery;
mod errors;
mod examples;
mod health_checks;
mod hostile;
mod http;
mod include;
mod protocols;
mod round_trip;
mod unknown_keys;

use crate::{ConfigErrors, Loaded};

/// A configuration without anything that need not be there.
const MINIMAL: &str = "\
version = 1
[listeners.web]
bind = [\"127.0.0.1:8080\"]
protocol = \"tcp\"
pool = \"web\"
[pools.web]
backends = [\"127.0.0.1:9001\"]
";

/// Reads `text` as `sluice.toml` with a small environment.
fn parse(text: &str) -> Result<Loaded, ConfigErrors> {
    crate::parse("sluice.toml", text, &env)
}

/// The minimal configuration with `lines` added to its pool.
fn with_pool(lines: &str) -> String {
    format!("{MINIMAL}{lines}\n")
}

/// The minimal configuration with other backends.
fn with_backends(backends: &str) -> String {
    MINIMAL.replace("\"127.0.0.1:9001\"", backends)
}

fn env(name: &str) -> Option<String> {
    match name {
        "BACKEND" => Some("10.0.0.9:90".to_owned()),
        "EMPTY" => Some(String::new()),
        _ => None,
    }
}

/// The errors of a text that must have some, as an operator sees them.
fn errors(text: &str) -> String {
    parse(text).expect_err("the text has errors").to_string()
}

/// The errors without snippets and without the file's name.
fn error_lines(text: &str) -> Vec<String> {
    let errors = parse(text).expect_err("the text has errors");
    errors.diagnostics().iter().map(first_line).collect()
}

/// The warnings, likewise.
fn warning_lines(text: &str) -> Vec<String> {
    let loaded = parse(text).unwrap_or_else(|errors| panic!("{errors}"));
    loaded.warnings.iter().map(first_line).collect()
}

fn first_line(diagnostic: &crate::Diagnostic) -> String {
    let text = diagnostic.to_string();
    let line = text.lines().next().unwrap();
    line.strip_prefix("sluice.toml:").unwrap_or(line).to_owned()
}
