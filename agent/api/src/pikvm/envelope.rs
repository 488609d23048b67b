//! Answers as kvmd wraps them.

use axum::Json;
use axum::http::{HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::failure::{Code, Failure};

/// A result.
#[derive(Debug)]
pub struct Done(pub Value);

impl Done {
    /// Returns the answer of what has no result.
    pub fn empty() -> Self {
        Self(json!({}))
    }
}

impl IntoResponse for Done {
    fn into_response(self) -> Response {
        Json(json!({ "ok": true, "result": self.0 })).into_response()
    }
}

/// A refusal.
#[derive(Debug)]
pub struct Refused(pub Failure);

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self(failure)
    }
}

impl Refused {
    /// Returns the refusal of a parameter.
    pub fn parameter(text: impl Into<String>) -> Self {
        Self(Failure::new(Code::BadRequest, text))
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        // Names and numbers are kvmd's: 401 is nobody, 403 is somebody who may not.
        let (status, error) = match self.0.error {
            Code::SignInFirst => (StatusCode::UNAUTHORIZED, "UnauthorizedError"),
            Code::Wrong | Code::NotAllowed | Code::ForeignOrigin => {
                (StatusCode::FORBIDDEN, "ForbiddenError")
            }
            Code::BadRequest => (StatusCode::BAD_REQUEST, "ValidatorError"),
            Code::NotFound => (StatusCode::NOT_FOUND, "NotFoundError"),
            Code::Conflict | Code::Busy => (StatusCode::CONFLICT, "IsBusyError"),
            Code::Wait => (StatusCode::TOO_MANY_REQUESTS, "TooManyRequestsError"),
            Code::Full | Code::Failed => (StatusCode::SERVICE_UNAVAILABLE, "UnavailableError"),
        };
        let result = json!({ "error": error, "error_msg": self.0.message });
        let mut response = (status, Json(json!({ "ok": false, "result": result }))).into_response();
        // Clients that stream bodies look here.
        let name = HeaderName::from_static("x-kvmd-error");
        response
            .headers_mut()
            .insert(name, HeaderValue::from_static(error));
        response
    }
}
