//! `[pools.NAME]` to [`Pool`].

use std::collections::HashMap;

use lb_model::{Algorithm, Backend, PassiveHealth, Pool, Queue, Weight};

use super::backend::{self, NamedBackend};
use super::{collect, duration, name, required};
use crate::diagnostic::Problems;
use crate::document::Document;
use crate::raw::{Located, RawBackend, RawPassiveHealth, RawPool, RawQueue};
use crate::{default, text};

pub(super) fn convert(
    key: &Located<String>,
    raw: &Located<RawPool>,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Option<Pool> {
    let Located { span: table, value: raw } = raw;
    let RawPool { balance, backends, connect_timeout, connect_tries, keepalive, queue, passive_health } = raw;

    let name = name(key, document, problems);
    let backends = required("backends", backends.as_ref(), table, document, problems)
        .and_then(|list| self::backends(list, document, problems));
    if let Some(backends) = &backends
        && backends.iter().all(|backend| backend.weight == Weight(0))
    {
        let message = "every backend has weight 0: this pool takes no connections";
        problems.warning(document.diagnostic(table.clone(), message));
    }
    let connect_timeout = duration::positive(
        connect_timeout.as_ref(),
        default::CONNECT_TIMEOUT,
        "no connection is made in no time",
        document,
        problems,
    );
    let keepalive = duration::keepalive(keepalive.as_ref(), default::BACKEND_KEEPALIVE, document, problems);
    let queue = self::queue(queue.as_ref(), document, problems);
    let passive_health = self::passive_health(passive_health.as_ref(), document, problems);

    Some(Pool {
        name: name?,
        balance: balance.as_ref().map_or(default::ALGORITHM, |balance| Algorithm::from(balance.value.0)),
        backends: backends?,
        connect_timeout,
        connect_tries: connect_tries.as_ref().map_or(default::CONNECT_TRIES, |tries| tries.value.0),
        keepalive,
        queue,
        passive_health,
    })
}

fn backends(
    raw: &Located<Vec<Located<RawBackend>>>,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Option<Vec<Backend>> {
    let Located { span, value: raw } = raw;
    if raw.is_empty() && document.is_empty_list(span) {
        problems.error(document.diagnostic(span.clone(), "must name at least one backend"));
    }
    if raw.len() > Pool::MAX_BACKENDS {
        let message =
            format!("a pool has at most {} backends, this one has {}", Pool::MAX_BACKENDS, raw.len());
        problems.error(document.diagnostic(span.clone(), &message));
        return None;
    }

    let mut first_with = HashMap::new();
    let mut backends = Some(Vec::with_capacity(raw.len()));
    for raw in raw {
        let named = backend::convert(raw, document, problems);
        if let Some(NamedBackend { backend, name_span }) = &named {
            if let Some(first) = first_with.get(&backend.name) {
                let message = format!(
                    "two backends of this pool are called \"{}\": this one, and that at {}; give one of them a `name`",
                    backend.name,
                    document.place(first)
                );
                problems.error(document.diagnostic((*name_span).clone(), &message));
            } else {
                first_with.insert(backend.name.clone(), (*name_span).clone());
            }
        }
        collect(&mut backends, named.map(|named| named.backend));
    }
    backends
}

fn queue(raw: Option<&RawQueue>, document: &Document<'_>, problems: &mut Problems) -> Queue {
    let Some(RawQueue { limit, timeout }) = raw else { return default::QUEUE };
    Queue {
        limit: limit.as_ref().map_or(default::QUEUE.limit, |limit| limit.value.0),
        timeout: duration::positive(
            timeout.as_ref(),
            default::QUEUE.timeout,
            "write limit = 0 to let no connection wait",
            document,
            problems,
        ),
    }
}

fn passive_health(
    raw: Option<&RawPassiveHealth>,
    document: &Document<'_>,
    problems: &mut Problems,
) -> PassiveHealth {
    let default = default::PASSIVE_HEALTH;
    let Some(RawPassiveHealth { failures, backoff, max_backoff }) = raw else { return default };
    let instead = "a backend that fails needs a moment of rest";
    let health = PassiveHealth {
        failures: failures.as_ref().map_or(default.failures, |failures| failures.value.0),
        backoff: duration::positive(backoff.as_ref(), default.backoff, instead, document, problems),
        max_backoff: duration::positive(
            max_backoff.as_ref(),
            default.max_backoff,
            instead,
            document,
            problems,
        ),
    };
    if health.max_backoff < health.backoff
        && let Some(written) = max_backoff.as_ref().or(backoff.as_ref())
    {
        let message = format!(
            "`max_backoff` ({}) must not be shorter than `backoff` ({})",
            text::duration(health.max_backoff),
            text::duration(health.backoff)
        );
        problems.error(document.diagnostic(written.span.clone(), &message));
    }
    health
}
