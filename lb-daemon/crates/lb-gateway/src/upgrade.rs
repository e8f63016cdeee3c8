//! A connection that goes on in another protocol (RFC 9110 §7.8), such as WebSocket: relayed as bytes.

use std::future::poll_fn;
use std::io::IoSlice;
use std::time::Duration;

use lb_dial::before;
use lb_http::{EditError, Framing, KnownField, ResponseHead};
use lb_net::{Counts, Timer, Wire, relay};
use lb_telemetry::metrics::RequestEnd;

use crate::conn::After;
use crate::exchange::Exchange;
use crate::failure::Failure;
use crate::message::Message;
use crate::upstream::Upstream;

/// The backend has agreed to another protocol: tells the client so, and relays until both have said all.
pub(crate) async fn run(exchange: &mut Exchange<'_>, mut upstream: Upstream) -> Result<After, Failure> {
    let Message { request, response, out, value } = &mut *exchange.message;
    if !request.fields().contains(KnownField::Upgrade) {
        // Nobody has asked for it.
        return Err(RequestEnd::BadResponse.into());
    }
    keep_upgrade(response, value).map_err(|_too_long| Failure::from(RequestEnd::BadResponse))?;
    out.clear();
    response.write(Framing::None, out);
    exchange.record.status = response.status();
    let client = &mut *exchange.client;
    let said = std::mem::take(&mut client.unread);
    let gone = || Failure::from(RequestEnd::ClientGone);
    client.wire.write(&[IoSlice::new(out), IoSlice::new(upstream.unread.rest())]).map_err(|_gone| gone())?;
    upstream.wire.write(&[IoSlice::new(said.rest())]).map_err(|_gone| gone())?;
    flush(&mut client.wire, &mut upstream.wire, &client.timer).await.ok_or_else(gone)?;
    let from = std::mem::replace(&mut client.wire, Wire::closed()).into_stream().map_err(|_failed| gone())?;
    let to = upstream.wire.into_stream().map_err(|_failed| gone())?;
    let (idle, counts) = (exchange.terms.listener.idle_timeout, Counts::default());
    // Boxed, because few requests need the room.
    let end = Box::pin(relay(&client.worker, from, to, idle, &client.timer, &counts, &())).await;
    exchange.record.bytes_in += counts.to_backend.get();
    exchange.record.bytes_out += counts.to_client.get();
    exchange.record.end = Some(RequestEnd::Upgraded);
    Ok(After::End(end.into()))
}

/// Has both sides take what was read before they were relayed.
async fn flush(client: &mut Wire, backend: &mut Wire, timer: &Timer) -> Option<()> {
    /// Enough for a few kilobytes.
    const PATIENCE: Duration = Duration::from_secs(5);

    timer.arm(PATIENCE);
    let taken = async {
        poll_fn(|cx| client.poll_flush(cx)).await?;
        poll_fn(|cx| backend.poll_flush(cx)).await
    };
    before(timer, taken).await.ok()?.ok()
}

/// Takes out what is for this hop only, but for what says which protocol it is now.
fn keep_upgrade(response: &mut ResponseHead, value: &mut Vec<u8>) -> Result<(), EditError> {
    value.clear();
    value.extend(response.upgrades().next().unwrap_or_default());
    let fields = response.fields_mut();
    fields.remove_hop_by_hop();
    fields.set(KnownField::Connection, b"upgrade")?;
    fields.set(KnownField::Upgrade, value)
}
