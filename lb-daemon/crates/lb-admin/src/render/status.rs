//! The status: a header, the listeners, the pools with their backends, the discovered names.

use super::Style;
use super::table::{Align, Column, Fit, lines};
use super::text::{Text, Tone, line};
use super::units::{bytes, count, milliseconds, seconds};
use crate::{
    Backend, BackendState, Discovery, Health, HealthStatus, Listener, OverrideOf, Overrides, Pool, Readiness,
    Status,
};

/// The whole status, for people: ends with a newline. Where a line would be longer than `style.width`, the least important
/// columns are left out, then texts are cut.
pub fn status_table(status: &Status, style: Style) -> String {
    let sections = [
        header(status, style),
        listeners(&status.listeners, style),
        pools(&status.pools, style),
        discovery(status, style),
    ];
    sections.into_iter().filter(|section| !section.is_empty()).collect::<Vec<_>>().join("\n")
}

fn header(status: &Status, style: Style) -> String {
    let tone = match status.state {
        Readiness::Ready => Tone::Good,
        Readiness::Starting | Readiness::Draining => Tone::Notable,
    };
    let mut header = line(
        &[
            Text::new(Tone::Title, format!("sluice {}", status.version)),
            Text::new(tone, status.state.label()),
            Text::plain(format!("pid {}", status.pid)),
            Text::plain(format!("up {}", seconds(status.uptime_seconds))),
            Text::plain(format!("workers {}", status.workers)),
            Text::plain(format!("generation {}", status.generation)),
            Text::plain(format!("loaded {} ago", ago(status, status.loaded_at))),
            Text::new(Tone::Dim, &status.config_file),
        ],
        style,
    );
    header.push_str(&failed_reload(status, style));
    header.push_str(&overrides(&status.overrides, style));
    header
}

/// What the table of backends does not show of the overrides.
fn overrides(overrides: &Overrides, style: Style) -> String {
    let mut text = String::new();
    if !overrides.persisted && !overrides.overrides.is_empty() {
        let problem = overrides.problem.as_deref().unwrap_or_default();
        let note = format!("overrides end with the process: {problem}");
        text.push_str(&line(&[Text::new(Tone::Notable, note)], style));
    }
    for OverrideOf { pool, backend, .. } in overrides.overrides.iter().filter(|set| !set.exists) {
        let backend = backend.as_ref().map_or_else(String::new, |backend| format!("/{backend}"));
        let note = format!("there is an override for {pool}{backend}, which there is not");
        text.push_str(&line(&[Text::new(Tone::Notable, note)], style));
    }
    text
}

fn failed_reload(status: &Status, style: Style) -> String {
    let Some(reload) = status.last_reload.as_ref().filter(|reload| !reload.ok) else { return String::new() };
    let error = reload.error.as_deref().unwrap_or_default().lines().next().unwrap_or_default();
    let text = format!("the last reload, {} ago, was refused: {error}", ago(status, reload.at));
    line(&[Text::new(Tone::Bad, text)], style)
}

/// How long before the status was made `at` was.
fn ago(status: &Status, at: u64) -> String {
    seconds((status.started_at + status.uptime_seconds).saturating_sub(at))
}

fn listeners(listeners: &[Listener], style: Style) -> String {
    let column = |title, align, fit, cell: &dyn Fn(&Listener) -> Text| {
        Column::new(title, align, fit, listeners.iter().map(cell).collect())
    };
    let columns = vec![
        column("LISTENER", Align::Left, Fit::Whole, &|l| Text::new(Tone::Title, &l.name)),
        column("BIND", Align::Left, Fit::Cut(20), &|l| Text::plain(l.bind.join(" "))),
        column("PROTOCOL", Align::Left, Fit::Drop(2), &|l| Text::plain(&l.protocol)),
        column("POOL", Align::Left, Fit::Drop(6), &|l| Text::plain(l.pools.join(" "))),
        column("DATAPATH", Align::Left, Fit::Drop(3), &|l| Text::plain(&l.datapath)),
        column("CONNS", Align::Right, Fit::Whole, &|l| connections(l.connections, l.max_connections)),
        column("TOTAL", Align::Right, Fit::Drop(5), &|l| Text::plain(count(l.connections_total))),
        column("IN", Align::Right, Fit::Drop(4), &|l| Text::plain(bytes(l.bytes_in))),
        column("OUT", Align::Right, Fit::Drop(4), &|l| Text::plain(bytes(l.bytes_out))),
        column("WHY", Align::Left, Fit::Drop(1), &|l| {
            Text::new(Tone::Dim, l.datapath_reason.as_deref().unwrap_or_default())
        }),
    ];
    if listeners.is_empty() { String::new() } else { lines(columns, style).concat() }
}

/// One table over all pools, so that columns line up, with a line for each pool before its backends.
fn pools(pools: &[Pool], style: Style) -> String {
    let backends: Vec<&Backend> = pools.iter().flat_map(|pool| &pool.backends).collect();
    let mut rows = lines(backend_columns(&backends), style).into_iter();
    let mut text = if backends.is_empty() { String::new() } else { rows.next().unwrap_or_default() };
    for pool in pools {
        text.push_str(&pool_line(pool, style));
        text.extend(rows.by_ref().take(pool.backends.len()));
    }
    text
}

fn pool_line(pool: &Pool, style: Style) -> String {
    let (all, active) = (pool.backends.len(), active(pool));
    let tone = match active {
        0 => Tone::Bad,
        some if some < all => Tone::Notable,
        _ => Tone::Good,
    };
    let queued = if pool.queued > 0 { format!("{} queued", count(pool.queued)) } else { String::new() };
    let panic = if pool.panic { "PANIC: too few are healthy, so all are used" } else { "" };
    line(
        &[
            Text::new(Tone::Title, &pool.name),
            Text::plain(&pool.balance),
            Text::new(tone, format!("{active} of {all} active")),
            Text::new(Tone::Notable, queued),
            Text::new(Tone::Bad, panic),
        ],
        style,
    )
}

fn active(pool: &Pool) -> usize {
    pool.backends.iter().filter(|backend| backend.state == BackendState::Active).count()
}

fn backend_columns(backends: &[&Backend]) -> Vec<Column> {
    let column = |title, align, fit, cell: &dyn Fn(&Backend) -> Text| {
        Column::new(title, align, fit, backends.iter().map(|backend| cell(backend)).collect())
    };
    // Who uses no tiers or measures no times need not see them.
    let has_tiers = backends.iter().any(|backend| backend.tier > 0);
    vec![
        column("BACKEND", Align::Left, Fit::Whole, &|b| Text::plain(format!("  {}", b.name))),
        column("ADDRESS", Align::Left, Fit::Drop(9), &address),
        column("STATE", Align::Left, Fit::Whole, &|b| Text::new(state_tone(b.state), b.state.label())),
        column("FOR", Align::Right, Fit::Drop(8), &|b| {
            Text::plain(b.since_seconds.map(seconds).unwrap_or_default())
        }),
        column("HEALTH", Align::Left, Fit::Whole, &|b| health(&b.health)),
        column("WEIGHT", Align::Right, Fit::Whole, &weight),
        column("TIER", Align::Right, Fit::Drop(5), &|b| {
            Text::plain(if has_tiers { b.tier.to_string() } else { String::new() })
        }),
        column("ZONE", Align::Left, Fit::Drop(4), &|b| Text::plain(b.zone.as_deref().unwrap_or_default())),
        column("CONNS", Align::Right, Fit::Whole, &|b| connections(b.connections, b.max_connections)),
        column("TOTAL", Align::Right, Fit::Drop(6), &|b| Text::plain(count(b.connections_total))),
        column("FAILED", Align::Right, Fit::Drop(7), &failures),
        column("IN", Align::Right, Fit::Drop(3), &|b| Text::plain(bytes(b.bytes_in))),
        column("OUT", Align::Right, Fit::Drop(3), &|b| Text::plain(bytes(b.bytes_out))),
        column("RESPONSE", Align::Right, Fit::Drop(2), &|b| {
            Text::plain(b.response_time_ms.map(milliseconds).unwrap_or_default())
        }),
        column("FROM", Align::Left, Fit::Drop(1), &|b| {
            Text::new(Tone::Dim, b.discovered_by.as_deref().unwrap_or_default())
        }),
        column("REASON", Align::Left, Fit::Cut(12), &reason),
    ]
}

/// Nothing where it is the name already.
fn address(backend: &Backend) -> Text {
    Text::plain(if backend.address == backend.name { "" } else { &backend.address })
}

fn state_tone(state: BackendState) -> Tone {
    match state {
        BackendState::Active => Tone::Good,
        BackendState::Standby | BackendState::Disabled => Tone::Dim,
        BackendState::Draining => Tone::Notable,
        BackendState::Unhealthy | BackendState::BackingOff => Tone::Bad,
    }
}

fn health(health: &Health) -> Text {
    let kind = health.kind.as_deref().unwrap_or_default();
    let latency = health.latency_ms.map(milliseconds).unwrap_or_default();
    match health.status {
        HealthStatus::Unchecked => Text::new(Tone::Dim, "-"),
        HealthStatus::Unknown => Text::new(Tone::Notable, format!("{kind} unknown")),
        HealthStatus::Healthy => Text::new(Tone::Good, format!("{kind} ok {latency}").trim_end()),
        HealthStatus::Unhealthy => Text::new(Tone::Bad, format!("{kind} failed")),
    }
}

/// An operator's is marked with `*`; one that is on its way to the configured weight says so.
fn weight(backend: &Backend) -> Text {
    let Backend { weight, configured_weight, .. } = backend;
    if backend.r#override.as_ref().is_some_and(|set| set.weight.is_some()) {
        Text::new(Tone::Notable, format!("{weight}*"))
    } else if weight == configured_weight {
        Text::plain(weight.to_string())
    } else {
        Text::plain(format!("{weight}/{configured_weight}"))
    }
}

fn connections(now: u64, limit: Option<u64>) -> Text {
    match limit {
        Some(limit) if now >= limit => Text::new(Tone::Notable, format!("{now}/{limit}")),
        Some(limit) => Text::plain(format!("{now}/{limit}")),
        None => Text::plain(count(now)),
    }
}

fn failures(backend: &Backend) -> Text {
    let tone = if backend.connect_failures_total > 0 { Tone::Notable } else { Tone::Plain };
    Text::new(tone, count(backend.connect_failures_total))
}

/// Why it is in its state, else what its last check says against it.
fn reason(backend: &Backend) -> Text {
    let check = backend.health.last.as_deref().filter(|_| match backend.health.status {
        HealthStatus::Unhealthy | HealthStatus::Unknown => true,
        HealthStatus::Healthy | HealthStatus::Unchecked => false,
    });
    Text::plain(backend.reason.as_deref().or(check).unwrap_or_default())
}

fn discovery(status: &Status, style: Style) -> String {
    let column = |title, align, fit, cell: &dyn Fn(&Discovery) -> Text| {
        Column::new(title, align, fit, status.discovery.iter().map(cell).collect())
    };
    let columns = vec![
        column("DISCOVERY", Align::Left, Fit::Whole, &|d| Text::new(Tone::Title, &d.query)),
        column("POOL", Align::Left, Fit::Drop(1), &|d| Text::plain(&d.pool)),
        column("ANSWERS", Align::Right, Fit::Whole, &|d| Text::plain(d.answers.to_string())),
        column("STATE", Align::Left, Fit::Cut(12), &|d| Text::plain(&d.state)),
    ];
    if status.discovery.is_empty() { String::new() } else { lines(columns, style).concat() }
}
