//! Pools that prefer backends in this instance's zone: there has to be one.

use crate::diagnostic::Problems;
use crate::document::Document;
use crate::raw::{RawPool, RawZones};

pub(super) fn check(documents: &[Document<'_>], problems: &mut Problems) {
    let is_in_a_zone =
        documents.iter().any(|document| document.keys_of("global").any(|(key, _)| key == "zone"));
    for document in documents {
        for (_, pool) in document.raw.pools() {
            let Some(zones) =
                pool.value.zones.as_ref().filter(|zones| zones.value.0 == RawZones::PreferLocal)
            else {
                continue;
            };
            if !is_in_a_zone {
                let message = "this instance is in no zone: say in which with `zone` in [global]";
                problems.absence(document.diagnostic(zones.span.clone(), message));
            }
            if !has_zones(&pool.value) {
                let message = "no backend of this pool has a `zone`: none is preferred";
                problems.warning(document.diagnostic(zones.span.clone(), message));
            }
        }
    }
}

/// Whether some backend states its zone.
fn has_zones(pool: &RawPool) -> bool {
    let backends = pool.backends.iter().flat_map(|backends| &backends.value);
    backends.filter_map(|backend| backend.value.long()).any(|table| table.zone.is_some())
}
