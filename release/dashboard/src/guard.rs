//! What every request must pass, and what every answer carries.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::office::Office;

/// Nothing from elsewhere, nothing inline, in nobody's frame.
const POLICY: &str = "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; media-src 'self'; \
    connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// Refuses requests for other hosts (DNS rebinding) and forms of other pages (CSRF); sets the headers that keep
/// browsers from guessing.
pub(crate) async fn guard(
    State(office): State<Arc<Office>>,
    request: Request<Body>,
    next: Next,
) -> Response {
    let headers = request.headers();
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    if !host.is_some_and(|host| is_ours(&office, host)) {
        let text =
            "This page is served under another name: see --public of “bakelite release serve”.\n";
        return (StatusCode::MISDIRECTED_REQUEST, text).into_response();
    }
    let is_harmless = matches!(*request.method(), Method::GET | Method::HEAD);
    if !is_harmless && !is_from_here(headers, host.unwrap_or_default()) {
        let text = "This form came from another page, and was not taken.\n";
        return (StatusCode::FORBIDDEN, text).into_response();
    }
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        ("content-security-policy", POLICY),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "same-origin"),
        ("cross-origin-opener-policy", "same-origin"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

fn is_ours(office: &Office, host: &str) -> bool {
    let port = office.settings.listen.port();
    let own = [
        office.settings.listen.to_string(),
        format!("localhost:{port}"),
        format!("127.0.0.1:{port}"),
    ];
    let public = office
        .settings
        .public
        .as_deref()
        .and_then(|public| public.split("://").nth(1));
    let public = public.map(|public| public.trim_end_matches('/'));
    own.iter().any(|known| known == host) || public == Some(host)
}

fn is_from_here(headers: &HeaderMap, host: &str) -> bool {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    match text("origin") {
        Some(origin) => origin.split("://").nth(1) == Some(host),
        None => text("sec-fetch-site") == Some("same-origin"),
    }
}
