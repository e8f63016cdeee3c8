//! `send_proxy` of a pool to [`SendProxy`], and that only listeners use such a pool whose connections are one client's.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use lb_model::{Include, ProxyTlvs, SendProxy};

use super::{pool_names, required};
use crate::diagnostic::Problems;
use crate::document::Document;
use crate::raw::{
    Located, RawPool, RawProtocol, RawProxyHeader, RawProxyTlv, RawProxyVersion, RawSendProxy, ShortOr, Word,
};

pub(super) fn convert(
    raw: Option<&Located<ShortOr<RawSendProxy>>>,
    document: &Document<'_>,
    problems: &mut Problems,
) -> Option<SendProxy> {
    let Located { span: table, value: raw } = raw?;
    let RawSendProxy { version, tlvs } = match raw {
        ShortOr::Short(Word(RawProxyHeader::Off)) => return None,
        ShortOr::Short(Word(RawProxyHeader::V1)) => return Some(SendProxy::V1),
        ShortOr::Short(Word(RawProxyHeader::V2)) => return Some(SendProxy::V2(ProxyTlvs::default())),
        ShortOr::Long(table) => table,
    };
    match required("version", version.as_ref(), table, document, problems)?.value.0 {
        RawProxyVersion::V1 => {
            if let Some(tlvs) = tlvs.as_ref().filter(|tlvs| !tlvs.value.is_empty()) {
                let message =
                    "a header of version 1 has addresses only: write version = \"v2\", or leave `tlvs` out";
                problems.error(document.diagnostic(tlvs.span.clone(), message));
            }
            Some(SendProxy::V1)
        }
        RawProxyVersion::V2 => Some(SendProxy::V2(self::tlvs(tlvs.iter().flat_map(|tlvs| &tlvs.value)))),
    }
}

fn tlvs<'r>(raw: impl Iterator<Item = &'r Located<Word<RawProxyTlv>>>) -> ProxyTlvs {
    let mut tlvs = ProxyTlvs::default();
    for Located { value: Word(tlv), .. } in raw {
        let included = match tlv {
            RawProxyTlv::Alpn => &mut tlvs.alpn,
            RawProxyTlv::Authority => &mut tlvs.authority,
            RawProxyTlv::UniqueId => &mut tlvs.unique_id,
            RawProxyTlv::Crc32c => &mut tlvs.crc32c,
        };
        *included = Include::Yes;
    }
    tlvs
}

/// Reports listeners whose pools send headers where no connection to a backend is one client's.
pub(super) fn check_listeners(documents: &[Document<'_>], problems: &mut Problems) {
    let senders = senders(documents);
    for document in documents {
        for (_, Located { value: listener, .. }) in document.raw.listeners() {
            let Some(why) = listener.protocol.as_ref().and_then(|protocol| why_no_header(protocol.value.0))
            else {
                continue;
            };
            for pool in pool_names::references(listener) {
                if let Some(place) = senders.get(pool.value.0.as_str()) {
                    let message = format!(
                        "{why}, but the pool \"{}\" has `send_proxy`, at {place}; give this listener another pool",
                        pool.value.0
                    );
                    problems.error(document.diagnostic(pool.span.clone(), &message));
                }
            }
        }
    }
}

/// Why listeners of a protocol cannot send a header for each client, if so.
fn why_no_header(protocol: RawProtocol) -> Option<&'static str> {
    match protocol {
        RawProtocol::Tcp | RawProtocol::Tls => None,
        RawProtocol::Udp => Some("there is no PROXY header for datagrams"),
        RawProtocol::Http => Some(
            "connections to HTTP backends are shared by clients, whom `X-Forwarded-For` names and no PROXY header could",
        ),
    }
}

/// The pools that send headers, each with the place that says so.
fn senders<'d>(documents: &'d [Document<'_>]) -> HashMap<&'d str, impl fmt::Display> {
    let of_document = |document: &'d Document<'_>| {
        let pools = document.raw.pools();
        pools.filter_map(|(name, pool)| Some((&*name.value, document.place(header_span(&pool.value)?))))
    };
    documents.iter().flat_map(of_document).collect()
}

/// Where `pool` asks for a header, if it does.
fn header_span(pool: &RawPool) -> Option<&Range<usize>> {
    let Located { span, value } = pool.send_proxy.as_ref()?;
    match value {
        ShortOr::Short(Word(RawProxyHeader::Off)) => None,
        ShortOr::Short(Word(RawProxyHeader::V1 | RawProxyHeader::V2)) | ShortOr::Long(_) => Some(span),
    }
}
