//! The machine's front panel.

use std::sync::Arc;

use agent_access::Principal;
use agent_access::audit::Action;
use agent_power::atx::PressError;
use agent_power::{Button, Lights, Press};
use axum::extract::{Path, State};
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::extract::Body;
use crate::app::App;
use crate::failure::{Code, Failure, chain};
use crate::guard::Peer;

/// What is wired, and what the lights show.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Power {
    /// Whether anything is wired to this device.
    pub is_wired: bool,
    /// Buttons that can be pressed: `power`, `reset`.
    #[schemars(with = "Vec<String>")]
    pub buttons: Vec<Button>,
    /// Whether a button is being pressed.
    pub is_busy: bool,
    /// The power light; nothing if it cannot be seen.
    pub power: Option<bool>,
    /// The disk light.
    pub disk: Option<bool>,
}

/// A press.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NewPress {
    /// `short` (0.2 s) or `long` (5.5 s, after which the power is off).
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    press: Press,
}

impl Power {
    /// Reads it.
    pub fn read(app: &App) -> Self {
        let atx = &app.parts.atx;
        let Lights { power, disk } = atx.lights();
        Self {
            is_wired: atx.is_wired(),
            buttons: [Button::Power, Button::Reset]
                .into_iter()
                .filter(|button| atx.has(*button))
                .collect(),
            is_busy: atx.is_busy(),
            power,
            disk,
        }
    }
}

impl From<PressError> for Failure {
    fn from(error: PressError) -> Self {
        let code = match &error {
            PressError::NotWired => Code::BadRequest,
            PressError::Busy => Code::Conflict,
            PressError::Line(_) => Code::Failed,
        };
        Self::new(code, chain(&error))
    }
}

/// Answers what is wired and what the lights show.
pub async fn read(State(app): State<Arc<App>>) -> Json<Power> {
    Json(Power::read(&app))
}

/// Presses a button and answers when it is let go.
pub async fn press(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(principal): Extension<Principal>,
    Path(button): Path<String>,
    Body(new): Body<NewPress>,
) -> Result<Json<()>, Failure> {
    let button = match button.as_str() {
        "power" => Button::Power,
        "reset" => Button::Reset,
        _ => return Err(Failure::not_found("button")),
    };
    push(&app, &principal, peer, button, new.press).await?;
    Ok(Json(()))
}

/// Presses a button and writes it down. The press goes on when whoever asked goes away.
pub(crate) async fn push(
    app: &Arc<App>,
    principal: &Principal,
    peer: Peer,
    button: Button,
    press: Press,
) -> Result<(), Failure> {
    if !app.parts.atx.has(button) {
        return Err(PressError::NotWired.into());
    }
    let what = match (button, press) {
        (Button::Power, Press::Short) => "power button",
        (Button::Power, Press::Long) => "power button, long",
        (Button::Reset, _) => "reset button",
    };
    app.audit(
        Some(principal),
        Some(peer),
        Action::Power,
        Some(what.to_owned()),
    );
    let pressing = Arc::clone(app);
    let pressed = tokio::spawn(async move { pressing.parts.atx.press(button, press).await });
    let pressed = pressed.await;
    pressed.map_err(|error| Failure::new(Code::Failed, error.to_string()))??;
    Ok(())
}
