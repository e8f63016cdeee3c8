//! PROXY protocol headers for backends.

use lb_model::{Include, ProxyTlvs, SendProxy};

use super::inline::Inline;
use super::list;

/// `header` as a word or a table.
pub(super) fn or_off(header: Option<SendProxy>) -> String {
    match header {
        None => "\"off\"".to_owned(),
        Some(SendProxy::V1) => "\"v1\"".to_owned(),
        Some(SendProxy::V2(tlvs)) => {
            let mut table = Inline::default();
            table.set("version", "\"v2\"");
            table.set("tlvs", list(&included(tlvs)));
            table.to_string()
        }
    }
}

fn included(tlvs: ProxyTlvs) -> Vec<&'static str> {
    let ProxyTlvs { alpn, authority, unique_id, crc32c } = tlvs;
    let all = [("alpn", alpn), ("authority", authority), ("unique_id", unique_id), ("crc32c", crc32c)];
    all.into_iter().filter(|(_, include)| *include == Include::Yes).map(|(name, _)| name).collect()
}
