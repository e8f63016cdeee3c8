//! `cargo xtask docs`: the reference documents, which come from the code.

use std::fs;

use anyhow::{Context, Result, ensure};

use crate::workspace::root;

/// Write or compare.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Write nothing; fail where a document is not what the code says.
    #[arg(long)]
    pub(crate) check: bool,
}

/// A document and its generator.
type Document = (&'static str, fn() -> String);

const DOCUMENTS: [Document; 4] = [
    ("docs/reference/configuration.md", lb_config::reference_markdown),
    ("docs/reference/sluice.schema.json", lb_config::json_schema),
    ("docs/reference/metrics.md", lb_telemetry::metrics::reference_markdown),
    ("docs/reference/openapi.json", lb_admin::openapi_json),
];

/// Writes the documents, or checks them.
pub(crate) fn run(args: &Args) -> Result<()> {
    let mut stale = Vec::new();
    for (name, generate) in DOCUMENTS {
        let path = root().join(name);
        let text = generate();
        if fs::read_to_string(&path).is_ok_and(|present| present == text) {
            continue;
        }
        if args.check {
            stale.push(name);
        } else {
            path.parent().map_or(Ok(()), fs::create_dir_all).with_context(|| path.display().to_string())?;
            fs::write(&path, text).with_context(|| path.display().to_string())?;
            println!("written  {name}");
        }
    }
    ensure!(
        stale.is_empty(),
        "{}: not what the code says; run `cargo xtask docs` and commit it",
        stale.join(", ")
    );
    Ok(())
}
