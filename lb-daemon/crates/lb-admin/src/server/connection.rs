//! HTTP/1.1 on one connection, with bounds on everything a client can drag out.

use std::convert::Infallible;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use hyper::body::Incoming;
use hyper::header::{AUTHORIZATION, CONNECTION, HeaderValue, WWW_AUTHENTICATE};
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper::{Request, header::HeaderMap};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncWrite};

use super::token::Token;
use super::{Ended, Routes, ended_or_after};
use crate::audit::{self, Peer};
use crate::route::HEALTH_PATH;
use crate::{ErrorAnswer, ErrorCode};

/// How long a request's head may take to arrive, and how long a connection may be idle before it.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest head of a request, in bytes.
const MAX_HEAD: usize = 16 * 1024;

/// After this time a connection is closed between two requests: a client that does not read its answer cannot stay.
const LIFETIME: Duration = Duration::from_secs(300);

/// How long an answer may still take after that, or when the server ends.
const GRACE: Duration = Duration::from_secs(5);

/// Serves requests of `peer`, who has to know `token` if there is one, until either side closes.
pub(super) async fn serve(
    stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static,
    peer: Peer,
    token: Option<Arc<Token>>,
    routes: Routes,
    mut ended: Ended,
) {
    let peer = Arc::new(peer);
    let service = service_fn(|request| answer(request, &peer, token.as_deref(), &routes));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(MAX_HEAD)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => Some(result),
        () = ended_or_after(&mut ended, LIFETIME) => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(GRACE, connection).await.ok()
        }
    };
    match result {
        Some(Ok(())) => {}
        Some(Err(error)) => tracing::debug!(client = %peer, %error, "a connection of the admin API failed"),
        None => tracing::debug!(client = %peer, "a connection of the admin API did not end in time"),
    }
}

async fn answer(
    mut request: Request<Incoming>,
    peer: &Arc<Peer>,
    token: Option<&Token>,
    routes: &Routes,
) -> Result<Response, Infallible> {
    if let Some(token) = token
        && request.uri().path() != HEALTH_PATH
        && let Err(reason) = check(token, request.headers())
    {
        audit::denied(peer, reason);
        return Ok(denied(reason));
    }
    request.extensions_mut().insert(Arc::clone(peer));
    routes.call(request.map(Body::new)).await
}

fn check(token: &Token, headers: &HeaderMap) -> Result<(), &'static str> {
    let given = headers.get(AUTHORIZATION).ok_or("there is no token: send `authorization: Bearer TOKEN`")?;
    let (scheme, given) = given.as_bytes().split_at_checked("bearer ".len()).unwrap_or_default();
    if !scheme.eq_ignore_ascii_case(b"bearer ") {
        return Err("not a bearer token: send `authorization: Bearer TOKEN`");
    }
    token.verify(given.trim_ascii()).map_err(|_wrong| "the token is wrong")
}

/// Closes the connection: whoever guesses has to connect for every guess.
fn denied(reason: &str) -> Response {
    let headers = [
        (WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
        (CONNECTION, HeaderValue::from_static("close")),
    ];
    (headers, ErrorAnswer::new(ErrorCode::Unauthorized, reason)).into_response()
}
