//! Answers that say what went wrong.

use agent_access::AccessError;
use agent_helper::HelperError;
use agent_input::control::Busy;
use axum::Json;
use axum::extract::rejection::{JsonRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;

/// Why a request was refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Code {
    /// The request makes no sense.
    BadRequest,
    /// Nobody is signed in.
    SignInFirst,
    /// Name, password, code or claim code is wrong.
    Wrong,
    /// Whoever is signed in may not do this.
    NotAllowed,
    /// It came from another site's page.
    ForeignOrigin,
    /// There is no such thing.
    NotFound,
    /// It does not fit to how things are.
    Conflict,
    /// Somebody else controls the machine.
    Busy,
    /// Too many attempts; `Retry-After` says when.
    Wait,
    /// There is no room.
    Full,
    /// The device could not do it.
    Failed,
}

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Failure {
    /// For programs.
    pub error: Code,
    /// For people: what is wrong and what to do.
    pub message: String,
    #[serde(skip)]
    retry_after: Option<u64>,
}

impl Failure {
    /// Makes a refusal.
    pub fn new(error: Code, message: impl Into<String>) -> Self {
        Self {
            error,
            message: message.into(),
            retry_after: None,
        }
    }

    /// Returns the refusal of what is not there.
    pub fn not_found(what: &str) -> Self {
        Self::new(Code::NotFound, format!("there is no such {what}"))
    }

    /// Returns the status that goes with the code.
    pub fn status(&self) -> StatusCode {
        match self.error {
            Code::BadRequest => StatusCode::BAD_REQUEST,
            Code::SignInFirst | Code::Wrong => StatusCode::UNAUTHORIZED,
            Code::NotAllowed | Code::ForeignOrigin => StatusCode::FORBIDDEN,
            Code::NotFound => StatusCode::NOT_FOUND,
            Code::Conflict | Code::Busy => StatusCode::CONFLICT,
            Code::Wait => StatusCode::TOO_MANY_REQUESTS,
            Code::Full => StatusCode::INSUFFICIENT_STORAGE,
            Code::Failed => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = (self.status(), Json(&self)).into_response();
        if let Some(seconds) = self.retry_after {
            let value = HeaderValue::from(seconds);
            response.headers_mut().insert(header::RETRY_AFTER, value);
        }
        response
    }
}

impl From<AccessError> for Failure {
    fn from(error: AccessError) -> Self {
        let code = match &error {
            AccessError::Wrong => Code::Wrong,
            AccessError::Wait { .. } => Code::Wait,
            AccessError::Claimed
            | AccessError::Exists { .. }
            | AccessError::LastAdmin { .. }
            | AccessError::HasFactor { .. } => Code::Conflict,
            AccessError::Missing { .. } => Code::NotFound,
            AccessError::Full { .. } => Code::Full,
            AccessError::Password(_) | AccessError::Name(_) => Code::BadRequest,
            AccessError::File(_) | AccessError::Claim(_) | AccessError::Random(_) => Code::Failed,
        };
        let retry_after = match &error {
            AccessError::Wait { wait } => Some(wait.as_secs() + 1),
            _ => None,
        };
        Self {
            retry_after,
            ..Self::new(code, chain(&error))
        }
    }
}

impl From<HelperError> for Failure {
    fn from(error: HelperError) -> Self {
        Self::new(Code::Failed, chain(&error))
    }
}

impl From<Busy> for Failure {
    fn from(error: Busy) -> Self {
        Self::new(Code::Busy, error.to_string())
    }
}

impl From<JsonRejection> for Failure {
    fn from(error: JsonRejection) -> Self {
        Self::new(Code::BadRequest, error.body_text())
    }
}

impl From<QueryRejection> for Failure {
    fn from(error: QueryRejection) -> Self {
        Self::new(Code::BadRequest, error.body_text())
    }
}

/// Returns an error with its causes.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
