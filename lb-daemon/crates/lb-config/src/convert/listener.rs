//! `[listeners.NAME]` to [`Listener`].

use lb_model::Listener;

use super::{PoolNames, access, bind, duration, name, required};
use crate::default;
use crate::diagnostic::Problems;
use crate::document::Document;
use crate::raw::{Located, RawListener};

pub(super) fn convert(
    key: &Located<String>,
    raw: &Located<RawListener>,
    pools: &PoolNames,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Option<Listener> {
    let Located { span: table, value: raw } = raw;
    let RawListener { bind, protocol, pool, max_connections, idle_timeout, keepalive, allow, deny } = raw;

    let name = name(key, document, problems);
    let bind = required("bind", bind.as_ref(), table, document, problems)
        .map(|bind| bind::convert(bind, document, problems));
    let protocol = required("protocol", protocol.as_ref(), table, document, problems);
    let pool = required("pool", pool.as_ref(), table, document, problems)
        .and_then(|pool| pools.resolve(pool, document, problems));
    let idle_timeout =
        duration::positive_or_off(idle_timeout.as_ref(), default::IDLE_TIMEOUT, document, problems);
    let keepalive = duration::keepalive(keepalive.as_ref(), default::CLIENT_KEEPALIVE, document, problems);

    Some(Listener {
        name: name?,
        bind: bind?,
        protocol: protocol?.value.0.into(),
        pool: pool?,
        max_connections: max_connections.as_ref().map(|max| max.value.0),
        idle_timeout,
        keepalive,
        access: access::convert(allow.as_ref(), deny.as_ref()),
    })
}
