//! Updates of the device: what is offered, what is going on, and how the last one ended. The updater does it; this asks it.

use std::io;
use std::sync::Arc;

use agent_access::Principal;
use agent_access::audit::Action;
use agent_helper::ImageName;
use agent_update::protocol::{Answer, Choices, Request, Token, View, When};
use axum::extract::State;
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::Deserialize;

use super::extract::Body;
use crate::app::App;
use crate::failure::{Code, Failure};
use crate::guard::Peer;

/// What to install, and when.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Install {
    /// Version that is offered.
    version: String,
    /// At once, and the device restarts; or the next night.
    when: When,
}

/// An upload to install.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct InstallUpload {
    /// Name of the bundle, as it was uploaded among the images.
    name: String,
}

/// A token for a fleet server.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NewToken {
    /// As the server gave it. It is shown nowhere again.
    token: Token,
}

/// Answers how it stands.
pub async fn read(State(app): State<Arc<App>>) -> Result<Json<View>, Failure> {
    ask(&app, Request::Status {}).await
}

/// Looks what the channel offers.
pub async fn look(State(app): State<Arc<App>>) -> Result<Json<View>, Failure> {
    ask(&app, Request::Look {}).await
}

/// Counts what installing would fetch and write.
pub async fn plan(State(app): State<Arc<App>>) -> Result<Json<View>, Failure> {
    ask(&app, Request::Plan {}).await
}

/// Installs what is offered.
pub async fn install(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(principal): Extension<Principal>,
    Body(what): Body<Install>,
) -> Result<Json<View>, Failure> {
    let Install { version, when } = what;
    let subject = Some(format!("update to {version}"));
    let view = ask(&app, Request::Install { version, when }).await?;
    app.audit(Some(&principal), Some(peer), Action::Device, subject);
    Ok(view)
}

/// Installs a bundle that was uploaded.
pub async fn install_upload(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(principal): Extension<Principal>,
    Body(what): Body<InstallUpload>,
) -> Result<Json<View>, Failure> {
    let name: ImageName = what.name.parse()?;
    if !app.parts.media.has(&name) {
        return Err(Failure::not_found("upload"));
    }
    let path = app.parts.state.join("media").join(name.as_str());
    let subject = Some(format!("update from {name}"));
    let restarts = true;
    let view = ask(&app, Request::InstallFile { path, restarts }).await?;
    app.audit(Some(&principal), Some(peer), Action::Device, subject);
    Ok(view)
}

/// Stops what is being fetched and written.
pub async fn stop(State(app): State<Arc<App>>) -> Result<Json<View>, Failure> {
    ask(&app, Request::Stop {}).await
}

/// Goes back to the version before.
pub async fn back(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(principal): Extension<Principal>,
) -> Result<Json<View>, Failure> {
    let view = ask(&app, Request::Back {}).await?;
    let subject = view
        .before
        .as_ref()
        .map(|before| format!("back to {before}"));
    app.audit(Some(&principal), Some(peer), Action::Device, subject);
    Ok(view)
}

/// Sets what the owner chose.
pub async fn choose(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(principal): Extension<Principal>,
    Body(choices): Body<Choices>,
) -> Result<Json<View>, Failure> {
    let view = ask(&app, Request::Choose { choices }).await?;
    let subject = Some("choices of updates".to_owned());
    app.audit(Some(&principal), Some(peer), Action::Device, subject);
    Ok(view)
}

/// Sets the token for a fleet server.
pub async fn set_token(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(principal): Extension<Principal>,
    Body(NewToken { token }): Body<NewToken>,
) -> Result<Json<View>, Failure> {
    let view = ask(&app, Request::Token { token }).await?;
    let subject = Some("token for the fleet server".to_owned());
    app.audit(Some(&principal), Some(peer), Action::Device, subject);
    Ok(view)
}

async fn ask(app: &App, request: Request) -> Result<Json<View>, Failure> {
    let socket = app.parts.updater.clone();
    let asking = move || agent_update::protocol::ask(&socket, &request);
    let answer = tokio::task::spawn_blocking(asking).await;
    let answer = answer.map_err(io::Error::other).and_then(|answer| answer);
    match answer {
        Ok(Answer::View { view }) => Ok(Json(*view)),
        Ok(Answer::Refused { reason }) => Err(Failure::new(Code::Conflict, reason)),
        Err(error) if error.kind() == io::ErrorKind::NotFound && !has_slots(app) => {
            Err(Failure::new(
                Code::NotFound,
                "this image has one slot only, so it cannot update itself: flash a new image",
            ))
        }
        Err(error) => Err(Failure::new(
            Code::Failed,
            format!("the updater does not answer yet ({error})"),
        )),
    }
}

/// Whether the image was made with two slots: then the updater is there, or about to be.
fn has_slots(app: &App) -> bool {
    app.parts.root.join("usr/lib/bakelite/kept").exists()
}
