//! Who asks, and whether they may. Runs before every handler.

use std::net::IpAddr;
use std::sync::Arc;

use agent_access::{Principal, Role, Secret};
pub use agent_https::Peer;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use crate::app::App;
use crate::failure::{Code, Failure};
use crate::pikvm;
use crate::pikvm::envelope::Refused;

/// Name of the cookie. The prefix makes browsers refuse it from anyone but this host over TLS
/// (RFC 6265bis, §4.1.3.2).
pub const COOKIE: &str = "__Host-bakelite";

/// What an operation asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// Anybody may.
    Public,
    /// Somebody with this role or a higher one may.
    Role(Role),
}

/// Lets a request through to its handler, or answers it.
pub async fn check(
    State((app, need)): State<(Arc<App>, Need)>,
    mut request: Request,
    next: Next,
) -> Response {
    let found = match identify(&app, request.headers()) {
        Some(found) if !found.is_token && !is_own_page(&request) => {
            let text = "the request came from a page of another site";
            return Failure::new(Code::ForeignOrigin, text).into_response();
        }
        found => found,
    };
    match (need, &found) {
        (Need::Public, _) => {}
        (Need::Role(role), Some(principal)) if principal.role >= role => {}
        (Need::Role(role), Some(principal)) => {
            let text = format!(
                "{} may not do this: it takes {}",
                principal.user,
                name(role)
            );
            return Failure::new(Code::NotAllowed, text).into_response();
        }
        (Need::Role(_), None) => return sign_in_first(),
    }
    if let Some(principal) = found {
        request.extensions_mut().insert(principal);
    }
    next.run(request).await
}

/// The same for clients of the `PiKVM` kind: other credentials, other refusals.
pub async fn check_client(
    State((app, need)): State<(Arc<App>, Need)>,
    mut request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<Peer>().copied();
    let found = match identify(&app, request.headers()) {
        Some(found) => Ok(Some(found)),
        None => match peer {
            Some(peer) => pikvm::identify::identify(&app, request.headers(), peer.0.ip()).await,
            None => Ok(None),
        },
    };
    let found = match found {
        Ok(found) => found,
        Err(failure) => return Refused(failure).into_response(),
    };
    // Its cookie is as good a target for other sites' pages as this device's own.
    let by_cookie = cookie(request.headers()).is_some()
        || cookie_named(request.headers(), pikvm::identify::COOKIE).is_some();
    if by_cookie && !is_own_page(&request) {
        let text = "the request came from a page of another site";
        return Refused(Failure::new(Code::ForeignOrigin, text)).into_response();
    }
    match (need, &found) {
        (Need::Public, _) => {}
        (Need::Role(role), Some(principal)) if principal.role >= role => {}
        (Need::Role(role), Some(principal)) => {
            let text = format!(
                "{} may not do this: it takes {}",
                principal.user,
                name(role)
            );
            return Refused(Failure::new(Code::NotAllowed, text)).into_response();
        }
        (Need::Role(_), None) => {
            return Refused(Failure::new(Code::SignInFirst, "sign in first")).into_response();
        }
    }
    if let Some(principal) = found {
        request.extensions_mut().insert(principal);
    }
    next.run(request).await
}

/// Answers a path that is not in the table: nobody who is not signed in learns which paths are.
pub async fn nowhere(State(app): State<Arc<App>>, request: Request) -> Response {
    match identify(&app, request.headers()) {
        Some(_) => Failure::not_found("path").into_response(),
        None => sign_in_first(),
    }
}

fn sign_in_first() -> Response {
    Failure::new(Code::SignInFirst, "sign in first").into_response()
}

fn name(role: Role) -> &'static str {
    match role {
        Role::Viewer => "a viewer",
        Role::Operator => "an operator",
        Role::Admin => "an administrator",
    }
}

/// Finds out who asks: by token, or by cookie.
pub fn identify(app: &App, headers: &HeaderMap) -> Option<Principal> {
    let now = app.now();
    if let Some(token) = bearer(headers) {
        // One who gives a token wants that token's rights, not those of a cookie.
        return app.parts.access.by_token(&token, now);
    }
    let cookie = cookie(headers)?;
    app.parts.access.by_cookie(&cookie, now)
}

fn bearer(headers: &HeaderMap) -> Option<Secret> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| Secret::new(token.trim()))
}

/// Returns the value of this program's cookie.
pub fn cookie(headers: &HeaderMap) -> Option<Secret> {
    cookie_named(headers, COOKIE)
}

/// Returns the value of a cookie.
pub fn cookie_named(headers: &HeaderMap, wanted: &str) -> Option<Secret> {
    let pairs = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(';'));
    let mut own = pairs
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(|(name, _)| *name == wanted);
    own.next().map(|(_, value)| Secret::new(value))
}

/// Whether a request with a cookie was made by one of this device's own pages. Reading is harmless
/// without; what changes something, and every socket, must say its origin.
fn is_own_page(request: &Request) -> bool {
    let headers = request.headers();
    let is_socket = headers.contains_key(header::UPGRADE);
    let is_reading = matches!(*request.method(), Method::GET | Method::HEAD) && !is_socket;
    match headers.get(header::ORIGIN) {
        None => is_reading,
        Some(origin) => {
            let host = headers
                .get(header::HOST)
                .and_then(|host| host.to_str().ok());
            let origin = origin
                .to_str()
                .ok()
                .and_then(|o| o.strip_prefix("https://"));
            host.is_some() && origin == host
        }
    }
}

/// Refuses names that are not this device's: a page of another site could point its own name here.
pub async fn check_host(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let host = request.headers().get(header::HOST);
    let host = host.and_then(|host| host.to_str().ok()).unwrap_or_default();
    if !is_own_name(&app, host) {
        let text = format!(
            "this device is not called “{}”: use its address, or add the name to `names` in its settings",
            host.chars().take(80).collect::<String>()
        );
        return Failure::new(Code::BadRequest, text).into_response();
    }
    next.run(request).await
}

fn is_own_name(app: &App, host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    let bare = name.trim_start_matches('[').trim_end_matches(']');
    let mut names = app.parts.names.iter().map(String::as_str);
    bare.parse::<IpAddr>().is_ok()
        || name.eq_ignore_ascii_case("localhost")
        || names.any(|own| own.eq_ignore_ascii_case(name))
}

/// Gives every answer the headers that tell browsers what it may do.
pub async fn harden(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::X_FRAME_OPTIONS, "DENY"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::STRICT_TRANSPORT_SECURITY, "max-age=63072000"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    for (name, value) in [
        (header::CACHE_CONTROL, "no-store"),
        (
            header::CONTENT_SECURITY_POLICY,
            "default-src 'none'; frame-ancestors 'none'",
        ),
    ] {
        headers
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}
