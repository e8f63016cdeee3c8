//! What a listener with `protocol = "http"` has beside the others, and what its pools have.

use lb_model::{ByteRate, Http, HttpUpstream, Log, Networks, RouteTable};

use super::pool_names::ServesHttp;
use super::{PoolNames, access, access_log, duration, routes, size, span};
use crate::diagnostic::Problems;
use crate::document::Document;
use crate::rate::Rate;
use crate::raw::{Located, OffOr, RawListener, RawPool};

pub(super) fn convert(
    raw: &RawListener,
    pools: &PoolNames,
    log: &Log,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Option<Http> {
    let routes = routes::convert(raw, pools, document, problems);
    let default = Http::new(RouteTable::default());
    let max_header_bytes = size::within(
        Http::HEADER_BYTES,
        raw.max_header_bytes.as_ref(),
        default.max_header_bytes,
        document,
        problems,
    );
    Some(Http {
        routes: routes?,
        max_header_bytes,
        max_header_count: raw.max_header_count.as_ref().map_or(default.max_header_count, |max| max.value.0),
        max_uri_bytes: size::within(
            1..=max_header_bytes,
            raw.max_uri_bytes.as_ref(),
            default.max_uri_bytes.min(max_header_bytes),
            document,
            problems,
        ),
        max_body_bytes: raw.max_body_bytes.as_ref().map(|max| max.value.0.0),
        body_timeout: duration::positive_or_off(
            raw.body_timeout.as_ref(),
            default.body_timeout,
            document,
            problems,
        ),
        min_body_rate: rate(raw.min_body_rate.as_ref(), default.min_body_rate),
        min_response_rate: rate(raw.min_response_rate.as_ref(), default.min_response_rate),
        min_rate_grace: raw.min_rate_grace.as_ref().map_or(default.min_rate_grace, |grace| grace.value.0.0),
        keepalive_timeout: duration::positive(
            raw.keepalive_timeout.as_ref(),
            default.keepalive_timeout,
            "write max_requests_per_connection = 1 for connections without a second request",
            document,
            problems,
        ),
        max_requests_per_connection: raw.max_requests_per_connection.as_ref().map(|max| max.value.0),
        trusted_proxies: Networks::new(access::networks(
            raw.trusted_proxies.as_ref().map(|networks| &networks.value),
        )),
        request_id_header: raw.request_id_header.as_ref().map(|header| header.value.0.clone()),
        access_log: access_log::convert(raw.access_log.as_ref(), log, document),
    })
}

fn rate(raw: Option<&Located<OffOr<Rate>>>, default: Option<ByteRate>) -> Option<ByteRate> {
    match raw.map(|raw| &raw.value) {
        None => default,
        Some(OffOr::Off) => None,
        Some(OffOr::Value(Rate(rate))) => Some(*rate),
    }
}

/// What HTTP listeners do with a pool. Where there are none, what is written is of no effect.
pub(super) fn upstream(
    raw: &RawPool,
    serves_http: ServesHttp,
    document: &Document<'_>,
    problems: &mut Problems,
) -> HttpUpstream {
    let default = HttpUpstream::DEFAULT;
    match serves_http {
        ServesHttp::Yes => {}
        ServesHttp::No => {
            warn_of_no_effect(raw, document, problems);
            return default;
        }
    }
    let mut or_off = |raw, default| duration::positive_or_off(raw, default, document, problems);
    HttpUpstream {
        first_byte_timeout: or_off(raw.first_byte_timeout.as_ref(), default.first_byte_timeout),
        idle_timeout: or_off(raw.idle_timeout.as_ref(), default.idle_timeout),
        total_timeout: or_off(raw.total_timeout.as_ref(), default.total_timeout),
        max_idle_connections: raw
            .max_idle_connections
            .as_ref()
            .map_or(default.max_idle_connections, |max| max.value.0),
        idle_connection_timeout: duration::positive(
            raw.idle_connection_timeout.as_ref(),
            default.idle_connection_timeout,
            "write max_idle_connections = 0 to keep no connection",
            document,
            problems,
        ),
    }
}

fn warn_of_no_effect(raw: &RawPool, document: &Document<'_>, problems: &mut Problems) {
    let written = [
        span(raw.first_byte_timeout.as_ref()),
        span(raw.idle_timeout.as_ref()),
        span(raw.total_timeout.as_ref()),
        span(raw.max_idle_connections.as_ref()),
        span(raw.idle_connection_timeout.as_ref()),
    ];
    for span in written.into_iter().flatten() {
        let message = "of no effect: no listener with protocol = \"http\" uses this pool";
        problems.warning(document.diagnostic(span.clone(), message));
    }
}
