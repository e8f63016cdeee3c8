//! A configuration as a file in which nothing is left to defaults.

mod backend;
mod health_check;
mod http;
mod inline;
mod listener;
mod send_proxy;

use std::fmt::{self, Write as _};

use lb_model::{
    Admin, AdminSocket, AdminTcp, AdminTls, Config, DiscoverySettings, Global, HealthCheck, Log,
    MaxConnections, PassiveHealth, Pool, PoolId, Queue, Watch, Workers,
};

use self::inline::Inline;
use crate::{text, tree};

/// `config` as TOML with every default written out. Reading it again gives an equal configuration.
pub fn effective(config: &Config) -> String {
    let Config { global, log, admin, listeners, pools } = config;
    let of_http = http::pools(config);
    let mut out = String::from("version = 1\n");
    write_global(&mut out, global)
        .and_then(|()| write_log(&mut out, log))
        .and_then(|()| write_admin(&mut out, admin))
        .and_then(|()| listeners.iter().try_for_each(|listener| listener::write(&mut out, listener, config)))
        .and_then(|()| {
            (0..).map(PoolId).zip(pools).try_for_each(|(id, pool)| {
                write_pool(&mut out, pool)?;
                if of_http.contains(&id) { http::write_upstream(&mut out, &pool.http) } else { Ok(()) }
            })
        })
        .expect("a String takes everything");
    out
}

fn write_global(out: &mut String, global: &Global) -> fmt::Result {
    let Global { workers, max_connections, drain_timeout, hash_seed, zone, state_dir, watch, nameservers } =
        global;
    writeln!(out, "\n[global]")?;
    match workers {
        Workers::Auto => writeln!(out, "workers = \"auto\"")?,
        Workers::Count(count) => writeln!(out, "workers = {count}")?,
    }
    match max_connections {
        MaxConnections::Auto => writeln!(out, "max_connections = \"auto\"")?,
        MaxConnections::Count(count) => writeln!(out, "max_connections = {count}")?,
    }
    writeln!(out, "drain_timeout = \"{}\"", text::duration(*drain_timeout))?;
    writeln!(out, "hash_seed = {hash_seed}")?;
    match zone {
        Some(zone) => writeln!(out, "zone = \"{zone}\"")?,
        None => writeln!(out, "# zone: none")?,
    }
    match state_dir {
        Some(directory) => writeln!(out, "state_dir = {}", text::path(directory))?,
        None => writeln!(out, "# state_dir: $STATE_DIRECTORY, else overrides do not survive a restart")?,
    }
    writeln!(out, "watch = {}", matches!(watch, Watch::On))?;
    if nameservers.is_empty() {
        writeln!(out, "# nameservers: those of /etc/resolv.conf")
    } else {
        writeln!(out, "nameservers = {}", list(nameservers))
    }
}

fn write_log(out: &mut String, log: &Log) -> fmt::Result {
    let Log { level, format, access } = log;
    writeln!(out, "\n[log]")?;
    writeln!(out, "level = \"{}\"", text::log_level(*level))?;
    writeln!(out, "format = \"{}\"", text::log_format(*format))?;
    writeln!(out, "access = {access}")
}

fn write_admin(out: &mut String, admin: &Admin) -> fmt::Result {
    let Admin { socket, tcp } = admin;
    writeln!(out, "\n[admin]")?;
    match socket {
        AdminSocket::Default => {
            writeln!(out, "# socket: $RUNTIME_DIRECTORY/admin.sock, else {}", AdminSocket::DEFAULT_PATH)?;
        }
        AdminSocket::Path(path) => writeln!(out, "socket = {}", text::path(path))?,
        AdminSocket::Off => writeln!(out, "socket = \"off\"")?,
    }
    match tcp {
        Some(tcp) => writeln!(out, "tcp = {}", admin_tcp(tcp)),
        None => writeln!(out, "# tcp: none"),
    }
}

fn admin_tcp(tcp: &AdminTcp) -> Inline {
    let AdminTcp { bind, token_file, tls } = tcp;
    let mut table = Inline::default();
    table.set("bind", format_args!("\"{bind}\""));
    if let Some(path) = token_file {
        table.set("token_file", text::path(path));
    }
    if let Some(AdminTls { cert_file, key_file, client_ca_file }) = tls {
        let mut tls = Inline::default();
        tls.set("cert_file", text::path(cert_file));
        tls.set("key_file", text::path(key_file));
        if let Some(path) = client_ca_file {
            tls.set("client_ca_file", text::path(path));
        }
        table.set("tls", tls);
    }
    table
}

fn write_pool(out: &mut String, pool: &Pool) -> fmt::Result {
    let Pool {
        name,
        balance,
        backends,
        discover,
        discovery,
        connect_timeout,
        connect_tries,
        keepalive,
        queue,
        passive_health,
        slow_start,
        panic_threshold,
        zones,
        send_proxy,
        http: _,
    } = pool;
    let Queue { limit, timeout } = queue;
    let PassiveHealth { failures, backoff, max_backoff, max_ejected } = passive_health;
    let check = common_check(pool);

    writeln!(out, "\n[pools.{}]", key(name.as_str()))?;
    writeln!(out, "balance = \"{}\"", text::algorithm(*balance))?;
    writeln!(out, "backends = [")?;
    backends.iter().try_for_each(|backend| writeln!(out, "    {}", backend::configured(backend, check)))?;
    discover
        .iter()
        .try_for_each(|discovery| writeln!(out, "    {}", backend::discovered(discovery, check)))?;
    writeln!(out, "]")?;
    writeln!(out, "health_check = {}", health_check::or_off(check))?;
    if !discover.is_empty() || *discovery != DiscoverySettings::DEFAULT {
        writeln!(out, "discovery = {}", discovery_settings(discovery))?;
    }
    writeln!(out, "slow_start = \"{}\"", text::duration_or_off(*slow_start))?;
    writeln!(out, "panic_threshold = \"{panic_threshold}\"")?;
    writeln!(out, "zones = \"{}\"", text::zones(*zones))?;
    writeln!(out, "connect_timeout = \"{}\"", text::duration(*connect_timeout))?;
    writeln!(out, "connect_tries = {connect_tries}")?;
    writeln!(out, "keepalive = \"{}\"", text::duration_or_off(*keepalive))?;
    writeln!(out, "send_proxy = {}", send_proxy::or_off(*send_proxy))?;
    writeln!(out, "queue = {{ limit = {limit}, timeout = \"{}\" }}", text::duration(*timeout))?;
    writeln!(
        out,
        "passive_health = {{ failures = {failures}, backoff = \"{}\", max_backoff = \"{}\", \
         max_ejected = \"{max_ejected}\" }}",
        text::duration(*backoff),
        text::duration(*max_backoff)
    )
}

/// The check that all backends of a pool have that have one. Where they differ none is the pool's: a table on top of it
/// could not take keys away.
fn common_check(pool: &Pool) -> Option<&HealthCheck> {
    let backends = pool.backends.iter().map(|backend| backend.health_check.as_ref());
    let discover = pool.discover.iter().map(|discovery| discovery.health_check.as_ref());
    let mut checks = backends.chain(discover).flatten();
    let first = checks.next()?;
    checks.all(|check| check == first).then_some(first)
}

fn discovery_settings(settings: &DiscoverySettings) -> Inline {
    let DiscoverySettings { families, min_ttl, max_ttl, keep } = settings;
    let mut table = Inline::default();
    table.set("families", format_args!("\"{}\"", text::ip_families(*families)));
    table.set("min_ttl", format_args!("\"{}\"", text::duration(*min_ttl)));
    table.set("max_ttl", format_args!("\"{}\"", text::duration(*max_ttl)));
    table.set("keep", format_args!("\"{}\"", text::duration(*keep)));
    table
}

/// A key as TOML writes it. Names, of headers too, have no character that would need an escape in quotes.
fn key(name: &str) -> String {
    if tree::is_bare(name) { name.to_owned() } else { format!("\"{name}\"") }
}

fn list<T: fmt::Display>(items: &[T]) -> String {
    let items: Vec<_> = items.iter().map(|item| format!("\"{item}\"")).collect();
    format!("[{}]", items.join(", "))
}
