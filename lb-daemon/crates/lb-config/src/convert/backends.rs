//! The list `backends` of a pool: every entry, and that no two are the same.

use std::collections::HashMap;

use lb_model::{Backend, Discovery, DiscoveryQuery, Pool};

use super::backend::{self, Entry};
use super::collect;
use super::health_check::PoolCheck;
use crate::diagnostic::Problems;
use crate::document::Document;
use crate::raw::{Located, RawBackend, ShortOr};
use crate::text;

/// The backends with an address, and the names to look further ones up by.
pub(super) struct Backends {
    pub(super) backends: Vec<Backend>,
    pub(super) discover: Vec<Discovery>,
}

pub(super) fn convert(
    raw: &Located<Vec<Located<ShortOr<RawBackend>>>>,
    pool_check: &PoolCheck,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Option<Backends> {
    let Located { span, value: raw } = raw;
    if raw.is_empty() && document.is_empty_list(span) {
        problems.error(document.diagnostic(span.clone(), "must name at least one backend"));
    }
    if raw.len() > Pool::MAX_BACKENDS {
        let message =
            format!("a pool has at most {} backends, this one has {}", Pool::MAX_BACKENDS, raw.len());
        problems.error(document.diagnostic(span.clone(), &message));
        return None;
    }

    let mut entries = Some(Vec::with_capacity(raw.len()));
    for raw in raw {
        let entry = backend::convert(raw, pool_check, document, problems);
        collect(&mut entries, entry);
    }
    let entries = entries?;
    check_names(&entries, document, problems);
    check_queries(&entries, document, problems);

    let (mut backends, mut discover) = (Vec::new(), Vec::new());
    for entry in entries {
        match entry {
            Entry::Backend { backend, .. } => backends.push(backend),
            Entry::Discovery { discovery, .. } => discover.push(discovery),
        }
    }
    Some(Backends { backends, discover })
}

fn check_names(entries: &[Entry<'_>], document: &Document<'_>, problems: &mut Problems) {
    let mut first_with = HashMap::new();
    for entry in entries {
        let Entry::Backend { backend, name_span } = entry else { continue };
        if let Some(first) = first_with.get(&backend.name) {
            let message = format!(
                "two backends of this pool are called \"{}\": this one, and that at {}; give one of them a `name`",
                backend.name,
                document.place(first)
            );
            problems.error(document.diagnostic((*name_span).clone(), &message));
        } else {
            first_with.insert(&backend.name, (*name_span).clone());
        }
    }
}

fn check_queries(entries: &[Entry<'_>], document: &Document<'_>, problems: &mut Problems) {
    let mut first_with = HashMap::new();
    for entry in entries {
        let Entry::Discovery { discovery: Discovery { query, .. }, query_span } = entry else { continue };
        let port = match query {
            DiscoveryQuery::Addresses { port, .. } => Some(*port),
            DiscoveryQuery::Services { .. } => None,
        };
        // DNS knows no case, and names are complete with or without the last dot.
        let name = query.name().as_str().to_ascii_lowercase();
        let same = (name.trim_end_matches('.').to_owned(), port);
        if let Some(first) = first_with.get(&same) {
            let message = format!(
                "this pool looks up \"{}\" twice: here, and at {}; leave one out",
                text::query(query),
                document.place(first)
            );
            problems.error(document.diagnostic((*query_span).clone(), &message));
        } else {
            first_with.insert(same, (*query_span).clone());
        }
    }
}
