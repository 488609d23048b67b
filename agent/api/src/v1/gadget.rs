//! The USB gadget: what the host sees.

use std::sync::Arc;

use agent_access::Principal;
use agent_access::audit::Action;
use agent_helper::{Profile, Request};
use agent_input::Pointer;
use axum::extract::State;
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::extract::Body;
use crate::app::App;
use crate::failure::{Failure, chain};
use crate::guard::Peer;

/// The gadget.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Gadget {
    /// `bios-safe`, `full` or `mac`; nothing while there is no gadget.
    #[schemars(with = "Option<String>")]
    profile: Option<Profile>,
    /// Why there is no gadget.
    problem: Option<String>,
    /// What the USB controller says of the host: `configured`, `suspended`, `not attached`….
    host: Option<String>,
    /// Whether a key can wake a sleeping host: not every kernel can.
    can_wake: bool,
    /// Which mouse the host sees move: `absolute` or `relative`.
    #[schemars(with = "String")]
    pointer: Pointer,
    /// After how many idle seconds the mouse is moved a little; 0 is never.
    jiggle_after: u64,
}

/// What changes. What is absent stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Change {
    /// `bios-safe`, `full` or `mac`. The host sees the plug pulled and put in again.
    #[schemars(with = "Option<String>")]
    profile: Option<Profile>,
    /// Whether the gadget is plugged in.
    connected: Option<bool>,
    /// `absolute` or `relative`.
    #[schemars(with = "Option<String>")]
    pointer: Option<Pointer>,
    /// After how many idle seconds the mouse is moved a little, at most a day; 0 is never.
    jiggle_after: Option<u64>,
}

/// Answers how the gadget is.
pub async fn read(State(app): State<Arc<App>>) -> Json<Gadget> {
    let live = app.live.borrow();
    Json(Gadget {
        profile: live.gadget.as_ref().map(|gadget| gadget.profile),
        problem: live.gadget_problem.clone(),
        host: live.host.clone(),
        can_wake: live.gadget.as_ref().is_some_and(|gadget| gadget.can_wake),
        pointer: app.parts.input.pointer(),
        jiggle_after: app.settings.borrow().jiggle_after,
    })
}

/// Changes the gadget.
pub async fn change(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(principal): Extension<Principal>,
    Body(change): Body<Change>,
) -> Result<Json<()>, Failure> {
    let note = |what: &str| {
        let subject = Some(format!("USB {what}"));
        app.audit(Some(&principal), Some(peer), Action::Setting, subject);
    };
    if let Some(pointer) = change.pointer {
        app.parts.input.set_pointer(pointer);
    }
    if let Some(seconds) = change.jiggle_after {
        app.choose(|settings| settings.jiggle_after = seconds.min(24 * 60 * 60))?;
        note("jiggler");
    }
    if let Some(profile) = change.profile {
        let made = app
            .parts
            .helper
            .gadget(&Request::UseProfile { profile })
            .await;
        app.set_gadget(
            made.as_ref()
                .map(Clone::clone)
                .map_err(|error| chain(error)),
        );
        made?;
        app.choose(|settings| settings.profile = profile)?;
        note("profile");
    }
    if let Some(connected) = change.connected {
        app.parts
            .helper
            .ask(&Request::Connect { connected })
            .await?;
        note(if connected { "plugged in" } else { "unplugged" });
    }
    Ok(Json(()))
}
