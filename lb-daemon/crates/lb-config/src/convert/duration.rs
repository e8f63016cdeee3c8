//! Durations and their bounds.

use std::time::Duration;

use crate::diagnostic::Problems;
use crate::document::Document;
use crate::duration::Period;
use crate::raw::{Located, OffOr, Text};

/// Longest keepalive that Linux takes (`TCP_KEEPIDLE`).
const MAX_KEEPALIVE: Duration = Duration::from_secs(32_767);

/// A duration for which zero would make no sense; `instead` says what to write.
pub(super) fn positive(
    raw: Option<&Located<Text<Period>>>,
    default: Duration,
    instead: &str,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Duration {
    let Some(Located { span, value: Text(Period(duration)) }) = raw else { return default };
    if duration.is_zero() {
        problems.error(document.diagnostic(span.clone(), &format!("must be longer than zero; {instead}")));
    }
    *duration
}

/// A duration that is not shorter than `min`, if one is written.
pub(super) fn at_least(
    min: Duration,
    raw: Option<&Located<Text<Period>>>,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Option<Duration> {
    let Located { span, value: Text(Period(duration)) } = raw?;
    if *duration < min {
        let message = format!("must be at least {}", Period(min));
        problems.error(document.diagnostic(span.clone(), &message));
    }
    Some(*duration)
}

/// A duration that may be `"off"`, which zero is not.
pub(super) fn positive_or_off(
    raw: Option<&Located<OffOr<Period>>>,
    default: Option<Duration>,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Option<Duration> {
    let Some(Located { span, value }) = raw else { return default };
    let OffOr::Value(Period(duration)) = value else { return None };
    if duration.is_zero() {
        problems
            .error(document.diagnostic(span.clone(), "must be longer than zero; write \"off\" for never"));
    }
    Some(*duration)
}

/// A keepalive time within what the kernel can do: whole seconds, and not too many.
pub(super) fn keepalive(
    raw: Option<&Located<OffOr<Period>>>,
    default: Option<Duration>,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Option<Duration> {
    let keepalive = positive_or_off(raw, default, document, problems);
    if let (Some(raw), Some(keepalive)) = (raw, keepalive)
        && (keepalive.subsec_nanos() != 0 || keepalive > MAX_KEEPALIVE)
    {
        let message = "the kernel counts keepalive in whole seconds, from 1s to 32767s";
        problems.error(document.diagnostic(raw.span.clone(), message));
    }
    keepalive
}
