//! `[log]` of all files to [`Log`].

use lb_model::Log;

use crate::default;
use crate::document::Document;
use crate::raw::RawLog;

pub(super) fn convert(documents: &[Document<'_>]) -> Log {
    let mut log = default::LOG;
    for raw in documents.iter().filter_map(|document| document.raw.log.as_ref()) {
        let RawLog { level, format, access } = raw;
        if let Some(level) = level {
            log.level = level.value.0.into();
        }
        if let Some(format) = format {
            log.format = format.value.0.into();
        }
        if let Some(access) = access {
            log.access = access.value;
        }
    }
    log
}
