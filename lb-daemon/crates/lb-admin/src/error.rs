//! How the API says no: the body of every answer that is not a success, and its status code.

use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::ControlError;
use crate::api::json;

/// The body of every answer that is not a success.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorAnswer,
}

/// What went wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ErrorAnswer {
    /// For programs.
    pub code: ErrorCode,
    /// For people; may have several lines.
    pub message: String,
}

/// What went wrong, for programs. Each code has a status code of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// 400: the request cannot be read.
    BadRequest,
    /// 401: the token is missing or wrong.
    Unauthorized,
    /// 404: no such path, pool or backend.
    NotFound,
    /// 405: the path has another method; the header `allow` names it.
    MethodNotAllowed,
    /// 408: the body did not arrive in time.
    Timeout,
    /// 409: another command is being carried out.
    Busy,
    /// 413: the body is too long.
    TooLarge,
    /// 415: the body is not declared to be JSON.
    UnsupportedMediaType,
    /// 422: the command, or the configuration, has errors.
    Invalid,
    /// 500: something else.
    Failed,
}

impl ErrorCode {
    /// The code of every error, in the order of their status codes.
    pub(crate) const ALL: [Self; 10] = [
        Self::BadRequest,
        Self::Unauthorized,
        Self::NotFound,
        Self::MethodNotAllowed,
        Self::Timeout,
        Self::Busy,
        Self::TooLarge,
        Self::UnsupportedMediaType,
        Self::Invalid,
        Self::Failed,
    ];

    pub(crate) const fn status(self) -> StatusCode {
        match self {
            Self::BadRequest => StatusCode::BAD_REQUEST,
            Self::Unauthorized => StatusCode::UNAUTHORIZED,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::Timeout => StatusCode::REQUEST_TIMEOUT,
            Self::Busy => StatusCode::CONFLICT,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::UnsupportedMediaType => StatusCode::UNSUPPORTED_MEDIA_TYPE,
            Self::Invalid => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl ErrorAnswer {
    pub(crate) fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }
}

impl From<ControlError> for ErrorAnswer {
    fn from(error: ControlError) -> Self {
        let code = match error {
            ControlError::NotFound(_) => ErrorCode::NotFound,
            ControlError::Invalid(_) | ControlError::Refused(_) => ErrorCode::Invalid,
            ControlError::Busy => ErrorCode::Busy,
            ControlError::Failed(_) => ErrorCode::Failed,
        };
        Self::new(code, error.to_string())
    }
}

impl IntoResponse for ErrorAnswer {
    fn into_response(self) -> Response {
        let status = self.code.status();
        json(status, &ErrorBody { error: self })
    }
}
