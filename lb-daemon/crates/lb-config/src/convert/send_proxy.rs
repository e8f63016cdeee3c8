//! `send_proxy` of a pool to [`SendProxy`], and that no listener for datagrams uses such a pool.

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;

use lb_model::{Include, Protocol, ProxyTlvs, SendProxy};

use super::required;
use crate::diagnostic::Problems;
use crate::document::Document;
use crate::raw::{
    Located, RawPool, RawProxyHeader, RawProxyTlv, RawProxyVersion, RawSendProxy, ShortOr, Word,
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

/// Reports listeners for datagrams whose pool sends headers: a header is for a connection.
pub(super) fn check_listeners(documents: &[Document<'_>], problems: &mut Problems) {
    let senders = senders(documents);
    for document in documents {
        for (_, Located { value: listener, .. }) in document.raw.listeners() {
            let is_udp =
                listener.protocol.as_ref().is_some_and(|raw| Protocol::from(raw.value.0) == Protocol::Udp);
            if let Some(pool) = listener.pool.as_ref().filter(|_| is_udp)
                && let Some(place) = senders.get(pool.value.0.as_str())
            {
                let message = format!(
                    "there is no PROXY header for datagrams, but the pool \"{}\" has `send_proxy`, at {place}; \
                     give this listener another pool",
                    pool.value.0
                );
                problems.error(document.diagnostic(pool.span.clone(), &message));
            }
        }
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
