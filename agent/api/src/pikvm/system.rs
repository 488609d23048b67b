//! `/api/auth`, `/api/info`, and what is not wired: ATX and GPIO.

use std::sync::Arc;

use agent_access::Secret;
use axum::Extension;
use axum::extract::{Form, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;

use crate::app::App;
use crate::guard::Peer;
use crate::pikvm::envelope::{Done, Refused};
use crate::pikvm::identify::{self, COOKIE};
use crate::pikvm::state;

/// A form of kvmd's sign-in.
#[derive(Debug, Deserialize)]
pub struct SignIn {
    user: String,
    passwd: Secret,
}

/// Checks a token and gives it back as kvmd's cookie.
pub async fn sign_in(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Form(given): Form<SignIn>,
) -> Result<Response, Refused> {
    let address = peer.0.ip();
    identify::by_password(&app, &given.user, &given.passwd, &headers, address).await?;
    let mut response = Done::empty().into_response();
    // Only a token can be a cookie here: a password in a cookie would be kept by the client.
    if app
        .parts
        .access
        .by_token(&given.passwd, app.now())
        .is_some()
    {
        let cookie = format!(
            "{COOKIE}={}; Path=/; Secure; HttpOnly; SameSite=Strict",
            given.passwd.reveal()
        );
        if let Ok(value) = HeaderValue::from_str(&cookie) {
            response.headers_mut().insert(header::SET_COOKIE, value);
        }
    }
    Ok(response)
}

/// Answers that whoever asks is known.
pub async fn check() -> Done {
    Done::empty()
}

/// Takes kvmd's cookie back. The token stays valid: revoke it on the page.
pub async fn sign_out() -> Response {
    let mut response = Done::empty().into_response();
    let cookie = format!("{COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0");
    let value = HeaderValue::from_str(&cookie).expect("constant");
    response.headers_mut().insert(header::SET_COOKIE, value);
    response
}

/// `/api/info`.
pub async fn info(State(app): State<Arc<App>>) -> Done {
    Done(state::info(&app))
}
