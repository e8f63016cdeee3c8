//! The file format as serde sees it: one struct for each TOML table, nothing checked beyond the shape of each value.
//!
//! Every key is optional here, also those that a configuration must have: [`convert`](crate::convert) says what is
//! missing, so that one mistake does not hide the others. The doc comments are the operator's reference page.

mod access_log;
mod admin;
mod backend;
mod discovery;
mod file;
mod global;
mod health_check;
mod listener;
mod log;
mod passive_health;
mod pool;
mod queue;
mod route;
mod send_proxy;
mod short_or;
mod sni;
mod text_form;
mod value;

pub(crate) use access_log::{RawAccessLog, RawAccessLogWord};
pub(crate) use admin::{RawAdmin, RawAdminTcp, RawAdminTls};
pub(crate) use backend::RawBackend;
pub(crate) use discovery::RawDiscovery;
pub(crate) use file::RawFile;
pub(crate) use global::RawGlobal;
pub(crate) use health_check::{
    Off, RawBody, RawHealthCheck, RawProbeType, RawUdpAnswer, RawUdpAnswerContent,
};
pub(crate) use listener::{RawListener, RawProtocol};
pub(crate) use log::RawLog;
pub(crate) use passive_health::RawPassiveHealth;
pub(crate) use pool::{RawPool, RawZones};
pub(crate) use queue::RawQueue;
pub(crate) use route::{RawHeaderEdits, RawRoute};
pub(crate) use send_proxy::{RawProxyHeader, RawProxyTlv, RawProxyVersion, RawSendProxy};
pub(crate) use short_or::ShortOr;
pub(crate) use sni::RawSniRoute;
pub(crate) use text_form::Text;
pub(crate) use value::{AutoOr, Located, Named, OffOr, Whole, Word};
