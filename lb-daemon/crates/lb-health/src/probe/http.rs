//! One HTTP/1.1 request on a connection of its own. Good is a complete answer with an expected status and body: a
//! backend that sends its head and then hangs is not well.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::pin::pin;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONNECTION, HOST, USER_AGENT};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use lb_model::HttpProbe;
use memchr::memmem;
use tokio::io::{AsyncRead, AsyncWrite};

use super::{Deadline, TrustStores, tcp, tls};
use crate::error::{ProbeError, Step};

/// Longest head of an answer, in bytes.
const MAX_HEAD: usize = 32 * 1024;

pub(super) async fn probe(
    address: SocketAddr,
    first: &[u8],
    probe: &HttpProbe,
    trust: &TrustStores,
    deadline: Deadline,
) -> Result<(), ProbeError> {
    let request = request(address, probe)?;
    match &probe.tls {
        None => exchange(tcp::connect(address, first, deadline).await?, request, probe, deadline).await,
        Some(tls) => {
            let stream = tls::connect(address, first, probe, tls, trust, deadline).await?;
            exchange(stream, request, probe, deadline).await
        }
    }
}

fn request(address: SocketAddr, probe: &HttpProbe) -> Result<Request<Empty<Bytes>>, ProbeError> {
    let host = probe.host.as_ref().map_or_else(|| address.to_string(), ToString::to_string);
    let request = Request::builder()
        .method(probe.method.as_str())
        .uri(probe.path.as_str())
        .header(HOST, host)
        .header(USER_AGENT, "sluice-health-check")
        .header(ACCEPT, "*/*")
        .header(CONNECTION, "close")
        .body(Empty::new());
    request.map_err(|error| ProbeError::Local(error.to_string()))
}

async fn exchange(
    stream: impl AsyncRead + AsyncWrite + Unpin,
    request: Request<Empty<Bytes>>,
    probe: &HttpProbe,
    deadline: Deadline,
) -> Result<(), ProbeError> {
    let handshake = http1::Builder::new().max_buf_size(MAX_HEAD).handshake(TokioIo::new(stream)).await;
    let (mut sender, connection) = handshake.map_err(|error| http_error(&error))?;
    let answer = async {
        let response = deadline.within(Step::Answer, sender.send_request(request)).await?;
        let response = response.map_err(|error| http_error(&error))?;
        deadline.within(Step::Body, judge(response, probe)).await?
    };
    let (mut answer, connection) = (pin!(answer), pin!(connection));
    tokio::select! {
        verdict = &mut answer => verdict,
        // The rest of the answer, or the error, is on its way from the connection.
        _ended = connection => answer.await,
    }
}

async fn judge(response: Response<Incoming>, probe: &HttpProbe) -> Result<(), ProbeError> {
    let got = response.status().as_u16();
    if !probe.expect.contains(got) {
        return Err(ProbeError::Status { got, expected: probe.expect.clone() });
    }
    let wanted = probe.body.as_ref();
    let limit = wanted.map_or(HttpProbe::MAX_BODY, |wanted| wanted.within.min(HttpProbe::MAX_BODY));
    let seen = read(response.into_body(), limit).await?;
    match wanted {
        Some(wanted) if memmem::find(&seen, wanted.contains.as_bytes()).is_none() => {
            Err(ProbeError::Body(wanted.contains.clone()))
        }
        Some(_) | None => Ok(()),
    }
}

/// The first `limit` bytes of the body.
async fn read(mut body: Incoming, limit: usize) -> Result<Vec<u8>, ProbeError> {
    let mut seen = Vec::new();
    while seen.len() < limit
        && let Some(frame) = body.frame().await
    {
        // Trailers are no data.
        if let Ok(data) = frame.map_err(|error| http_error(&error))?.into_data() {
            seen.extend_from_slice(&data);
        }
    }
    seen.truncate(limit);
    Ok(seen)
}

fn http_error(error: &hyper::Error) -> ProbeError {
    if error.is_incomplete_message() {
        return ProbeError::Closed;
    }
    let cause = error.source().and_then(|source| source.downcast_ref::<io::Error>());
    match cause {
        Some(cause) => match tls::tls_error(cause) {
            Some(error) => ProbeError::Tls(error.to_string()),
            None => ProbeError::from_io(cause),
        },
        None => ProbeError::Protocol { protocol: "HTTP", error: error.to_string() },
    }
}
