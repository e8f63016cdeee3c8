//! A configuration as a file in which nothing is left to defaults.

use std::fmt::{self, Write as _};

use lb_model::{Backend, Config, Global, Listener, Log, MaxConnections, PassiveHealth, Pool, Queue, Workers};

use crate::{text, tree};

/// `config` as TOML with every default written out. Reading it again gives an equal configuration.
pub fn effective(config: &Config) -> String {
    let Config { global, log, listeners, pools } = config;
    let mut out = String::from("version = 1\n");
    write_global(&mut out, global)
        .and_then(|()| write_log(&mut out, log))
        .and_then(|()| listeners.iter().try_for_each(|listener| write_listener(&mut out, listener, config)))
        .and_then(|()| pools.iter().try_for_each(|pool| write_pool(&mut out, pool)))
        .expect("a String takes everything");
    out
}

fn write_global(out: &mut String, global: &Global) -> fmt::Result {
    let Global { workers, max_connections, drain_timeout, hash_seed } = global;
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
    writeln!(out, "hash_seed = {hash_seed}")
}

fn write_log(out: &mut String, log: &Log) -> fmt::Result {
    let Log { level, format, access } = log;
    writeln!(out, "\n[log]")?;
    writeln!(out, "level = \"{}\"", text::log_level(*level))?;
    writeln!(out, "format = \"{}\"", text::log_format(*format))?;
    writeln!(out, "access = {access}")
}

fn write_listener(out: &mut String, listener: &Listener, config: &Config) -> fmt::Result {
    let Listener { name, bind, protocol, pool, max_connections, idle_timeout, keepalive, access } = listener;
    writeln!(out, "\n[listeners.{}]", key(name.as_str()))?;
    writeln!(out, "bind = {}", list(bind))?;
    writeln!(out, "protocol = \"{}\"", text::protocol(*protocol))?;
    if let Some(pool) = config.pool(*pool) {
        writeln!(out, "pool = \"{}\"", pool.name)?;
    }
    match max_connections {
        Some(max) => writeln!(out, "max_connections = {max}")?,
        None => writeln!(out, "# max_connections: no limit")?,
    }
    writeln!(out, "idle_timeout = \"{}\"", text::duration_or_off(*idle_timeout))?;
    writeln!(out, "keepalive = \"{}\"", text::duration_or_off(*keepalive))?;
    writeln!(out, "allow = {}", list(access.allow()))?;
    writeln!(out, "deny = {}", list(access.deny()))
}

fn write_pool(out: &mut String, pool: &Pool) -> fmt::Result {
    let Pool { name, balance, backends, connect_timeout, connect_tries, keepalive, queue, passive_health } =
        pool;
    let Queue { limit, timeout } = queue;
    let PassiveHealth { failures, backoff, max_backoff } = passive_health;
    writeln!(out, "\n[pools.{}]", key(name.as_str()))?;
    writeln!(out, "balance = \"{}\"", text::algorithm(*balance))?;
    writeln!(out, "backends = [")?;
    for backend in backends {
        write_backend(out, backend)?;
    }
    writeln!(out, "]")?;
    writeln!(out, "connect_timeout = \"{}\"", text::duration(*connect_timeout))?;
    writeln!(out, "connect_tries = {connect_tries}")?;
    writeln!(out, "keepalive = \"{}\"", text::duration_or_off(*keepalive))?;
    writeln!(out, "queue = {{ limit = {limit}, timeout = \"{}\" }}", text::duration(*timeout))?;
    writeln!(
        out,
        "passive_health = {{ failures = {failures}, backoff = \"{}\", max_backoff = \"{}\" }}",
        text::duration(*backoff),
        text::duration(*max_backoff)
    )
}

fn write_backend(out: &mut String, backend: &Backend) -> fmt::Result {
    let Backend { name, address, weight, max_connections } = backend;
    write!(out, "    {{ address = \"{address}\", name = \"{name}\", weight = {}", weight.0)?;
    match max_connections {
        Some(max) => writeln!(out, ", max_connections = {max} }},"),
        None => writeln!(out, " }}, # max_connections: no limit"),
    }
}

/// A key as TOML writes it. Names have no character that would need an escape in quotes.
fn key(name: &str) -> String {
    if tree::is_bare(name) { name.to_owned() } else { format!("\"{name}\"") }
}

fn list<T: fmt::Display>(items: &[T]) -> String {
    let items: Vec<_> = items.iter().map(|item| format!("\"{item}\"")).collect();
    format!("[{}]", items.join(", "))
}
