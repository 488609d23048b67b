//! The table of all operations.

use std::sync::Arc;

use agent_access::Role::{Admin, Operator, Viewer};
use axum::extract::State;
use axum::http::Method;
use axum::{Json, Router};
use serde_json::Value;

use crate::app::App;
use crate::guard::Need::{Public, Role};
use crate::routes::{self, Operation as Op};
use crate::v1::{audit, gadget, keyboard, metrics, session, status, tokens, users, video};
use crate::{live, openapi};

const GET: Method = Method::GET;
const PUT: Method = Method::PUT;
const POST: Method = Method::POST;
const PATCH: Method = Method::PATCH;
const DELETE: Method = Method::DELETE;

/// Returns the router of all operations.
pub fn router(app: &Arc<App>) -> Router {
    routes::router(app, all())
}

/// Returns all operations.
pub fn all() -> Vec<Op> {
    [who(), people(), machine(), picture()]
        .into_iter()
        .flatten()
        .collect()
}

async fn document(State(_): State<Arc<App>>) -> Json<Value> {
    Json(openapi::document(&all()))
}

#[rustfmt::skip]
fn who() -> Vec<Op> {
    vec![
        Op::new(GET, "/healthz", Public, "Answers that the agent is there", status::healthz)
            .gives_bytes("text/plain"),
        Op::new(GET, "/api/v1/status", Public, "Answers how the device is", status::status)
            .gives::<status::Status>(),
        Op::new(GET, "/api/v1/openapi.json", Role(Viewer), "Answers this document", document)
            .gives::<Value>(),
        Op::new(POST, "/api/v1/claim", Public, "Makes the first administrator of a device that nobody owns", session::claim)
            .takes::<session::Claim>().gives::<session::Who>(),
        Op::new(GET, "/api/v1/session", Role(Viewer), "Answers who is signed in", session::who)
            .gives::<session::Who>(),
        Op::new(POST, "/api/v1/session", Public, "Signs in", session::sign_in)
            .takes::<session::SignIn>().gives::<session::Who>(),
        Op::new(DELETE, "/api/v1/session", Role(Viewer), "Signs out", session::sign_out),
        Op::new(PUT, "/api/v1/session/password", Role(Viewer), "Changes one's own password", session::set_password)
            .takes::<session::NewPassword>(),
        Op::new(POST, "/api/v1/session/second-factor", Role(Viewer), "Offers a key for an authenticator", session::offer_factor)
            .gives::<session::FactorOffer>(),
        Op::new(PUT, "/api/v1/session/second-factor", Role(Viewer), "Sets one's own second factor", session::set_factor)
            .takes::<session::FactorProof>(),
        Op::new(DELETE, "/api/v1/session/second-factor", Role(Viewer), "Takes one's own second factor away", session::remove_factor)
            .takes::<session::SignIn>(),
    ]
}

#[rustfmt::skip]
fn people() -> Vec<Op> {
    vec![
        Op::new(GET, "/api/v1/sessions", Role(Viewer), "Lists sessions", session::list)
            .gives::<Vec<session::Entry>>(),
        Op::new(DELETE, "/api/v1/sessions/{id}", Role(Viewer), "Ends a session and all that streams for it", session::revoke),
        Op::new(GET, "/api/v1/users", Role(Admin), "Lists users", users::list)
            .gives::<Vec<users::User>>(),
        Op::new(POST, "/api/v1/users", Role(Admin), "Adds a user", users::add)
            .takes::<users::NewUser>(),
        Op::new(PATCH, "/api/v1/users/{name}", Role(Admin), "Changes a user", users::change)
            .takes::<users::Change>(),
        Op::new(DELETE, "/api/v1/users/{name}", Role(Admin), "Removes a user", users::remove),
        Op::new(GET, "/api/v1/tokens", Role(Viewer), "Lists tokens", tokens::list)
            .gives::<Vec<tokens::Token>>(),
        Op::new(POST, "/api/v1/tokens", Role(Viewer), "Makes a token for a program", tokens::add)
            .takes::<tokens::NewToken>().gives::<tokens::Token>(),
        Op::new(DELETE, "/api/v1/tokens/{id}", Role(Viewer), "Revokes a token", tokens::revoke),
        Op::new(GET, "/api/v1/audit", Role(Admin), "Answers the last entries of the audit log", audit::read)
            .gives::<Vec<audit::AuditEntry>>(),
    ]
}

#[rustfmt::skip]
fn machine() -> Vec<Op> {
    vec![
        Op::new(GET, "/api/v1/live", Role(Viewer), "Opens the socket for input and for what changes (WebSocket)", live::socket::open),
        Op::new(GET, "/api/v1/keyboard/layouts", Role(Viewer), "Lists keyboard layouts", keyboard::layouts)
            .gives::<Vec<keyboard::LayoutEntry>>(),
        Op::new(POST, "/api/v1/keyboard/paste", Role(Operator), "Types a text, or says what typing it would be", keyboard::paste)
            .takes::<keyboard::NewPaste>().gives::<keyboard::PasteAnswer>(),
        Op::new(DELETE, "/api/v1/keyboard/paste", Role(Operator), "Cancels the paste that is running", keyboard::cancel_paste),
        Op::new(POST, "/api/v1/keyboard/shortcut", Role(Operator), "Presses keys together and releases them", keyboard::shortcut)
            .takes::<keyboard::Shortcut>(),
        Op::new(POST, "/api/v1/keyboard/wake", Role(Operator), "Wakes a sleeping host", keyboard::wake),
        Op::new(GET, "/api/v1/gadget", Role(Viewer), "Answers what the host sees on its USB port", gadget::read)
            .gives::<gadget::Gadget>(),
        Op::new(PATCH, "/api/v1/gadget", Role(Operator), "Changes what the host sees on its USB port", gadget::change)
            .takes::<gadget::Change>(),
        Op::new(GET, "/api/v1/metrics", Role(Viewer), "Answers measurements for Prometheus", metrics::read)
            .gives_bytes("text/plain"),
    ]
}

#[rustfmt::skip]
fn picture() -> Vec<Op> {
    vec![
        Op::new(GET, "/stream", Role(Viewer), "Streams pictures as an image that moves (multipart/x-mixed-replace)", video::stream)
            .gives_bytes("multipart/x-mixed-replace"),
        Op::new(GET, "/api/v1/video", Role(Viewer), "Answers how it stands with the picture", video::read)
            .gives::<video::Video>(),
        Op::new(PATCH, "/api/v1/video", Role(Operator), "Changes how pictures are made", video::change)
            .takes::<video::Change>(),
        Op::new(GET, "/api/v1/video/snapshot.jpg", Role(Viewer), "Answers one picture", video::snapshot)
            .gives_bytes("image/jpeg"),
        Op::new(GET, "/api/v1/video/edid", Role(Viewer), "Answers what the host is told of its screen", video::edid)
            .gives::<video::EdidEntry>(),
        Op::new(PUT, "/api/v1/video/edid", Role(Operator), "Sets what the host is told of its screen", video::set_edid)
            .takes::<video::NewEdid>(),
    ]
}

#[cfg(test)]
mod tests;
