//! The PROXY protocol header that a backend gets first of all.

use lb_model::{Include, ProxyTlvs, SendProxy};
use lb_net::sniff::Progress;
use lb_net::sniff::proxy_protocol::{
    self, Checksum, EncodeError, Endpoints, Header, Tlv, Transport, encode_v1, encode_v2,
};

use super::preface::Preface;
use crate::record::Record;

/// The header for the connection of `record`. What a header from the client's side told goes on, but for what is known
/// here at first hand.
pub(super) fn header(send: SendProxy, record: &mut Record) -> Result<Vec<u8>, EncodeError> {
    let preface = record.details.as_deref().and_then(|details| details.preface.as_ref());
    let destination = preface.and_then(|preface| preface.proxied.as_ref()?.destination);
    let endpoints = Endpoints { source: record.client, destination: destination.unwrap_or(record.local) };
    match send {
        SendProxy::V1 => Ok(encode_v1(endpoints)),
        SendProxy::V2(wanted) => {
            if wanted.unique_id == Include::Yes && record.details().unique_id.is_none() {
                let id = unique_id(record);
                record.details().unique_id = Some(id);
            }
            let details = record.details();
            version_2(endpoints, wanted, details.preface.as_ref(), details.unique_id.as_deref())
        }
    }
}

fn version_2(
    endpoints: Endpoints,
    wanted: ProxyTlvs,
    preface: Option<&Preface>,
    unique_id: Option<&[u8]>,
) -> Result<Vec<u8>, EncodeError> {
    let hello = preface.and_then(|preface| preface.hello.as_ref());
    let alpn = hello.and_then(|hello| hello.alpn.iter().next()).map(Tlv::Alpn);
    let authority = hello.and_then(|hello| hello.server_name.as_ref());
    let own = [
        alpn.filter(|_| wanted.alpn == Include::Yes),
        authority.map(|name| Tlv::Authority(name.as_str())).filter(|_| wanted.authority == Include::Yes),
        unique_id.map(Tlv::UniqueId).filter(|_| wanted.unique_id == Include::Yes),
    ];
    let mut tlvs: Vec<_> = own.into_iter().flatten().collect();
    let known = tlvs.len();
    for passed in preface.and_then(passed_on).iter().flat_map(|header| header.tlvs.iter()) {
        if !tlvs.iter().take(known).any(|own| std::mem::discriminant(own) == std::mem::discriminant(&passed))
        {
            tlvs.push(passed);
        }
    }
    let checksum = if wanted.crc32c == Include::Yes { Checksum::Crc32c } else { Checksum::Omit };
    encode_v2(endpoints, Transport::Stream, &tlvs, checksum).or_else(|_too_long| {
        // With what others have added there is no room: what was asked for here goes first.
        encode_v2(endpoints, Transport::Stream, tlvs.get(..known).unwrap_or_default(), checksum)
    })
}

/// What the connection is called: as those called it who passed it on to here, else a random name.
fn unique_id(record: &Record) -> Box<[u8]> {
    let preface = record.details.as_deref().and_then(|details| details.preface.as_ref());
    let given = preface.and_then(passed_on).and_then(|header| {
        header
            .tlvs
            .iter()
            .find_map(|tlv| if let Tlv::UniqueId(id) = tlv { Some(Box::from(id)) } else { None })
    });
    given.unwrap_or_else(|| format!("{:032x}", fastrand::u128(..)).into_bytes().into())
}

fn passed_on(preface: &Preface) -> Option<Header<'_>> {
    match proxy_protocol::parse(&preface.proxied.as_ref()?.header) {
        Ok(Progress::Done { value, .. }) => Some(value),
        Ok(Progress::NeedMore { .. }) | Err(_) => None,
    }
}
