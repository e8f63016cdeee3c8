//! What clients get instead of a response: a short body that says what happened, and nothing of how it looks inside.

use std::future::poll_fn;
use std::io::{IoSlice, Write as _};
use std::time::Duration;

use lb_dial::before;
use lb_http::{EditError, Framing, KnownField, Method, Persistence, RequestHead, ResponseHead, Version};
use lb_model::Termination;
use lb_net::{Wire, linger};
use lb_telemetry::metrics::RequestEnd;

use crate::client::Client;
use crate::conn::After;
use crate::exchange::Exchange;
use crate::failure::Failure;
use crate::message::Message;
use crate::request_id::RequestId;

/// How long a client may take for what it is told last.
const PATIENCE: Duration = Duration::from_secs(2);

/// Tells the client of a failure. Its connection goes on if it is known where its next request begins.
pub(crate) async fn refuse(exchange: &mut Exchange<'_>, failure: Failure) -> After {
    let (record, client) = (&mut exchange.record, &mut *exchange.client);
    (record.end, record.fault) = (Some(failure.end), failure.fault);
    let Some(status) = failure.status else {
        client.wire.reset();
        return After::End(failure.connection_end());
    };
    record.status = status;
    // Not where what the client has sent is not understood, or not whole; and a body that nobody has read is in the way of
    // what comes next.
    let is_client =
        matches!(failure.end, RequestEnd::BadRequest | RequestEnd::HeaderTimeout | RequestEnd::BodyTimeout);
    let is_bodiless = matches!(exchange.message.request.framing(), Framing::None | Framing::Length(0));
    if is_bodiless && !is_client {
        record.persistence = client.persistence(&exchange.message, &exchange.terms);
    }
    let Message { request, response, out, value } = &mut *exchange.message;
    if write(request, response, (status, record.id), record.persistence, (out, value)).is_err()
        || client.wire.write(&[IoSlice::new(out)]).is_err()
    {
        return After::End(Termination::ClientReset);
    }
    record.bytes_out += out.len() as u64;
    client.timer.arm(PATIENCE);
    let Client { wire, timer, .. } = client;
    if !matches!(before(timer, poll_fn(|cx| wire.poll_flush(cx))).await, Ok(Ok(()))) {
        client.wire.reset();
        return After::End(Termination::ClientReset);
    }
    match record.persistence {
        Persistence::KeepAlive => After::Next,
        Persistence::Close => close(client).await,
    }
}

/// Closes a connection whose client may still be sending, so that it hears what it was told last.
pub(crate) async fn close(client: &mut Client) -> After {
    let wire = std::mem::replace(&mut client.wire, Wire::closed());
    if let Ok(stream) = wire.into_stream() {
        client.timer.arm(PATIENCE);
        // One that does not stop in time, or has failed, is closed all the same.
        let _ = before(&client.timer, linger(&stream)).await;
    }
    After::End(Termination::Finished)
}

/// Writes the whole response to `out`.
fn write(
    request: &RequestHead,
    response: &mut ResponseHead,
    (status, id): (u16, RequestId),
    persistence: Persistence,
    (out, body): (&mut Vec<u8>, &mut Vec<u8>),
) -> Result<(), EditError> {
    response.begin(status);
    body.clear();
    let title = String::from_utf8_lossy(response.reason()).into_owned();
    let form = Form::wanted(request);
    form.write((status, &title, id), body);
    let fields = response.fields_mut();
    fields.append(KnownField::ContentType, form.content_type())?;
    fields.append(KnownField::CacheControl, b"no-store")?;
    match persistence {
        Persistence::Close => fields.append(KnownField::Connection, b"close")?,
        Persistence::KeepAlive if request.version() < Version::Http11 => {
            fields.append(KnownField::Connection, b"keep-alive")?;
        }
        Persistence::KeepAlive => {}
    }
    out.clear();
    response.write(Framing::Length(body.len() as u64), out);
    if request.method() != Method::Head {
        out.extend_from_slice(body);
    }
    Ok(())
}

/// What a refusal looks like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// For programs: problem details (RFC 9457).
    Problem,
    /// For people.
    Html,
}

impl Form {
    /// HTML for those who ask for it, as browsers do.
    fn wanted(request: &RequestHead) -> Self {
        let mut accepted =
            request.fields().get_all(KnownField::Accept).flat_map(|list| list.split(|&b| b == b','));
        let is_html = |range: &[u8]| {
            let name = range.split(|&byte| byte == b';').next().unwrap_or_default();
            name.trim_ascii().eq_ignore_ascii_case(b"text/html")
        };
        if accepted.any(is_html) { Self::Html } else { Self::Problem }
    }

    fn content_type(self) -> &'static [u8] {
        match self {
            Self::Problem => b"application/problem+json",
            Self::Html => b"text/html; charset=utf-8",
        }
    }

    /// Reason phrases are ours, so nothing has to be escaped.
    fn write(self, (status, title, id): (u16, &str, RequestId), out: &mut Vec<u8>) {
        // A vector takes everything.
        let _ = match self {
            Self::Problem => writeln!(
                out,
                "{{\"type\":\"about:blank\",\"title\":\"{title}\",\"status\":{status},\"request_id\":\"{id}\"}}"
            ),
            Self::Html => writeln!(
                out,
                "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><title>{status} {title}</title></head>\n\
                 <body><h1>{status} {title}</h1><p>Request {id}</p></body></html>"
            ),
        };
    }
}
