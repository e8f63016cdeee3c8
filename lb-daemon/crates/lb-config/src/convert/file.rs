//! The top of each file: its version, who may include, and that there is something to do.

use crate::diagnostic::Problems;
use crate::document::Document;

/// The version of the file format that is read.
const VERSION: u32 = 1;

pub(super) fn check(documents: &[Document<'_>], problems: &mut Problems) {
    for (index, document) in documents.iter().enumerate() {
        check_version(document, problems);
        if index == 0 {
            require_version(document, problems);
        } else if let Some((span, _)) = document.root_key("include") {
            problems.error(document.diagnostic(span, "only the main file can include others"));
        }
    }
    require_listeners(documents, problems);
}

fn check_version(document: &Document<'_>, problems: &mut Problems) {
    if let Some(version) = &document.raw.version
        && version.value.0 != VERSION
    {
        let message = format!("this release reads version {VERSION} of the file format only");
        problems.error(document.diagnostic(version.span.clone(), &message));
    }
}

fn require_version(document: &Document<'_>, problems: &mut Problems) {
    if document.root_key("version").is_none() {
        let message =
            format!("the key `version` is missing: write version = {VERSION} at the top of the file");
        problems.absence(document.diagnostic_at_top(&message));
    }
}

fn require_listeners(documents: &[Document<'_>], problems: &mut Problems) {
    let some = documents.iter().any(|document| document.keys_of("listeners").next().is_some());
    let misshapen = |document: &Document<'_>| {
        document.root_key("listeners").is_some_and(|(_, value)| value.as_table().is_none())
    };
    if !some
        && !documents.iter().any(misshapen)
        && let Some(main) = documents.first()
    {
        problems.absence(main.diagnostic_at_top("no listener is defined: add a table [listeners.NAME]"));
    }
}
