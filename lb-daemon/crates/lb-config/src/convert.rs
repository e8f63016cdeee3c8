//! Raw tables to the model: what is missing, what is out of range, and what does not go together.
//!
//! Functions here report what is wrong and go on with something plausible, so that the rest is checked too. Only what
//! cannot be made up (a name, an address) is an `Option`. Whether there was an error is known by the one list of problems.

mod access;
mod access_log;
mod admin;
mod backend;
mod backends;
mod bind;
mod discovery;
mod duplicate;
mod duration;
mod file;
mod global;
mod header_edits;
mod health_check;
mod http;
mod listener;
mod log;
mod pool;
mod pool_names;
mod probe;
mod routes;
mod send_proxy;
mod size;
mod sni;
mod zones;

use std::fmt;
use std::ops::Range;
use std::str::FromStr;

use lb_model::Config;

use crate::diagnostic::Problems;
use crate::document::Document;
use crate::raw::Located;

use self::pool_names::PoolNames;

/// The configuration that `documents`, the main one first, describe together.
pub(crate) fn config(documents: &[Document<'_>], problems: &mut Problems) -> Option<Config> {
    file::check(documents, problems);
    duplicate::check(documents, problems);
    bind::check_overlaps(documents, problems);
    zones::check(documents, problems);
    send_proxy::check_listeners(documents, problems);

    let global = global::convert(documents);
    let log = log::convert(documents);
    let admin = admin::convert(documents, problems);
    let pool_names = PoolNames::of(documents);
    pool_names.warn_of_unused(documents, problems);

    let mut listeners = Some(Vec::new());
    let mut pools = Some(Vec::new());
    for document in documents {
        for (name, raw) in document.raw.listeners() {
            let listener = listener::convert(name, raw, &pool_names, &log, document, problems);
            collect(&mut listeners, listener);
        }
        for (name, raw) in document.raw.pools() {
            collect(&mut pools, pool::convert(name, raw, &pool_names, document, problems));
        }
    }
    let (mut listeners, mut pools) = (listeners?, pools?);
    listeners.sort_by(|a, b| a.name.cmp(&b.name));
    pools.sort_by(|a, b| a.name.cmp(&b.name));
    Some(Config { global, log, admin, listeners, pools })
}

/// Adds `item` if everything before it is there.
fn collect<T>(items: &mut Option<Vec<T>>, item: Option<T>) {
    match (items.as_mut(), item) {
        (Some(items), Some(item)) => items.push(item),
        _ => *items = None,
    }
}

/// The value of a key that must be there; reports where it is not.
fn required<'r, T>(
    key: &str,
    value: Option<&'r Located<T>>,
    table: &Range<usize>,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Option<&'r Located<T>> {
    if value.is_none() && !document.has_key(table, key) {
        problems.absence(document.diagnostic(table.clone(), &format!("the key `{key}` is missing")));
    }
    value
}

/// Where the value of a key stands.
fn span<T>(raw: Option<&Located<T>>) -> Option<&Range<usize>> {
    raw.map(|raw| &raw.span)
}

/// Whether the list at `key` has entries in the file, not only such as are of use.
fn has_entries<T>(
    key: &str,
    list: Option<&Located<Vec<T>>>,
    table: &Range<usize>,
    document: &Document<'_>,
) -> bool {
    match list {
        Some(list) => !list.value.is_empty() || !document.is_empty_list(&list.span),
        None => document.has_key(table, key),
    }
}

/// The name of a table, such as `web` in `[pools.web]`.
fn name<N: FromStr<Err: fmt::Display>>(
    name: &Located<String>,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Option<N> {
    name.value
        .parse()
        .map_err(|error: N::Err| problems.error(document.diagnostic(name.span.clone(), &error.to_string())))
        .ok()
}
