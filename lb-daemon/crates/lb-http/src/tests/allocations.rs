//! Once its buffers have grown, the codec allocates nothing for a message.

use crate::{
    BodyDecoder, BodyEncoder, BodyLimits, Decoded, Framing, HeadLimits, KnownField, Method, RequestHead,
    ResponseHead,
};
use allocation_counter::measure;

const HEAD_LIMITS: HeadLimits = HeadLimits { bytes: 16 * 1024, target: 8 * 1024, fields: 100 };
const BODY_LIMITS: BodyLimits = BodyLimits { extensions: 4096, trailer_bytes: 4096, trailer_fields: 32 };

const REQUEST: &[u8] = b"POST /articles?id=1 HTTP/1.1\r\nHost: www.example.com\r\nUser-Agent: Mozilla/5.0 (X11; Linux \
    x86_64; rv:132.0) Gecko/20100101 Firefox/132.0\r\nAccept: */*\r\nX-Other:  a \r\nConnection: keep-alive, X-Secret\r\n\
    X-Secret: b\r\nCookie: c=d\r\nTransfer-Encoding: chunked\r\n\r\n";
const RESPONSE: &[u8] =
    b"HTTP/1.1 200 OK\r\nServer: a\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\
    Connection: keep-alive\r\n\r\n";
const BODY: &[u8] = b"5;a\r\nabcde\r\n3\r\nfgh\r\n0\r\n\r\n";

/// What a proxy does for a request and its response.
fn exchange(request: &mut RequestHead, response: &mut ResponseHead, out: &mut Vec<u8>) {
    out.clear();
    for cut in [10, 100, REQUEST.len()] {
        request.parse(&REQUEST[..cut], &HEAD_LIMITS).unwrap();
    }
    let fields = request.fields_mut();
    fields.remove_hop_by_hop();
    fields.set(KnownField::XForwardedFor, b"192.0.2.1").unwrap();
    fields.append("X-Other", b"e").unwrap();
    fields.remove("cookie");
    request.write(request.framing(), out);
    relay(request.framing(), out);

    response.parse(RESPONSE, Method::Post, &HEAD_LIMITS).unwrap();
    response.fields_mut().remove_hop_by_hop();
    response.fields_mut().set(KnownField::Server, b"f").unwrap();
    response.write(response.framing(), out);
    relay(response.framing(), out);

    response.begin(503);
    response.fields_mut().append(KnownField::RetryAfter, b"1").unwrap();
    response.write(Framing::Length(0), out);
}

fn relay(framing: Framing, out: &mut Vec<u8>) {
    let (mut decoder, mut encoder) = (BodyDecoder::new(framing, BODY_LIMITS), BodyEncoder::new(framing));
    let mut rest = BODY;
    while !decoder.is_ended() {
        let Decoded { consumed, data } = decoder.decode(rest).unwrap();
        encoder.write(&rest[data], out).unwrap();
        rest = &rest[consumed..];
    }
    encoder.end(decoder.trailers(), out).unwrap();
}

#[test]
fn a_message_costs_no_allocation_once_buffers_have_grown() {
    let (mut request, mut response, mut out) = (RequestHead::new(), ResponseHead::new(), Vec::new());
    let first = measure(|| exchange(&mut request, &mut response, &mut out));
    assert!(first.count_total > 0, "nothing is counted");
    let written = out.clone();
    let again = measure(|| (0..100).for_each(|_| exchange(&mut request, &mut response, &mut out)));
    assert_eq!(again.count_total, 0);
    assert_eq!(out, written);
}

/// A head that has been given up, or was wrong, leaves its buffers to the next.
#[test]
fn a_bad_message_costs_no_allocation_either() {
    let (mut request, mut response, mut out) = (RequestHead::new(), ResponseHead::new(), Vec::new());
    exchange(&mut request, &mut response, &mut out);
    let bad = measure(|| {
        request.parse(&REQUEST[..100], &HEAD_LIMITS).unwrap();
        request.clear();
        request.parse(b"GET / HTTP/1.1\r\na: b\r\n c\r\n", &HEAD_LIMITS).unwrap_err();
        exchange(&mut request, &mut response, &mut out);
    });
    assert_eq!(bad.count_total, 0);
}
