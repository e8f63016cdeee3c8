//! `discovery` of a pool to [`DiscoverySettings`].

use lb_model::DiscoverySettings;

use super::duration;
use crate::diagnostic::Problems;
use crate::document::Document;
use crate::raw::{Located, RawDiscovery, Text};
use crate::text;

pub(super) fn convert(
    raw: Option<&Located<RawDiscovery>>,
    document: &Document<'_>,
    problems: &mut Problems,
) -> DiscoverySettings {
    let default = DiscoverySettings::DEFAULT;
    let Some(Located { value: RawDiscovery { families, min_ttl, max_ttl, keep }, .. }) = raw else {
        return default;
    };
    let instead = "a DNS server needs a pause between questions";
    let settings = DiscoverySettings {
        families: families.as_ref().map_or(default.families, |families| families.value.0.into()),
        min_ttl: duration::positive(min_ttl.as_ref(), default.min_ttl, instead, document, problems),
        max_ttl: duration::positive(max_ttl.as_ref(), default.max_ttl, instead, document, problems),
        keep: keep.as_ref().map_or(default.keep, |Located { value: Text(keep), .. }| keep.0),
    };
    if settings.max_ttl < settings.min_ttl
        && let Some(written) = max_ttl.as_ref().or(min_ttl.as_ref())
    {
        let message = format!(
            "`max_ttl` ({}) must not be shorter than `min_ttl` ({})",
            text::duration(settings.max_ttl),
            text::duration(settings.min_ttl)
        );
        problems.error(document.diagnostic(written.span.clone(), &message));
    }
    settings
}
