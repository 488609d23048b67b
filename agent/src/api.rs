//! What can be asked over HTTP. Everything that is not named here is refused.

use std::path::PathBuf;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use axum::{Json, Router};

use crate::status::Status;

/// What handlers share.
#[derive(Debug)]
pub struct Shared {
    /// Root of the device's file system.
    pub root: PathBuf,
    /// Whether somebody owns the device already.
    pub claimed: bool,
}

/// Paths that need no sign-in. A test holds that these are all there are.
pub const PUBLIC: &[&str] = &["/healthz", "/api/v1/status"];

/// Returns the router. Routes are public only by being listed in [`PUBLIC`].
pub fn router(shared: Arc<Shared>) -> Router {
    Router::new()
        .route("/healthz", get(healthz))
        .route("/api/v1/status", get(status))
        .fallback(async || StatusCode::NOT_FOUND)
        .layer(middleware::from_fn(guard))
        .layer(middleware::from_fn(harden))
        .with_state(shared)
}

async fn healthz() -> &'static str {
    "ok\n"
}

async fn status(State(shared): State<Arc<Shared>>) -> Json<Status> {
    Json(Status::read(&shared.root, shared.claimed))
}

/// Denies by default: what is not public needs a session, and there are none yet.
async fn guard(request: Request, next: Next) -> Response {
    let public = PUBLIC.contains(&request.uri().path());
    match (public, request.method()) {
        (true, &Method::GET | &Method::HEAD) => next.run(request).await,
        (true, _) => StatusCode::METHOD_NOT_ALLOWED.into_response(),
        (false, _) => StatusCode::UNAUTHORIZED.into_response(),
    }
}

async fn harden(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::CACHE_CONTROL, "no-store"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ),
        (header::STRICT_TRANSPORT_SECURITY, "max-age=63072000"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::body::Body;
    use tower::ServiceExt as _;

    async fn answer(method: &str, path: &str) -> Response {
        let shared = Arc::new(Shared {
            root: "/nowhere".into(),
            claimed: false,
        });
        let request = Request::builder()
            .method(method)
            .uri(path)
            .body(Body::empty())
            .unwrap();
        router(shared).oneshot(request).await.unwrap()
    }

    #[tokio::test]
    async fn public_routes_answer_and_nothing_else_does() {
        for path in PUBLIC {
            assert_eq!(answer("GET", path).await.status(), StatusCode::OK, "{path}");
            assert_eq!(
                answer("POST", path).await.status(),
                StatusCode::METHOD_NOT_ALLOWED,
                "{path}"
            );
        }
        for path in [
            "/",
            "/api/v1/logs",
            "/healthz/",
            "/api/v1/status/../logs",
            "/%2e%2e/etc/passwd",
        ] {
            assert_eq!(
                answer("GET", path).await.status(),
                StatusCode::UNAUTHORIZED,
                "{path}"
            );
        }
    }

    #[tokio::test]
    async fn every_answer_carries_the_security_headers() {
        for path in ["/healthz", "/unknown"] {
            let answer = answer("GET", path).await;
            assert_eq!(answer.headers()[header::X_FRAME_OPTIONS], "DENY", "{path}");
            assert!(
                answer
                    .headers()
                    .contains_key(header::CONTENT_SECURITY_POLICY),
                "{path}"
            );
        }
    }
}
