//! The file format as serde sees it: one struct for each TOML table, nothing checked beyond the shape of each value.
//!
//! Every key is optional here, also those that a configuration must have: [`convert`](crate::convert) says what is
//! missing, so that one mistake does not hide the others. The doc comments are the operator's reference page.

mod backend;
mod file;
mod global;
mod listener;
mod log;
mod passive_health;
mod pool;
mod queue;
mod value;

pub(crate) use backend::{RawBackend, RawBackendTable};
pub(crate) use file::RawFile;
pub(crate) use global::RawGlobal;
pub(crate) use listener::RawListener;
pub(crate) use log::RawLog;
pub(crate) use passive_health::RawPassiveHealth;
pub(crate) use pool::RawPool;
pub(crate) use queue::RawQueue;
pub(crate) use value::{AutoOr, Located, Named, OffOr, Text, Whole, Word};
