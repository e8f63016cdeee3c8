//! `request_headers` and `response_headers` of a route to [`HeaderEdit`]s.

use std::ops::Range;

use lb_model::{HeaderEdit, HeaderName, HeaderValue};

use super::name;
use crate::diagnostic::Problems;
use crate::document::Document;
use crate::raw::{Located, Named, RawHeaderEdits, Text};

/// The edits, in the order in which they are made.
pub(super) fn convert(
    raw: Option<&Located<RawHeaderEdits>>,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Vec<HeaderEdit> {
    let Some(Located { value: RawHeaderEdits { set, add, remove }, .. }) = raw else { return Vec::new() };
    let remove: Vec<_> = remove.iter().flat_map(|remove| &remove.value).map(removal).collect();
    let set = fields(set.as_ref(), HeaderEdit::Set, document, problems);
    let add = fields(add.as_ref(), HeaderEdit::Add, document, problems);
    check_contradictions(remove.iter().chain(&set), document, problems);
    [remove, set, add].into_iter().flatten().map(|(_, edit)| edit).collect()
}

/// An edit, and where its header's name stands.
type Placed<'r> = (&'r Range<usize>, HeaderEdit);

fn removal(Located { span, value: Text(name) }: &Located<Text<HeaderName>>) -> Placed<'_> {
    (span, HeaderEdit::Remove(name.clone()))
}

fn fields<'r>(
    raw: Option<&'r Located<Named<Text<HeaderValue>>>>,
    edit: fn(HeaderName, HeaderValue) -> HeaderEdit,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Vec<Placed<'r>> {
    let fields = raw.into_iter().flat_map(|Located { value: Named(fields), .. }| fields);
    let mut field = |(key, value): &'r (Located<String>, Located<Text<HeaderValue>>)| {
        let name = name(key, document, problems)?;
        Some((&key.span, edit(name, value.value.0.clone())))
    };
    fields.filter_map(&mut field).collect()
}

/// Reports headers that are there for one edit and not, or otherwise, for another.
fn check_contradictions<'p, 'r: 'p>(
    edits: impl Iterator<Item = &'p Placed<'r>>,
    document: &Document<'_>,
    problems: &mut Problems,
) {
    let mut earlier: Vec<&Placed<'r>> = Vec::new();
    for edit in edits {
        let (span, header) = edit;
        match earlier.iter().find(|(_, other)| other.name().is(header.name())) {
            None => earlier.push(edit),
            Some((first, _)) => {
                let message = format!(
                    "the header `{}` is set or removed twice: here, and at {}; leave one out",
                    header.name(),
                    document.place(first)
                );
                problems.error(document.diagnostic((*span).clone(), &message));
            }
        }
    }
}
