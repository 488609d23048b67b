//! GPIO lines that an owner gave a name.

use std::sync::Arc;
use std::time::Duration;

use agent_access::Principal;
use agent_access::audit::Action;
use agent_power::channels::{ChannelError, ChannelState};
use axum::extract::{Path, State};
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::extract::Body;
use crate::app::App;
use crate::failure::{Code, Failure, chain};
use crate::guard::Peer;

/// A channel.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Channel(
    #[schemars(with = "std::collections::BTreeMap<String, serde_json::Value>")] ChannelState,
);

/// What an output shall be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Switch {
    is_on: bool,
}

/// A pulse.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NewPulse {
    /// Its length, 10 to 30000; the channel's own if absent.
    milliseconds: Option<u64>,
}

impl From<ChannelError> for Failure {
    fn from(error: ChannelError) -> Self {
        let code = match &error {
            ChannelError::Unknown(_) => Code::NotFound,
            ChannelError::Input(_) | ChannelError::Pulse => Code::BadRequest,
            ChannelError::Busy(_) => Code::Conflict,
            ChannelError::Line(_) => Code::Failed,
        };
        Self::new(code, chain(&error))
    }
}

/// Lists channels and how they are.
pub async fn list(State(app): State<Arc<App>>) -> Json<Vec<Channel>> {
    let states = app.parts.channels.read().into_iter();
    Json(states.map(Channel).collect())
}

/// Switches an output.
pub async fn put(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(principal): Extension<Principal>,
    Path(name): Path<String>,
    Body(Switch { is_on }): Body<Switch>,
) -> Result<Json<()>, Failure> {
    switch(&app, &principal, peer, &name, is_on)?;
    Ok(Json(()))
}

/// Switches an output on and off again, and answers then.
pub async fn post(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(principal): Extension<Principal>,
    Path(name): Path<String>,
    Body(new): Body<NewPulse>,
) -> Result<Json<()>, Failure> {
    let length = new.milliseconds.map(Duration::from_millis);
    pulse(&app, &principal, peer, &name, length).await?;
    Ok(Json(()))
}

pub(crate) fn switch(
    app: &App,
    principal: &Principal,
    peer: Peer,
    name: &str,
    is_on: bool,
) -> Result<(), Failure> {
    app.parts.channels.check_output(name)?;
    let word = if is_on { "on" } else { "off" };
    let subject = Some(format!("gpio {name} {word}"));
    app.audit(Some(principal), Some(peer), Action::Power, subject);
    Ok(app.parts.channels.switch(name, is_on)?)
}

/// The pulse goes on when whoever asked goes away.
pub(crate) async fn pulse(
    app: &Arc<App>,
    principal: &Principal,
    peer: Peer,
    name: &str,
    length: Option<Duration>,
) -> Result<(), Failure> {
    app.parts.channels.check_output(name)?;
    let subject = Some(format!("gpio {name} pulse"));
    app.audit(Some(principal), Some(peer), Action::Power, subject);
    let (pulsing, name) = (Arc::clone(app), name.to_owned());
    let pulsed = tokio::spawn(async move { pulsing.parts.channels.pulse(&name, length).await });
    let pulsed = pulsed.await;
    pulsed.map_err(|error| Failure::new(Code::Failed, error.to_string()))??;
    Ok(())
}
