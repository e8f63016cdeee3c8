//! Sizes and their bounds.

use std::ops::RangeInclusive;

use crate::diagnostic::Problems;
use crate::document::Document;
use crate::raw::{Located, Text};
use crate::size::Size;

/// A number of bytes that is within `range`.
pub(super) fn within(
    range: RangeInclusive<u32>,
    raw: Option<&Located<Text<Size>>>,
    default: u32,
    document: &Document<'_>,
    problems: &mut Problems,
) -> u32 {
    let Some(Located { span, value: Text(Size(bytes)) }) = raw else { return default };
    match u32::try_from(*bytes) {
        Ok(bytes) if range.contains(&bytes) => bytes,
        _ => {
            let (min, max) = range.into_inner();
            let message = format!("must be from {} to {}", Size(min.into()), Size(max.into()));
            problems.error(document.diagnostic(span.clone(), &message));
            default
        }
    }
}
