//! From request to answer: the router, and what is done for each line of the route table.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{Extension, RawPathParams, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::on;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderValue};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::audit::Peer;
use crate::command::{Command, Commands};
use crate::openapi::openapi_json;
use crate::route::{Operation, ROUTES};
use crate::{Control, ErrorAnswer, ErrorCode, NewWeight, Nothing, Readiness, Target};

/// Longest body of a request, in bytes.
const MAX_BODY: usize = 64 * 1024;

/// How long a body may take to arrive.
const BODY_TIMEOUT: Duration = Duration::from_secs(10);

/// Most pools that a message lists.
const MAX_LISTED: usize = 20;

/// What answers need.
#[derive(Debug)]
struct Api<C> {
    control: Arc<C>,
    commands: Commands,
}

/// The service that answers requests, each with its [`Peer`] as an extension.
pub(crate) fn router<C: Control>(control: Arc<C>, commands: Commands) -> Router {
    let mut router = Router::new();
    for route in ROUTES {
        let answer = move |State(api): State<Arc<Api<C>>>,
                           Extension(peer): Extension<Arc<Peer>>,
                           params: Result<RawPathParams, RawPathParamsRejection>,
                           request: Request| async move {
            let answer = match params {
                Ok(params) => api.answer(route.operation, &params, request, peer).await,
                Err(error) => Err(ErrorAnswer::new(ErrorCode::BadRequest, error.body_text())),
            };
            answer.unwrap_or_else(IntoResponse::into_response)
        };
        router = router.route(route.path, on(route.method.filter(), answer));
    }
    router
        .fallback(no_path)
        .method_not_allowed_fallback(other_method)
        .with_state(Arc::new(Api { control, commands }))
}

async fn no_path(request: Request) -> ErrorAnswer {
    let message =
        format!("there is nothing at {}; /v1/openapi.json says what there is", request.uri().path());
    ErrorAnswer::new(ErrorCode::NotFound, message)
}

async fn other_method(request: Request) -> ErrorAnswer {
    let message = format!("{} does not go with {}", request.method(), request.uri().path());
    ErrorAnswer::new(
        ErrorCode::MethodNotAllowed,
        format!("{message}: what reads is GET, what changes is POST"),
    )
}

impl<C: Control> Api<C> {
    async fn answer(
        &self,
        operation: Operation,
        params: &RawPathParams,
        request: Request,
        peer: Arc<Peer>,
    ) -> Result<Response, ErrorAnswer> {
        let command = match operation {
            Operation::Status => return Ok(found(&self.control.status())),
            Operation::Listeners => return Ok(found(&self.control.status().listeners)),
            Operation::Pools => return Ok(found(&self.control.status().pools)),
            Operation::Pool => return self.pool(params),
            Operation::Overrides => return Ok(found(&self.control.status().overrides)),
            Operation::Metrics => return Ok(text(StatusCode::OK, METRICS, self.control.metrics())),
            Operation::Health => return Ok(text(StatusCode::OK, PLAIN, "alive\n")),
            Operation::Readiness => return Ok(readiness(self.control.readiness())),
            Operation::Document => return Ok(text(StatusCode::OK, JSON, openapi_json())),
            Operation::Drain => Command::Drain(body(request).await?),
            Operation::Undrain => Command::Undrain(body(request).await?),
            Operation::Weight => {
                let NewWeight { pool, backend, weight } = body(request).await?;
                Command::SetWeight(Target { pool, backend }, weight)
            }
            Operation::Plan => body(request).await.map(|Nothing {}| Command::Plan)?,
            Operation::Reload => body(request).await.map(|Nothing {}| Command::Reload)?,
        };
        Ok(found(&self.commands.run(command, peer).await?))
    }

    fn pool(&self, params: &RawPathParams) -> Result<Response, ErrorAnswer> {
        let name = params.iter().next().map_or("", |(_, name)| name);
        let pools = self.control.status().pools;
        let pool = pools.iter().find(|pool| pool.name == name).ok_or_else(|| {
            let names: Vec<_> = pools.iter().map(|pool| pool.name.as_str()).take(MAX_LISTED).collect();
            let more = if pools.len() > MAX_LISTED { ", …" } else { "" };
            let message = format!("there is no pool {name:?}; there are: {}{more}", names.join(", "));
            ErrorAnswer::new(ErrorCode::NotFound, message)
        })?;
        Ok(found(pool))
    }
}

/// Reads a body that says it is JSON.
///
/// Saying so is not only manners: a web page that a browser shows can post to other sites without asking, but not JSON.
async fn body<T: DeserializeOwned>(request: Request) -> Result<T, ErrorAnswer> {
    let declared = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let media_type = declared.and_then(|value| value.split(';').next()).unwrap_or_default().trim();
    if !media_type.eq_ignore_ascii_case(JSON) {
        let message = format!("a body has to be JSON and declared as such: send `content-type: {JSON}`");
        return Err(ErrorAnswer::new(ErrorCode::UnsupportedMediaType, message));
    }
    let read = Limited::new(request.into_body(), MAX_BODY).collect();
    let read = tokio::time::timeout(BODY_TIMEOUT, read).await.map_err(|_elapsed| {
        ErrorAnswer::new(ErrorCode::Timeout, format!("the body did not arrive within {BODY_TIMEOUT:?}"))
    })?;
    let bytes = read.map_err(|error| {
        if error.is::<LengthLimitError>() {
            ErrorAnswer::new(ErrorCode::TooLarge, format!("a body has at most {MAX_BODY} bytes"))
        } else {
            ErrorAnswer::new(ErrorCode::BadRequest, format!("the body cannot be read: {error}"))
        }
    })?;
    serde_json::from_slice(&bytes.to_bytes()).map_err(|error| {
        ErrorAnswer::new(ErrorCode::BadRequest, format!("the body is not as expected: {error}"))
    })
}

const JSON: &str = "application/json";
const PLAIN: &str = "text/plain; charset=utf-8";
const METRICS: &str = "text/plain; version=0.0.4; charset=utf-8";

fn found(value: &impl Serialize) -> Response {
    json(StatusCode::OK, value)
}

fn readiness(readiness: Readiness) -> Response {
    let status = match readiness {
        Readiness::Ready => StatusCode::OK,
        Readiness::Starting | Readiness::Draining => StatusCode::SERVICE_UNAVAILABLE,
    };
    text(status, PLAIN, format!("{}\n", readiness.label()))
}

/// An answer in JSON.
pub(crate) fn json(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(body) => text(status, JSON, body),
        // Maps whose keys are no strings could do that, and there are none.
        Err(error) => text(StatusCode::INTERNAL_SERVER_ERROR, PLAIN, error.to_string()),
    }
}

fn text(status: StatusCode, media_type: &'static str, body: impl Into<Body>) -> Response {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(media_type)),
        // State is good for the moment only.
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    (status, headers, body.into()).into_response()
}
