//! What HTTP listeners and their pools have beside the others.

use std::collections::HashSet;
use std::fmt::{self, Write as _};

use lb_model::{
    AccessLog, AccessLogDestination, ByteRate, Config, HeaderEdit, Http, HttpUpstream, Listener, PoolId,
    Route, RouteTable,
};

use super::inline::Inline;
use super::{key, list};
use crate::size::Size;
use crate::text;

pub(super) fn write(out: &mut String, http: &Http, config: &Config) -> fmt::Result {
    let Http {
        routes,
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
    } = http;
    write_routes(out, routes, config)?;
    writeln!(out, "max_header_bytes = \"{}\"", Size((*max_header_bytes).into()))?;
    writeln!(out, "max_header_count = {max_header_count}")?;
    writeln!(out, "max_uri_bytes = \"{}\"", Size((*max_uri_bytes).into()))?;
    match max_body_bytes {
        Some(max) => writeln!(out, "max_body_bytes = \"{}\"", Size(*max))?,
        None => writeln!(out, "# max_body_bytes: no limit")?,
    }
    writeln!(out, "body_timeout = \"{}\"", text::duration_or_off(*body_timeout))?;
    writeln!(out, "min_body_rate = \"{}\"", rate_or_off(*min_body_rate))?;
    writeln!(out, "min_response_rate = \"{}\"", rate_or_off(*min_response_rate))?;
    writeln!(out, "min_rate_grace = \"{}\"", text::duration(*min_rate_grace))?;
    writeln!(out, "keepalive_timeout = \"{}\"", text::duration(*keepalive_timeout))?;
    match max_requests_per_connection {
        Some(max) => writeln!(out, "max_requests_per_connection = {max}")?,
        None => writeln!(out, "# max_requests_per_connection: no limit")?,
    }
    writeln!(out, "trusted_proxies = {}", list(trusted_proxies.configured()))?;
    match request_id_header {
        Some(header) => writeln!(out, "request_id_header = {}", text::quoted(header.as_str()))?,
        None => writeln!(out, "# request_id_header: none")?,
    }
    writeln!(out, "access_log = {}", access_log_or_off(access_log.as_ref()))
}

/// The pools that listeners use which speak HTTP.
pub(super) fn pools(config: &Config) -> HashSet<PoolId> {
    config.listeners.iter().filter(|listener| listener.http.is_some()).flat_map(Listener::pools).collect()
}

pub(super) fn write_upstream(out: &mut String, upstream: &HttpUpstream) -> fmt::Result {
    let HttpUpstream {
        first_byte_timeout,
        idle_timeout,
        total_timeout,
        max_idle_connections,
        idle_connection_timeout,
    } = upstream;
    writeln!(out, "first_byte_timeout = \"{}\"", text::duration_or_off(*first_byte_timeout))?;
    writeln!(out, "idle_timeout = \"{}\"", text::duration_or_off(*idle_timeout))?;
    writeln!(out, "total_timeout = \"{}\"", text::duration_or_off(*total_timeout))?;
    writeln!(out, "max_idle_connections = {max_idle_connections}")?;
    writeln!(out, "idle_connection_timeout = \"{}\"", text::duration(*idle_connection_timeout))
}

fn write_routes(out: &mut String, routes: &RouteTable, config: &Config) -> fmt::Result {
    if routes.is_empty() {
        return writeln!(out, "routes = []");
    }
    writeln!(out, "routes = [")?;
    routes.iter().try_for_each(|route| writeln!(out, "    {},", self::route(route, config)))?;
    writeln!(out, "]")
}

fn route(route: &Route, config: &Config) -> Inline {
    let Route { hosts, path_prefix, pool, request_headers, response_headers } = route;
    let mut table = Inline::default();
    table.set("hosts", list(hosts));
    table.set("path_prefix", text::quoted(&path_prefix.to_string()));
    if let Some(pool) = config.pool(*pool) {
        table.set("pool", format_args!("\"{}\"", pool.name));
    }
    table.set("request_headers", header_edits(request_headers));
    table.set("response_headers", header_edits(response_headers));
    table
}

fn header_edits(edits: &[HeaderEdit]) -> Inline {
    if edits.is_empty() {
        return Inline::default();
    }
    let (mut set, mut add, mut remove) = (Inline::default(), Inline::default(), Vec::new());
    for edit in edits {
        match edit {
            HeaderEdit::Set(name, value) => set.set(&key(name.as_str()), text::quoted(value.as_str())),
            HeaderEdit::Add(name, value) => add.set(&key(name.as_str()), text::quoted(value.as_str())),
            HeaderEdit::Remove(name) => remove.push(text::quoted(name.as_str())),
        }
    }
    let mut table = Inline::default();
    table.set("set", set);
    table.set("add", add);
    table.set("remove", format_args!("[{}]", remove.join(", ")));
    table
}

fn rate_or_off(rate: Option<ByteRate>) -> String {
    rate.map_or_else(|| "off".to_owned(), |rate| rate.to_string())
}

fn access_log_or_off(log: Option<&AccessLog>) -> String {
    let Some(AccessLog { format, destination }) = log else { return "\"off\"".to_owned() };
    let mut table = Inline::default();
    table.set("format", format_args!("\"{}\"", text::access_log_format(*format)));
    match destination {
        AccessLogDestination::Stdout => table.set("path", "\"stdout\""),
        AccessLogDestination::Stderr => table.set("path", "\"stderr\""),
        AccessLogDestination::File(path) => table.set("path", text::path(path)),
    }
    table.to_string()
}
