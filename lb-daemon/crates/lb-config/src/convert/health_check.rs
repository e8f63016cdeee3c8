//! `health_check` of a pool, and of a backend on top of it, to [`HealthCheck`].

use std::num::NonZeroU16;
use std::ops::Range;
use std::time::Duration;

use lb_model::{HealthCheck, Probe};

use super::{duration, probe, required};
use crate::diagnostic::Problems;
use crate::document::Document;
use crate::raw::{Located, Off, RawHealthCheck, ShortOr, Text, Whole};

/// What a pool's `health_check` says to its backends.
pub(super) enum PoolCheck {
    Off,
    On(Box<Layer>),
    /// It has mistakes that leave nothing to build on.
    Unusable,
}

/// A check, to which another table may add.
#[derive(Clone)]
pub(super) struct Layer {
    check: HealthCheck,
    /// As written: its default depends on the interval, which the next layer may change.
    fast_interval: Option<Duration>,
}

/// The pool's check. `table` is the place of the pool.
pub(super) fn of_pool(
    raw: Option<&Located<ShortOr<RawHealthCheck>>>,
    table: &Range<usize>,
    document: &Document<'_>,
    problems: &mut Problems,
) -> PoolCheck {
    match raw.map(|raw| (&raw.value, &raw.span)) {
        None if document.has_key(table, "health_check") => PoolCheck::Unusable,
        None | Some((ShortOr::Short(Off), _)) => PoolCheck::Off,
        Some((ShortOr::Long(raw), span)) => layer(raw, span, &PoolCheck::Off, document, problems)
            .map_or(PoolCheck::Unusable, |layer| PoolCheck::On(Box::new(layer))),
    }
}

/// The check of a backend in a pool with the check `pool`.
pub(super) fn of_backend(
    raw: Option<&Located<ShortOr<RawHealthCheck>>>,
    pool: &PoolCheck,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Option<HealthCheck> {
    match raw.map(|raw| (&raw.value, &raw.span)) {
        None => pool.layer().map(|layer| layer.check.clone()),
        Some((ShortOr::Short(Off), _)) => None,
        Some((ShortOr::Long(raw), span)) => {
            layer(raw, span, pool, document, problems).map(|layer| layer.check)
        }
    }
}

impl PoolCheck {
    fn layer(&self) -> Option<&Layer> {
        match self {
            Self::On(layer) => Some(layer),
            Self::Off | Self::Unusable => None,
        }
    }
}

/// The keys of `raw` on top of `below`.
fn layer(
    raw: &RawHealthCheck,
    table: &Range<usize>,
    below: &PoolCheck,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Option<Layer> {
    let probe = probe(raw, table, below, document, problems);
    let below = below
        .layer()
        .cloned()
        .unwrap_or_else(|| Layer { check: HealthCheck::new(Probe::Tcp), fast_interval: None });
    let min = HealthCheck::MIN_INTERVAL;
    let interval =
        duration::at_least(min, raw.interval.as_ref(), document, problems).unwrap_or(below.check.interval);
    let fast_interval =
        duration::at_least(min, raw.fast_interval.as_ref(), document, problems).or(below.fast_interval);
    let timeout = duration::positive(
        raw.timeout.as_ref(),
        below.check.timeout,
        "no backend answers in no time",
        document,
        problems,
    );
    let check = HealthCheck {
        probe: probe?,
        interval,
        fast_interval: fast_interval.unwrap_or_else(|| HealthCheck::DEFAULT_FAST_INTERVAL.min(interval)),
        timeout,
        rise: raw.rise.as_ref().map_or(below.check.rise, |rise| rise.value.0),
        fall: raw.fall.as_ref().map_or(below.check.fall, |fall| fall.value.0),
        jitter: raw.jitter.as_ref().map_or(below.check.jitter, |Located { value: Text(jitter), .. }| *jitter),
        port: port(raw).or(below.check.port),
    };
    Some(Layer { check, fast_interval })
}

fn port(raw: &RawHealthCheck) -> Option<u16> {
    raw.port.as_ref().map(|Located { value: Whole(port), .. }| NonZeroU16::get(*port))
}

/// What is asked: by the keys of the pool, too, if the type is the pool's.
fn probe(
    raw: &RawHealthCheck,
    table: &Range<usize>,
    below: &PoolCheck,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Option<Probe> {
    let inherited = below.layer().map(|layer| &layer.check.probe);
    let kind = match (&raw.kind, inherited, below) {
        (Some(kind), _, _) => kind.value.0,
        (None, Some(inherited), _) if !document.has_key(table, "type") => probe::kind(inherited),
        // Where the pool's type cannot be told, its mistakes are.
        (None, _, PoolCheck::Unusable) => return None,
        (None, _, PoolCheck::Off | PoolCheck::On(_)) => {
            required("type", raw.kind.as_ref(), table, document, problems);
            return None;
        }
    };
    let inherited = inherited.filter(|probe| probe::kind(probe) == kind);
    probe::convert(kind, raw, table, inherited, document, problems)
}
