//! `[pools.NAME]` to [`Pool`].

use std::ops::Range;

use lb_model::{Algorithm, PassiveHealth, Pool, Queue, Weight, Zones};

use super::backends::{self, Backends};
use super::pool_names::ServesHttp;
use super::{PoolNames, discovery, duration, health_check, http, name, required, send_proxy};
use crate::diagnostic::Problems;
use crate::document::Document;
use crate::raw::{Located, RawDiscovery, RawPassiveHealth, RawPool, RawQueue};
use crate::{default, text};

pub(super) fn convert(
    key: &Located<String>,
    raw: &Located<RawPool>,
    pools: &PoolNames,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Option<Pool> {
    let Located { span: table, value: raw } = raw;
    let RawPool {
        balance,
        backends,
        health_check,
        discovery,
        slow_start,
        panic_threshold,
        zones,
        connect_timeout,
        connect_tries,
        keepalive,
        send_proxy,
        queue,
        passive_health,
        first_byte_timeout: _,
        idle_timeout: _,
        total_timeout: _,
        max_idle_connections: _,
        idle_connection_timeout: _,
    } = raw;
    let serves_http = pools.serves_http(&key.value);

    let name = name(key, document, problems);
    let pool_check = health_check::of_pool(health_check.as_ref(), table, document, problems);
    let backends = required("backends", backends.as_ref(), table, document, problems)
        .and_then(|list| backends::convert(list, &pool_check, document, problems));
    if let Some(backends) = &backends {
        warn_of_no_weight(backends, table, document, problems);
        warn_of_unused_discovery(discovery.as_ref(), backends, document, problems);
    }
    let discovery = discovery::convert(discovery.as_ref(), document, problems);
    let slow_start = duration::positive_or_off(slow_start.as_ref(), default::SLOW_START, document, problems);
    let connect_timeout = duration::positive(
        connect_timeout.as_ref(),
        default::CONNECT_TIMEOUT,
        "no connection is made in no time",
        document,
        problems,
    );
    let keepalive = duration::keepalive(keepalive.as_ref(), default::BACKEND_KEEPALIVE, document, problems);
    let send_proxy = send_proxy::convert(send_proxy.as_ref(), document, problems);
    let queue = self::queue(queue.as_ref(), document, problems);
    let http = http::upstream(raw, serves_http, document, problems);
    let passive_health = self::passive_health(passive_health.as_ref(), document, problems);

    let Backends { backends, discover } = backends?;
    Some(Pool {
        name: name?,
        balance: balance
            .as_ref()
            .map_or_else(|| default_algorithm(serves_http), |balance| Algorithm::from(balance.value.0)),
        backends,
        discover,
        discovery,
        connect_timeout,
        connect_tries: connect_tries.as_ref().map_or(default::CONNECT_TRIES, |tries| tries.value.0),
        keepalive,
        queue,
        passive_health,
        slow_start,
        panic_threshold: panic_threshold
            .as_ref()
            .map_or(default::PANIC_THRESHOLD, |threshold| threshold.value.0),
        zones: zones.as_ref().map_or(default::ZONES, |zones| Zones::from(zones.value.0)),
        send_proxy,
        http,
    })
}

/// By use: where requests and connections share a pool, what suits requests suits connections, too.
fn default_algorithm(serves_http: ServesHttp) -> Algorithm {
    match serves_http {
        ServesHttp::Yes => default::HTTP_ALGORITHM,
        ServesHttp::No => default::ALGORITHM,
    }
}

fn warn_of_no_weight(
    Backends { backends, discover }: &Backends,
    table: &Range<usize>,
    document: &Document<'_>,
    problems: &mut Problems,
) {
    let weights = backends.iter().map(|backend| backend.weight);
    let mut weights = weights.chain(discover.iter().map(|discovery| discovery.weight));
    if weights.all(|weight| weight == Weight(0)) {
        let message = "every backend has weight 0: this pool takes no connections";
        problems.warning(document.diagnostic(table.clone(), message));
    }
}

fn warn_of_unused_discovery(
    discovery: Option<&Located<RawDiscovery>>,
    backends: &Backends,
    document: &Document<'_>,
    problems: &mut Problems,
) {
    if let Some(discovery) = discovery
        && backends.discover.is_empty()
    {
        let message = "no backend of this pool is a DNS name: nothing is looked up";
        problems.warning(document.diagnostic(discovery.span.clone(), message));
    }
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
    let Some(RawPassiveHealth { failures, backoff, max_backoff, max_ejected }) = raw else { return default };
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
        max_ejected: max_ejected.as_ref().map_or(default.max_ejected, |max| max.value.0),
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
