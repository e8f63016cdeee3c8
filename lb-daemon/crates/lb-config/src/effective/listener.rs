//! Listeners.

use std::fmt::{self, Write as _};

use lb_model::{Config, Listener, Protocol, SniRoute, SniRoutes};

use super::inline::Inline;
use super::{http, key, list};
use crate::text;

/// Writes `listener`, with those keys that its protocol has.
pub(super) fn write(out: &mut String, listener: &Listener, config: &Config) -> fmt::Result {
    let Listener {
        name,
        bind,
        protocol,
        pool,
        sni,
        http,
        accept_proxy,
        header_timeout,
        replies,
        max_connections,
        max_connections_per_client,
        idle_timeout,
        keepalive,
        access,
    } = listener;
    let has_connections = *protocol != Protocol::Udp;

    writeln!(out, "\n[listeners.{}]", key(name.as_str()))?;
    writeln!(out, "bind = {}", list(bind))?;
    writeln!(out, "protocol = \"{}\"", protocol.label())?;
    match pool.and_then(|pool| config.pool(pool)) {
        Some(pool) => writeln!(out, "pool = \"{}\"", pool.name)?,
        None => writeln!(out, "# pool: none")?,
    }
    if *protocol == Protocol::Tls {
        write_routes(out, sni, config)?;
    }
    if let Some(http) = http {
        http::write(out, http, config)?;
    }
    if has_connections {
        writeln!(out, "accept_proxy = {}", list(accept_proxy))?;
    }
    if matches!(protocol, Protocol::Tls | Protocol::Http) || !accept_proxy.is_empty() {
        writeln!(out, "header_timeout = \"{}\"", text::duration(*header_timeout))?;
    }
    match replies {
        Some(replies) => writeln!(out, "replies = {replies}")?,
        None if has_connections => {}
        None => writeln!(out, "# replies: flows end by idle_timeout only")?,
    }
    match (max_connections, has_connections) {
        (Some(max), _) => writeln!(out, "max_connections = {max}")?,
        (None, true) => writeln!(out, "# max_connections: no limit")?,
        (None, false) => writeln!(out, "# max_connections: as many flows as file descriptors allow")?,
    }
    match max_connections_per_client {
        Some(max) => writeln!(out, "max_connections_per_client = {max}")?,
        None => writeln!(out, "# max_connections_per_client: no limit")?,
    }
    writeln!(out, "idle_timeout = \"{}\"", text::duration_or_off(*idle_timeout))?;
    if has_connections {
        writeln!(out, "keepalive = \"{}\"", text::duration_or_off(*keepalive))?;
    }
    writeln!(out, "allow = {}", list(access.allow()))?;
    writeln!(out, "deny = {}", list(access.deny()))
}

fn write_routes(out: &mut String, routes: &SniRoutes, config: &Config) -> fmt::Result {
    if routes.is_empty() {
        return writeln!(out, "sni = []");
    }
    writeln!(out, "sni = [")?;
    routes.iter().try_for_each(|route| writeln!(out, "    {},", self::route(route, config)))?;
    writeln!(out, "]")
}

fn route(route: &SniRoute, config: &Config) -> Inline {
    let SniRoute { names, alpn, pool } = route;
    let alpn: Vec<_> = alpn.iter().map(|protocol| text::quoted(protocol.as_str())).collect();
    let mut table = Inline::default();
    table.set("names", list(names));
    table.set("alpn", format_args!("[{}]", alpn.join(", ")));
    if let Some(pool) = config.pool(*pool) {
        table.set("pool", format_args!("\"{}\"", pool.name));
    }
    table
}
