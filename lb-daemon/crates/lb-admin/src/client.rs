//! Asks a running Sluice, over its unix socket.

use std::io;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::UnixStream;

use crate::{Changed, ErrorAnswer, ErrorBody, NewWeight, Nothing, Overrides, Plan, Reloaded, Status, Target};

/// Asks a running Sluice, over its unix socket; a connection per request. Needs a runtime with all drivers.
#[derive(Debug, Clone)]
pub struct Client {
    socket: PathBuf,
}

/// Why there is no good answer, and what to do about it.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// Nobody listens there.
    #[error(
        "is Sluice running? Nobody listens on {}; if its configuration has another `socket` in [admin], ask that one",
        .0.display()
    )]
    NotRunning(PathBuf),
    /// The socket is for root and the user that Sluice runs as.
    #[error("no permission for the admin socket {}: run this as root or as the user of Sluice", .0.display())]
    Permission(PathBuf),
    /// The connection failed.
    #[error("admin socket {}: {problem}", socket.display())]
    Connection {
        /// Where.
        socket: PathBuf,
        /// How.
        problem: String,
    },
    /// The answer is no.
    #[error("{}", .0.message)]
    Refused(ErrorAnswer),
    /// The answer is not one of this API.
    #[error("admin socket {}: {problem}; is it another version of Sluice that is running?", socket.display())]
    Strange {
        /// Where.
        socket: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

impl Client {
    /// How long an answer may take. Reading a large configuration takes a while, and commands wait for those before them.
    pub const TIMEOUT: Duration = Duration::from_secs(60);

    /// A client for the socket at `path`. Nothing is connected yet.
    pub fn unix(path: impl Into<PathBuf>) -> Self {
        Self { socket: path.into() }
    }

    /// The socket's path.
    pub fn socket(&self) -> &Path {
        &self.socket
    }

    /// `GET /v1/status`.
    pub async fn status(&self) -> Result<Status, ClientError> {
        self.get("/v1/status").await
    }

    /// `GET /v1/overrides`.
    pub async fn overrides(&self) -> Result<Overrides, ClientError> {
        self.get("/v1/overrides").await
    }

    /// `GET /metrics`: the text.
    pub async fn metrics(&self) -> Result<String, ClientError> {
        let bytes = self.ask(Method::GET, "/metrics", None).await?;
        String::from_utf8(bytes.into()).map_err(|error| self.strange(error.to_string()))
    }

    /// `POST /v1/drain`.
    pub async fn drain(&self, target: &Target) -> Result<Changed, ClientError> {
        self.post("/v1/drain", target).await
    }

    /// `POST /v1/undrain`.
    pub async fn undrain(&self, target: &Target) -> Result<Changed, ClientError> {
        self.post("/v1/undrain", target).await
    }

    /// `POST /v1/weight`.
    pub async fn set_weight(&self, weight: &NewWeight) -> Result<Changed, ClientError> {
        self.post("/v1/weight", weight).await
    }

    /// `POST /v1/plan`.
    pub async fn plan(&self) -> Result<Plan, ClientError> {
        self.post("/v1/plan", &Nothing {}).await
    }

    /// `POST /v1/reload`.
    pub async fn reload(&self) -> Result<Reloaded, ClientError> {
        self.post("/v1/reload", &Nothing {}).await
    }

    async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        self.parse(&self.ask(Method::GET, path, None).await?)
    }

    async fn post<T: DeserializeOwned>(&self, path: &str, body: &impl Serialize) -> Result<T, ClientError> {
        let body = serde_json::to_vec(body).map_err(|error| self.strange(error.to_string()))?;
        self.parse(&self.ask(Method::POST, path, Some(body.into())).await?)
    }

    fn parse<T: DeserializeOwned>(&self, body: &Bytes) -> Result<T, ClientError> {
        serde_json::from_slice(body).map_err(|error| self.strange(error.to_string()))
    }

    /// The body of a successful answer.
    async fn ask(&self, method: Method, path: &str, body: Option<Bytes>) -> Result<Bytes, ClientError> {
        let exchange = tokio::time::timeout(Self::TIMEOUT, self.exchange(method, path, body));
        let (status, body) = exchange
            .await
            .map_err(|_elapsed| self.failed(format!("no answer within {:?}", Self::TIMEOUT)))??;
        if status.is_success() {
            return Ok(body);
        }
        Err(match serde_json::from_slice(&body) {
            Ok(ErrorBody { error }) => ClientError::Refused(error),
            Err(_) => self.strange(format!("the answer is {status}")),
        })
    }

    async fn exchange(
        &self,
        method: Method,
        path: &str,
        body: Option<Bytes>,
    ) -> Result<(StatusCode, Bytes), ClientError> {
        let stream = UnixStream::connect(&self.socket).await.map_err(|error| self.connect_error(&error))?;
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, "sluice")
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(body.unwrap_or_default()))
            .map_err(|error| self.failed(error.to_string()))?;
        let answer = async {
            let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
            let mut connection = pin!(connection);
            let mut answer = pin!(async {
                let response = sender.send_request(request).await?;
                let (head, body) = response.into_parts();
                Ok((head.status, body.collect().await?.to_bytes()))
            });
            tokio::select! {
                // The answer may be in what the connection has read before it ended.
                _ = connection.as_mut() => answer.await,
                answer = answer.as_mut() => answer,
            }
        };
        answer.await.map_err(|error: hyper::Error| self.failed(error.to_string()))
    }

    fn connect_error(&self, error: &io::Error) -> ClientError {
        let socket = self.socket.clone();
        if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) {
            ClientError::NotRunning(socket)
        } else if error.kind() == io::ErrorKind::PermissionDenied {
            ClientError::Permission(socket)
        } else {
            self.failed(error.to_string())
        }
    }

    fn failed(&self, problem: String) -> ClientError {
        ClientError::Connection { socket: self.socket.clone(), problem }
    }

    fn strange(&self, problem: String) -> ClientError {
        ClientError::Strange { socket: self.socket.clone(), problem }
    }
}
