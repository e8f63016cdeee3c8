//! `[global]` of all files to [`Global`].

use lb_model::{Global, MaxConnections, Watch, Workers};

use crate::default;
use crate::document::Document;
use crate::duration::Period;
use crate::raw::{AutoOr, RawGlobal, Text};

pub(super) fn convert(documents: &[Document<'_>]) -> Global {
    let mut global = default::GLOBAL;
    for document in documents {
        let Some(raw) = &document.raw.global else { continue };
        let RawGlobal {
            workers,
            max_connections,
            drain_timeout,
            hash_seed,
            zone,
            state_dir,
            watch,
            nameservers,
        } = raw;
        if let Some(workers) = workers {
            global.workers = match workers.value {
                AutoOr::Auto => Workers::Auto,
                AutoOr::Value(ref count) => Workers::Count(count.0),
            };
        }
        if let Some(max_connections) = max_connections {
            global.max_connections = match max_connections.value {
                AutoOr::Auto => MaxConnections::Auto,
                AutoOr::Value(ref count) => MaxConnections::Count(count.0),
            };
        }
        if let Some(drain_timeout) = drain_timeout {
            let Text(Period(duration)) = drain_timeout.value;
            global.drain_timeout = duration;
        }
        if let Some(hash_seed) = hash_seed {
            global.hash_seed = hash_seed.value.0;
        }
        if let Some(zone) = zone {
            global.zone = Some(zone.value.0.clone());
        }
        if let Some(state_dir) = state_dir {
            global.state_dir = Some(document.resolve(&state_dir.value.0.0));
        }
        if let Some(watch) = watch {
            global.watch = if watch.value { Watch::On } else { Watch::Off };
        }
        if let Some(nameservers) = nameservers {
            global.nameservers = nameservers.iter().map(|server| server.value.0.0).collect();
        }
    }
    global
}
