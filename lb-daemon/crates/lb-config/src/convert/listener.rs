//! `[listeners.NAME]` to [`Listener`].

use std::ops::Range;
use std::time::Duration;

use lb_model::{Listener, Log, PoolId, Protocol};

use super::{PoolNames, access, bind, duration, has_entries, http, name, required, sni, span};
use crate::diagnostic::Problems;
use crate::document::Document;
use crate::duration::Period;
use crate::raw::{Located, OffOr, RawListener};
use crate::{default, text};

pub(super) fn convert(
    key: &Located<String>,
    raw: &Located<RawListener>,
    pools: &PoolNames,
    log: &Log,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Option<Listener> {
    let Located { span: table, value: raw } = raw;

    let name = name(key, document, problems);
    let bind = required("bind", raw.bind.as_ref(), table, document, problems)
        .map(|bind| bind::convert(bind, document, problems));
    let protocol = required("protocol", raw.protocol.as_ref(), table, document, problems)
        .map(|protocol| Protocol::from(protocol.value.0));
    if let Some(protocol) = protocol {
        check_keys(protocol, raw, document, problems);
    }
    let pool = pool(protocol, raw, table, pools, document, problems);
    let routes = raw.sni.as_ref().map_or(&[][..], |sni| &sni.value);
    let sni = sni::convert(routes, pools, document, problems);
    let http = match protocol {
        Some(Protocol::Http) | None => http::convert(raw, pools, log, document, problems).map(Some),
        Some(Protocol::Tcp | Protocol::Tls | Protocol::Udp) => Some(None),
    };
    let header_timeout = header_timeout(protocol, raw, table, document, problems);
    let (idle_timeout, keepalive) = match protocol {
        Some(Protocol::Udp) => (Some(flow_idle_timeout(raw.idle_timeout.as_ref(), document, problems)), None),
        Some(Protocol::Tcp | Protocol::Tls | Protocol::Http) | None => (
            duration::positive_or_off(raw.idle_timeout.as_ref(), default::IDLE_TIMEOUT, document, problems),
            duration::keepalive(raw.keepalive.as_ref(), default::CLIENT_KEEPALIVE, document, problems),
        ),
    };

    Some(Listener {
        name: name?,
        bind: bind?,
        protocol: protocol?,
        pool: pool?,
        sni: sni?,
        http: http?,
        accept_proxy: access::networks(raw.accept_proxy.as_ref().map(|networks| &networks.value)),
        header_timeout,
        replies: raw.replies.as_ref().map(|replies| replies.value.0),
        max_connections: raw.max_connections.as_ref().map(|max| max.value.0),
        max_connections_per_client: raw.max_connections_per_client.as_ref().map(|max| max.value.0),
        idle_timeout,
        keepalive,
        access: access::convert(raw.allow.as_ref(), raw.deny.as_ref()),
    })
}

/// Reports keys that belong to other protocols.
fn check_keys(protocol: Protocol, raw: &RawListener, document: &Document<'_>, problems: &mut Problems) {
    use Protocol::{Http, Tcp, Tls, Udp};

    let mut only_for = |protocols: &[Protocol], key: &str, span: Option<&Range<usize>>| {
        if let Some(span) = span
            && !protocols.contains(&protocol)
        {
            let message = format!(
                "`{key}` is for listeners of protocol {}, this one is of protocol {}",
                text::enumeration(protocols.iter().map(|protocol| protocol.label())),
                protocol.label()
            );
            problems.error(document.diagnostic(span.clone(), &message));
        }
    };
    only_for(&[Tls], "sni", span(raw.sni.as_ref()));
    only_for(&[Tcp, Tls, Http], "accept_proxy", span(raw.accept_proxy.as_ref()));
    only_for(&[Tcp, Tls, Http], "header_timeout", span(raw.header_timeout.as_ref()));
    only_for(&[Udp], "replies", span(raw.replies.as_ref()));
    only_for(&[Tcp, Tls, Http], "keepalive", span(raw.keepalive.as_ref()));
    for (key, span) in [
        ("routes", span(raw.routes.as_ref())),
        ("max_header_bytes", span(raw.max_header_bytes.as_ref())),
        ("max_header_count", span(raw.max_header_count.as_ref())),
        ("max_uri_bytes", span(raw.max_uri_bytes.as_ref())),
        ("max_body_bytes", span(raw.max_body_bytes.as_ref())),
        ("body_timeout", span(raw.body_timeout.as_ref())),
        ("min_body_rate", span(raw.min_body_rate.as_ref())),
        ("min_response_rate", span(raw.min_response_rate.as_ref())),
        ("min_rate_grace", span(raw.min_rate_grace.as_ref())),
        ("keepalive_timeout", span(raw.keepalive_timeout.as_ref())),
        ("max_requests_per_connection", span(raw.max_requests_per_connection.as_ref())),
        ("trusted_proxies", span(raw.trusted_proxies.as_ref())),
        ("request_id_header", span(raw.request_id_header.as_ref())),
        ("access_log", span(raw.access_log.as_ref())),
    ] {
        only_for(&[Http], key, span);
    }
}

/// How long a client may take for what has to come first. Where nothing has to, what is written is of no effect.
fn header_timeout(
    protocol: Option<Protocol>,
    raw: &RawListener,
    table: &Range<usize>,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Duration {
    let default = match protocol {
        Some(Protocol::Http) => default::REQUEST_HEADER_TIMEOUT,
        Some(Protocol::Tcp | Protocol::Tls | Protocol::Udp) | None => default::HEADER_TIMEOUT,
    };
    let Some(written) = &raw.header_timeout else { return default };
    if protocol == Some(Protocol::Tcp)
        && !has_entries("accept_proxy", raw.accept_proxy.as_ref(), table, document)
    {
        let message = "nothing is waited for: no header comes first without `accept_proxy`";
        problems.warning(document.diagnostic(written.span.clone(), message));
        return default;
    }
    duration::positive(Some(written), default, "no header comes in no time", document, problems)
}

/// Who serves those that no route is for. It may be nobody where there are routes.
fn pool(
    protocol: Option<Protocol>,
    raw: &RawListener,
    table: &Range<usize>,
    pools: &PoolNames,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Option<Option<PoolId>> {
    if let Some(pool) = &raw.pool {
        return pools.resolve(pool, document, problems).map(Some);
    }
    let sni = ("sni", has_entries("sni", raw.sni.as_ref(), table, document));
    let routes = ("routes", has_entries("routes", raw.routes.as_ref(), table, document));
    let possible: &[_] = match protocol {
        Some(Protocol::Tcp | Protocol::Udp) => &[],
        Some(Protocol::Tls) => &[sni],
        Some(Protocol::Http) => &[routes],
        None => &[sni, routes],
    };
    if possible.iter().any(|&(_, is_there)| is_there) {
        return Some(None);
    }
    if let &[(key, _)] = possible
        && !document.has_key(table, "pool")
    {
        let message = format!("nothing says who serves clients: set `pool`, or `{key}`, or both");
        problems.absence(document.diagnostic(table.clone(), &message));
        return None;
    }
    required("pool", raw.pool.as_ref(), table, document, problems);
    None
}

/// How long a flow of datagrams may be silent: nothing but that tells that it has ended.
fn flow_idle_timeout(
    raw: Option<&Located<OffOr<Period>>>,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Duration {
    let Some(Located { span, value }) = raw else { return default::FLOW_IDLE_TIMEOUT };
    if let OffOr::Value(Period(duration)) = value
        && !duration.is_zero()
    {
        return *duration;
    }
    let message =
        "must be longer than zero and not \"off\": only silence tells that a flow of datagrams has ended";
    problems.error(document.diagnostic(span.clone(), message));
    default::FLOW_IDLE_TIMEOUT
}
