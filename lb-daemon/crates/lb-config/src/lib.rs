//! Configuration files to the model.
//!
//! The way of a file: `include` reads the text → `document` parses it recoverably into a spanned tree, completes
//! `${ENV}` references, and deserialises it into `raw` tables → `convert` checks them and what they say together, and
//! builds an [`lb_model::Config`]. Every stage goes on after a mistake, so an operator sees all of them at once, each with
//! file, line, column and key. Nothing here reads the environment, starts anything or logs.
#![forbid(unsafe_code)]

mod convert;
mod default;
mod diagnostic;
mod document;
mod duration;
mod effective;
mod endpoint;
mod file_path;
mod hex;
mod include;
mod interpolate;
mod network;
mod rate;
mod raw;
mod reference;
mod schema;
mod size;
mod source;
mod suggest;
mod target;
mod text;
mod tree;
mod wording;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use lb_model::Config;

pub use crate::diagnostic::{ConfigErrors, Diagnostic};
pub use crate::effective::effective;
pub use crate::reference::reference_markdown;
pub use crate::schema::json_schema;

use crate::diagnostic::Problems;
use crate::document::Document;
use crate::source::Source;

/// A configuration that was read without errors.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// What is legal but probably not meant, in file order.
    pub warnings: Vec<Diagnostic>,
    /// The directories of the files that it comes from, and those in which its `include` looks for others; none if it was
    /// parsed from a text. Not all of them need be there.
    pub directories: BTreeSet<PathBuf>,
}

/// Reads the file at `path` and the files that it includes. `env` looks environment variables up.
pub fn load(path: &Path, env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, ConfigErrors> {
    let mut problems = Problems::default();
    let main_source = include::read(path, 0)?;
    let main = Document::read(&main_source, env, &mut problems);
    let included = include::included(&main, path, &mut problems);

    let mut documents = vec![main];
    documents.extend(included.iter().map(|(_, source)| Document::read(source, env, &mut problems)));
    let config = convert::config(&documents, &mut problems);

    finish(config, problems, include::directories(&documents, path))
}

/// Reads one text, called `name` in messages, which may not include files.
pub fn parse(name: &str, text: &str, env: &dyn Fn(&str) -> Option<String>) -> Result<Loaded, ConfigErrors> {
    let mut problems = Problems::default();
    let source = Source::new(name.to_owned(), 0, text);
    let document = Document::read(&source, env, &mut problems);
    if let Some((span, _)) = document.root_key("include") {
        problems.error(document.diagnostic(span, "a configuration that is not a file cannot include files"));
    }
    let config = convert::config(&[document], &mut problems);
    finish(config, problems, BTreeSet::new())
}

/// The result of reading: a configuration exists exactly when there are no errors.
fn finish(
    config: Option<Config>,
    problems: Problems,
    directories: BTreeSet<PathBuf>,
) -> Result<Loaded, ConfigErrors> {
    let warnings = problems.finish()?;
    let config = config.expect("what was not converted was reported");
    Ok(Loaded { config, warnings, directories })
}

#[cfg(test)]
mod tests;
