//! The device itself, for administrators.

use std::sync::Arc;

use agent_access::Principal;
use agent_access::audit::Action;
use agent_helper::Request;
use axum::extract::State;
use axum::{Extension, Json};

use crate::app::App;
use crate::failure::Failure;
use crate::guard::Peer;

/// Restarts the device.
pub async fn restart(
    state: State<Arc<App>>,
    peer: Extension<Peer>,
    principal: Extension<Principal>,
) -> Result<Json<()>, Failure> {
    ask(state, peer, principal, &Request::Restart {}, "restart").await
}

/// Switches the device off.
pub async fn power_off(
    state: State<Arc<App>>,
    peer: Extension<Peer>,
    principal: Extension<Principal>,
) -> Result<Json<()>, Failure> {
    ask(state, peer, principal, &Request::PowerOff {}, "power off").await
}

async fn ask(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(principal): Extension<Principal>,
    request: &Request,
    what: &str,
) -> Result<Json<()>, Failure> {
    // Written before: afterwards there may be no time.
    app.audit(
        Some(&principal),
        Some(peer),
        Action::Device,
        Some(what.to_owned()),
    );
    app.parts.helper.ask(request).await?;
    Ok(Json(()))
}
