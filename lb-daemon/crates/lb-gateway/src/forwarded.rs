//! What a backend is told of the client and of the way: hop-by-hop fields go, `X-Forwarded-*` come.

use std::io::Write as _;
use std::net::{IpAddr, SocketAddr};
use std::str;

use lb_http::{EditError, Fields, KnownField, RequestHead, Version};
use lb_model::{Http, Networks};

use crate::message::Message;
use crate::request_id::RequestId;

/// What only proxies say. Sluice does not say it, so from a client it would be a client's invention.
const OF_PROXIES: [KnownField; 3] = [KnownField::Forwarded, KnownField::XForwardedPort, KnownField::XRealIp];

/// Makes a request of `peer`, which has connected to `local`, one for a backend.
pub(crate) fn prepare(
    message: &mut Message,
    (peer, local): (SocketAddr, SocketAddr),
    http: &Http,
    id: RequestId,
) -> Result<Named, EditError> {
    let Message { request, value, .. } = message;
    if request.version() < Version::Http11 {
        // It expects nothing, whatever it says, and would take a 100 for its response (RFC 9110 §10.1.1).
        request.fields_mut().remove(KnownField::Expect);
    }
    keep_upgrade(request, value)?;
    let is_trusted = http.trusted_proxies.contains(peer.ip());
    let fields = request.fields_mut();
    if !is_trusted {
        OF_PROXIES.into_iter().for_each(|field| fields.remove(field));
    }
    if !fields.contains(KnownField::Host) {
        // HTTP/1.0 may do without, HTTP/1.1, as which it goes on, may not (RFC 9112 §3.2).
        value.clear();
        write(value, format_args!("{local}"));
        fields.set(KnownField::Host, value)?;
    }
    value.clear();
    for before in fields.get_all(KnownField::XForwardedFor).filter(|_| is_trusted) {
        value.extend_from_slice(before);
        value.extend_from_slice(b", ");
    }
    write(value, format_args!("{}", peer.ip().to_canonical()));
    fields.set(KnownField::XForwardedFor, value)?;
    if !(is_trusted && fields.contains(KnownField::XForwardedProto)) {
        fields.set(KnownField::XForwardedProto, b"http")?;
    }
    if !(is_trusted && fields.contains(KnownField::XForwardedHost)) {
        value.clear();
        value.extend_from_slice(fields.get(KnownField::Host).unwrap_or_default());
        if value.is_empty() {
            fields.remove(KnownField::XForwardedHost);
        } else {
            fields.set(KnownField::XForwardedHost, value)?;
        }
    }
    match &http.request_id_header {
        Some(name) if is_trusted && fields.contains(name.as_str()) => return Ok(Named::ByProxy),
        Some(name) => {
            value.clear();
            write(value, format_args!("{id}"));
            fields.set(name.as_str(), value)?;
        }
        None => {}
    }
    Ok(Named::Here)
}

/// Who says what a request is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Named {
    Here,
    /// A trusted proxy, in the field that is for it.
    ByProxy,
}

/// Takes out what is for this hop only. A wish for another protocol is passed on, as one of this hop; but not for another HTTP
/// or for TLS: whoever speaks those to a backend directly is past every route and filter.
fn keep_upgrade(request: &mut RequestHead, value: &mut Vec<u8>) -> Result<(), EditError> {
    value.clear();
    for protocol in request.upgrades().filter(|protocol| !is_http_or_tls(protocol)) {
        if !value.is_empty() {
            value.extend_from_slice(b", ");
        }
        value.extend_from_slice(protocol);
    }
    let fields = request.fields_mut();
    fields.remove_hop_by_hop();
    fields.remove(KnownField::Http2Settings);
    if !value.is_empty() {
        fields.set(KnownField::Connection, b"upgrade")?;
        fields.set(KnownField::Upgrade, value)?;
    }
    Ok(())
}

/// Whether a protocol that somebody would like to switch to is HTTP again, or TLS with whatever inside (RFC 2817).
fn is_http_or_tls(protocol: &[u8]) -> bool {
    let name = protocol.split(|&byte| byte == b'/').next().unwrap_or_default();
    [&b"h2c"[..], b"h2", b"http", b"tls"].iter().any(|known| name.eq_ignore_ascii_case(known))
}

/// Who the client is: the peer, or whom the proxies that are trusted name, the last of which nobody vouches for.
pub(crate) fn client(fields: &Fields, peer: IpAddr, trusted: &Networks) -> IpAddr {
    let mut client = peer;
    if !trusted.contains(client) {
        return client;
    }
    let mut named =
        fields.get_all(KnownField::XForwardedFor).flat_map(|list| list.split(|&byte| byte == b','));
    // From the last to the first. There are few, and mostly none.
    let mut all: Vec<&[u8]> = named.by_ref().collect();
    while let Some(named) = all.pop() {
        let Some(address) = str::from_utf8(named).ok().and_then(|text| text.trim().parse().ok()) else {
            break;
        };
        client = address;
        if !trusted.contains(client) {
            break;
        }
    }
    client
}

fn write(out: &mut Vec<u8>, text: std::fmt::Arguments<'_>) {
    // A vector takes everything.
    let _ = out.write_fmt(text);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_client_is_the_last_that_no_trusted_proxy_is() {
        let trusted = Networks::new(vec!["10.0.0.0/8".parse().unwrap()]);
        for (peer, lists, expected) in [
            ("192.0.2.1", &["1.1.1.1"][..], "192.0.2.1"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["1.1.1.1"], "1.1.1.1"),
            ("10.0.0.1", &["6.6.6.6, 1.1.1.1, 10.0.0.2"], "1.1.1.1"),
            ("10.0.0.1", &["6.6.6.6", "1.1.1.1 ,10.0.0.2"], "1.1.1.1"),
            ("10.0.0.1", &["10.0.0.3,10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &["6.6.6.6, unknown, 10.0.0.2"], "10.0.0.2"),
            ("10.0.0.1", &["2001:db8::1"], "2001:db8::1"),
        ] {
            let mut fields = Fields::default();
            for list in lists {
                fields.append(KnownField::XForwardedFor, list.as_bytes()).unwrap();
            }
            let client = client(&fields, peer.parse().unwrap(), &trusted);
            assert_eq!(client, expected.parse::<IpAddr>().unwrap(), "{lists:?} from {peer}");
        }
    }

    #[test]
    fn http_and_tls_are_no_other_protocols() {
        for refused in ["h2c", "H2C", "HTTP/2.0", "TLS/1.0", "h2"] {
            assert!(is_http_or_tls(refused.as_bytes()), "{refused}");
        }
        for passed in ["websocket", "echo/2", "h2x"] {
            assert!(!is_http_or_tls(passed.as_bytes()), "{passed}");
        }
    }
}
