//! `access_log` of a listener to [`AccessLog`].

use std::path::Path;

use lb_model::{AccessLog, AccessLogDestination, AccessLogFormat};

use crate::default;
use crate::document::Document;
use crate::file_path::FilePath;
use crate::raw::{Located, RawAccessLog, RawAccessLogWord, ShortOr, Text, Word};

/// Where nothing is written, it is what the process does with its own access records.
pub(super) fn convert(
    raw: Option<&Located<ShortOr<RawAccessLog>>>,
    records: &lb_model::Log,
    document: &Document<'_>,
) -> Option<AccessLog> {
    let default = default::ACCESS_LOG;
    let with_format = |format| Some(AccessLog { format, ..default.clone() });
    match raw.map(|raw| &raw.value) {
        None => records.access.then_some(default),
        Some(ShortOr::Short(Word(RawAccessLogWord::Off))) => None,
        Some(ShortOr::Short(Word(RawAccessLogWord::Json))) => with_format(AccessLogFormat::Json),
        Some(ShortOr::Short(Word(RawAccessLogWord::Combined))) => with_format(AccessLogFormat::Combined),
        Some(ShortOr::Long(RawAccessLog { format, path })) => Some(AccessLog {
            format: format.as_ref().map_or(default.format, |format| format.value.0.into()),
            destination: path.as_ref().map_or(default.destination, |path| destination(&path.value, document)),
        }),
    }
}

fn destination(Text(FilePath(path)): &Text<FilePath>, document: &Document<'_>) -> AccessLogDestination {
    if path == Path::new("stdout") {
        AccessLogDestination::Stdout
    } else if path == Path::new("stderr") {
        AccessLogDestination::Stderr
    } else {
        AccessLogDestination::File(document.resolve(path))
    }
}
