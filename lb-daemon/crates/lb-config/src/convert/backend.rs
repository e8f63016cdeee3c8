//! Entries of `backends` to [`Backend`].

use std::ops::Range;

use lb_model::{Backend, BackendAddress, BackendName, Weight};

use super::required;
use crate::diagnostic::Problems;
use crate::document::Document;
use crate::raw::{Located, RawBackend, RawBackendTable};

/// A backend and the place of what it is called by.
pub(super) struct NamedBackend<'r> {
    pub(super) backend: Backend,
    pub(super) name_span: &'r Range<usize>,
}

pub(super) fn convert<'r>(
    raw: &'r Located<RawBackend>,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Option<NamedBackend<'r>> {
    match &raw.value {
        RawBackend::Address(address) => Some(NamedBackend {
            backend: Backend {
                name: default_name(*address),
                address: *address,
                weight: Weight::DEFAULT,
                max_connections: None,
            },
            name_span: &raw.span,
        }),
        RawBackend::Table(table) => convert_table(table, &raw.span, document, problems),
    }
}

fn convert_table<'r>(
    raw: &'r RawBackendTable,
    table: &'r Range<usize>,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Option<NamedBackend<'r>> {
    let RawBackendTable { address, name, weight, max_connections } = raw;
    let address = required("address", address.as_ref(), table, document, problems)?.value.0;
    let backend = Backend {
        name: name.as_ref().map_or_else(|| default_name(address), |name| name.value.0.clone()),
        address,
        weight: weight.as_ref().map_or(Weight::DEFAULT, |weight| Weight(weight.value.0)),
        max_connections: max_connections.as_ref().map(|max| max.value.0),
    };
    Some(NamedBackend { backend, name_span: name.as_ref().map_or(table, |name| &name.span) })
}

/// What a backend is called that has no name: its address, in the one way in which the model writes it.
fn default_name(address: BackendAddress) -> BackendName {
    address.to_string().parse().expect("addresses are short and consist of what names may have")
}
