//! What changes of HTTP.

use lb_model::{Config, Http, HttpUpstream, SizeText};

use super::Differences;

/// What changes of a listener that speaks HTTP before and after.
pub(super) fn compare(before: &Http, old: &Config, after: &Http, new: &Config) -> Vec<String> {
    let Http {
        routes: _,
        max_header_bytes,
        max_header_count,
        max_uri_bytes,
        max_body_bytes,
        body_timeout,
        min_body_rate,
        min_response_rate,
        min_rate_grace,
        keepalive_timeout,
        max_requests_per_connection,
        trusted_proxies,
        request_id_header,
        access_log,
    } = before;
    let size = |bytes: &u32| SizeText((*bytes).into()).to_string();
    let size_or_none = |bytes: &Option<u64>| bytes.map(SizeText);
    Differences::new()
        .unshown("routes", &routes(before, old), &routes(after, new))
        .shown("max_header_bytes", max_header_bytes, &after.max_header_bytes, size)
        .plain("max_header_count", max_header_count, &after.max_header_count)
        .shown("max_uri_bytes", max_uri_bytes, &after.max_uri_bytes, size)
        .optional(
            "max_body_bytes",
            "no limit",
            &size_or_none(max_body_bytes),
            &size_or_none(&after.max_body_bytes),
        )
        .duration_or_off("body_timeout", body_timeout, &after.body_timeout)
        .optional("min_body_rate", "off", min_body_rate, &after.min_body_rate)
        .optional("min_response_rate", "off", min_response_rate, &after.min_response_rate)
        .duration("min_rate_grace", min_rate_grace, &after.min_rate_grace)
        .duration("keepalive_timeout", keepalive_timeout, &after.keepalive_timeout)
        .optional(
            "max_requests_per_connection",
            "no limit",
            max_requests_per_connection,
            &after.max_requests_per_connection,
        )
        .unshown("trusted_proxies", trusted_proxies, &after.trusted_proxies)
        .optional("request_id_header", "none", request_id_header, &after.request_id_header)
        .unshown("access_log", access_log, &after.access_log)
        .0
}

/// The routes by their pools' names: the places of pools change with the file's order.
fn routes<'a>(http: &'a Http, config: &'a Config) -> Vec<impl PartialEq + use<'a>> {
    let route = |route: &'a lb_model::Route| {
        let pool = config.pool(route.pool).map(|pool| &pool.name);
        (&route.hosts, &route.path_prefix, pool, &route.request_headers, &route.response_headers)
    };
    http.routes.iter().map(route).collect()
}

/// What changes of what HTTP listeners do with a pool.
pub(super) fn compare_upstream(before: &HttpUpstream, after: &HttpUpstream) -> Vec<String> {
    let HttpUpstream {
        first_byte_timeout,
        idle_timeout,
        total_timeout,
        max_idle_connections,
        idle_connection_timeout,
    } = before;
    Differences::new()
        .duration_or_off("first_byte_timeout", first_byte_timeout, &after.first_byte_timeout)
        .duration_or_off("idle_timeout", idle_timeout, &after.idle_timeout)
        .duration_or_off("total_timeout", total_timeout, &after.total_timeout)
        .plain("max_idle_connections", max_idle_connections, &after.max_idle_connections)
        .duration("idle_connection_timeout", idle_connection_timeout, &after.idle_connection_timeout)
        .0
}
