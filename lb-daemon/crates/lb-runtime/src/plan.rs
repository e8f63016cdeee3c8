//! What a reload changes, found by comparing two views: the current one and the one that the reload would publish.

mod http;

use std::collections::BTreeMap;
use std::fmt::{Debug, Display};
use std::time::Duration;

use lb_balance::BackendIndex;
use lb_model::{
    Admin, AdminSocket, Backend, BackendAddress, BackendName, Bind, Config, Discovery, DurationText, Global,
    Listener, Log, MaxConnections, Pool, Watch, Workers, Zones,
};

use crate::runtime::StartedWith;
use crate::view::{PoolView, View};

/// What a reload changes.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// Settings of the process.
    pub global: Vec<String>,
    /// Settings that only a restart puts into effect.
    pub needs_restart: Vec<String>,
    /// Listeners, by name.
    pub listeners: Vec<Change>,
    /// Pools, by name.
    pub pools: Vec<PoolChange>,
}

/// What happens to something that has a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// The name.
    pub name: String,
    /// What happens to it.
    pub kind: ChangeKind,
    /// Which settings change, for people: `weight: 1 → 3`.
    pub details: Vec<String>,
}

/// What happens to something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChangeKind {
    /// It is new.
    Added,
    /// It goes away.
    Removed,
    /// It stays, with other settings.
    Changed,
}

/// What happens to a pool.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolChange {
    /// The pool itself.
    pub change: Change,
    /// Its backends, by name.
    pub backends: Vec<Change>,
    /// The share of its Maglev slots that get another backend, 0 to 1: about that share of new connections goes elsewhere than
    /// before. `None` where the algorithm does not hash.
    pub moved: Option<f64>,
}

impl Plan {
    /// Whether anything changes at all.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    pub(crate) fn between(old: &View, new: &View, started_with: &StartedWith) -> Self {
        let (before, after) = (&old.snapshot.config, &new.snapshot.config);
        let mut plan = Self::default();
        compare_global(&before.global, &after.global, &mut plan);
        compare_log(&before.log, &after.log, &mut plan);
        compare_fixed(started_with, after, &mut plan);
        let named =
            |config: &Config| by_name(config.listeners.iter().map(|l| (l.name.to_string(), l.clone())));
        plan.listeners = changes(&named(before), &named(after), |before_listener, after_listener| {
            compare_listeners(before_listener, before, after_listener, after)
        });
        let pools =
            |view: &View| by_name(view.pools.iter().map(|p| (p.settings.name.to_string(), p.clone())));
        let (before, after) = (pools(old), pools(new));
        plan.pools =
            changes(&before, &after, |before, after| compare_pools(&before.settings, &after.settings))
                .into_iter()
                .map(|change| {
                    let (before, after) = (before.get(&change.name), after.get(&change.name));
                    pool_change(change, before.map(|pool| &**pool), after.map(|pool| &**pool))
                })
                .collect();
        plan
    }
}

fn by_name<T>(items: impl Iterator<Item = (String, T)>) -> BTreeMap<String, T> {
    items.collect()
}

/// What was added, removed, or differs: `compare` gives the details, none where nothing does.
fn changes<T>(
    before: &BTreeMap<String, T>,
    after: &BTreeMap<String, T>,
    compare: impl Fn(&T, &T) -> Vec<String>,
) -> Vec<Change> {
    let mut changes = Vec::new();
    for (name, old) in before {
        match after.get(name) {
            None => changes.push(Change { name: name.clone(), kind: ChangeKind::Removed, details: vec![] }),
            Some(new) => {
                let details = compare(old, new);
                if !details.is_empty() {
                    changes.push(Change { name: name.clone(), kind: ChangeKind::Changed, details });
                }
            }
        }
    }
    let added = after.keys().filter(|name| !before.contains_key(*name));
    changes.extend(added.map(|name| Change { name: name.clone(), kind: ChangeKind::Added, details: vec![] }));
    changes.sort_by(|a, b| a.name.cmp(&b.name));
    changes
}

/// Collects `name: old → new` for what differs.
struct Differences(Vec<String>);

impl Differences {
    fn new() -> Self {
        Self(Vec::new())
    }

    fn shown<T: PartialEq>(mut self, name: &str, before: &T, after: &T, show: impl Fn(&T) -> String) -> Self {
        if before != after {
            self.0.push(format!("{name}: {} → {}", show(before), show(after)));
        }
        self
    }

    fn plain<T: PartialEq + Display>(self, name: &str, before: &T, after: &T) -> Self {
        self.shown(name, before, after, ToString::to_string)
    }

    /// For words that are written in lower case.
    fn word<T: PartialEq + Debug>(self, name: &str, before: &T, after: &T) -> Self {
        self.shown(name, before, after, |value| format!("{value:?}").to_lowercase())
    }

    fn duration(self, name: &str, before: &Duration, after: &Duration) -> Self {
        self.shown(name, before, after, |value| DurationText(*value).to_string())
    }

    fn duration_or_off(self, name: &str, before: &Option<Duration>, after: &Option<Duration>) -> Self {
        self.optional(name, "off", &before.map(DurationText), &after.map(DurationText))
    }

    /// `none` is what stands for no value.
    fn optional<T: PartialEq + Display>(
        self,
        name: &str,
        none: &str,
        before: &Option<T>,
        after: &Option<T>,
    ) -> Self {
        self.shown(name, before, after, |value| {
            value.as_ref().map_or_else(|| none.to_owned(), ToString::to_string)
        })
    }

    /// Adds what was found elsewhere.
    fn all(mut self, differences: Vec<String>) -> Self {
        self.0.extend(differences);
        self
    }

    /// For what is too long to be shown.
    fn unshown<T: PartialEq>(mut self, name: &str, before: &T, after: &T) -> Self {
        if before != after {
            self.0.push(format!("{name} changes"));
        }
        self
    }
}

fn compare_global(before: &Global, after: &Global, plan: &mut Plan) {
    let Global {
        workers: _,
        max_connections,
        drain_timeout,
        hash_seed,
        zone,
        state_dir: _,
        watch,
        nameservers,
    } = before;
    plan.global = Differences::new()
        .shown("max_connections", max_connections, &after.max_connections, |max| match max {
            MaxConnections::Auto => "auto".into(),
            MaxConnections::Count(count) => count.to_string(),
        })
        .duration("drain_timeout", drain_timeout, &after.drain_timeout)
        .plain("hash_seed", hash_seed, &after.hash_seed)
        .optional("zone", "none", zone, &after.zone)
        .shown("watch", watch, &after.watch, |watch| (*watch == Watch::On).to_string())
        .shown("nameservers", nameservers, &after.nameservers, |servers| {
            let servers: Vec<_> = servers.iter().map(ToString::to_string).collect();
            if servers.is_empty() { "those of /etc/resolv.conf".into() } else { servers.join(" ") }
        })
        .0;
}

/// Against what the process has started with, whatever reloads there were since.
fn compare_fixed(before: &StartedWith, after: &Config, plan: &mut Plan) {
    let StartedWith { workers, state_dir, admin: Admin { socket, tcp } } = before;
    plan.needs_restart = Differences::new()
        .shown("workers", workers, &after.global.workers, |workers| match workers {
            Workers::Auto => "auto".into(),
            Workers::Count(count) => count.to_string(),
        })
        .shown("state_dir", state_dir, &after.global.state_dir, |path| {
            path.as_ref().map_or_else(|| "none".into(), |path| path.display().to_string())
        })
        .shown("admin.socket", socket, &after.admin.socket, |socket| match socket {
            AdminSocket::Default => "the default".into(),
            AdminSocket::Path(path) => path.display().to_string(),
            AdminSocket::Off => "off".into(),
        })
        .unshown("admin.tcp", tcp, &after.admin.tcp)
        .0;
}

fn compare_log(before: &Log, after: &Log, plan: &mut Plan) {
    let Log { level, format, access } = before;
    let differences = Differences::new()
        .word("log.level", level, &after.level)
        .word("log.format", format, &after.format)
        .plain("log.access", access, &after.access);
    plan.global.extend(differences.0);
}

fn compare_listeners(before: &Listener, old: &Config, after: &Listener, new: &Config) -> Vec<String> {
    let Listener {
        name: _,
        bind,
        protocol,
        pool: _,
        sni: _,
        http,
        accept_proxy,
        header_timeout,
        replies,
        max_connections,
        max_connections_per_client,
        idle_timeout,
        keepalive,
        access,
    } = before;
    let name_of = |config: &Config, pool| config.pool(pool).map(|pool| pool.name.clone());
    let pool_name = |config, listener: &Listener| listener.pool.and_then(|pool| name_of(config, pool));
    // By their pools' names: the places of pools change with the file's order.
    let routes = |config, listener: &Listener| -> Vec<_> {
        let routes = listener.sni.iter();
        routes.map(|route| (route.names.clone(), route.alpn.clone(), name_of(config, route.pool))).collect()
    };
    let http = http.as_ref().zip(after.http.as_ref());
    let http = http.map_or_else(Vec::new, |(before, after)| http::compare(before, old, after, new));
    Differences::new()
        .shown("bind", bind, &after.bind, |bind| {
            bind.iter().map(Bind::to_string).collect::<Vec<_>>().join(" ")
        })
        .shown("protocol", protocol, &after.protocol, |protocol| protocol.label().into())
        .optional("pool", "none", &pool_name(old, before), &pool_name(new, after))
        .unshown("sni", &routes(old, before), &routes(new, after))
        .unshown("accept_proxy", accept_proxy, &after.accept_proxy)
        .duration("header_timeout", header_timeout, &after.header_timeout)
        .optional("replies", "none", replies, &after.replies)
        .optional("max_connections", "no limit", max_connections, &after.max_connections)
        .optional(
            "max_connections_per_client",
            "no limit",
            max_connections_per_client,
            &after.max_connections_per_client,
        )
        .duration_or_off("idle_timeout", idle_timeout, &after.idle_timeout)
        .duration_or_off("keepalive", keepalive, &after.keepalive)
        .unshown("allow or deny", access, &after.access)
        .all(http)
        .0
}

fn compare_pools(before: &Pool, after: &Pool) -> Vec<String> {
    let Pool {
        name: _,
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
        http,
    } = before;
    let names = |discover: &Vec<Discovery>| {
        let names: Vec<_> = discover.iter().map(|discovery| discovery.query.name().to_string()).collect();
        if names.is_empty() { "none".to_owned() } else { names.join(" ") }
    };
    Differences::new()
        .shown("balance", balance, &after.balance, |balance| balance.label().into())
        .shown("discovers", discover, &after.discover, names)
        .unshown("discovery", discovery, &after.discovery)
        .duration("connect_timeout", connect_timeout, &after.connect_timeout)
        .plain("connect_tries", connect_tries, &after.connect_tries)
        .duration_or_off("keepalive", keepalive, &after.keepalive)
        .plain("queue.limit", &queue.limit, &after.queue.limit)
        .duration("queue.timeout", &queue.timeout, &after.queue.timeout)
        .unshown("passive_health", passive_health, &after.passive_health)
        .duration_or_off("slow_start", slow_start, &after.slow_start)
        .plain("panic_threshold", panic_threshold, &after.panic_threshold)
        .shown("zones", zones, &after.zones, |zones| match zones {
            Zones::Ignore => "ignore".into(),
            Zones::PreferLocal => "prefer_local".into(),
        })
        .unshown("send_proxy", send_proxy, &after.send_proxy)
        .unshown("backends", backends, &after.backends)
        .all(http::compare_upstream(http, &after.http))
        .0
}

fn compare_backends(before: &Backend, after: &Backend) -> Vec<String> {
    let Backend { name: _, address, weight, max_connections, tier, zone, health_check } = before;
    Differences::new()
        .plain("address", address, &after.address)
        .plain("weight", &weight.0, &after.weight.0)
        .optional("max_connections", "no limit", max_connections, &after.max_connections)
        .plain("tier", tier, &after.tier)
        .optional("zone", "none", zone, &after.zone)
        .unshown("health_check", health_check, &after.health_check)
        .0
}

fn pool_change(mut change: Change, before: Option<&PoolView>, after: Option<&PoolView>) -> PoolChange {
    // The backends tell that themselves.
    change.details.retain(|detail| detail != "backends changes");
    let backends = |pool: Option<&PoolView>| {
        by_name(pool.iter().flat_map(|p| &p.settings.backends).map(|b| (b.name.to_string(), b.clone())))
    };
    let backends = if change.kind == ChangeKind::Changed {
        changes(&backends(before), &backends(after), compare_backends)
    } else {
        Vec::new()
    };
    let moved = before.zip(after).and_then(|(before, after)| moved(before, after));
    PoolChange { change, backends, moved }
}

/// The share of slots that have another backend, by name and address.
fn moved(before: &PoolView, after: &PoolView) -> Option<f64> {
    let (old, new) = (slots(before)?, slots(after)?);
    let total = old.len().max(new.len());
    if total == 0 {
        return None;
    }
    let stay = old.iter().zip(&new).filter(|(old, new)| old == new).count();
    #[expect(clippy::cast_precision_loss, reason = "there are 65,537 slots")]
    let share = (total - stay) as f64 / total as f64;
    Some(share)
}

fn slots(pool: &PoolView) -> Option<Vec<Option<(&BackendName, BackendAddress)>>> {
    let backend_at = |index: &BackendIndex| {
        pool.settings.backends.get(index.index()).map(|backend| (&backend.name, backend.address))
    };
    Some(pool.balancer().maglev()?.slots().iter().map(backend_at).collect())
}
