//! `[global]` of all files to [`Global`].

use lb_model::{Global, MaxConnections, Workers};

use crate::default;
use crate::document::Document;
use crate::duration::Period;
use crate::raw::{AutoOr, RawGlobal, Text};

pub(super) fn convert(documents: &[Document<'_>]) -> Global {
    let mut global = default::GLOBAL;
    for raw in documents.iter().filter_map(|document| document.raw.global.as_ref()) {
        let RawGlobal { workers, max_connections, drain_timeout, hash_seed } = raw;
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
    }
    global
}
