//! `/api/atx`: the machine's front panel.

use std::sync::Arc;

use agent_access::Principal;
use agent_power::{Button, Press};
use axum::Extension;
use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::App;
use crate::failure::Failure;
use crate::guard::Peer;
use crate::pikvm::envelope::{Done, Refused};
use crate::pikvm::hid::switch;
use crate::v1::power::{Power, push};

/// Parameters of a request.
#[derive(Debug, Default, Deserialize)]
pub struct Parameters {
    action: Option<String>,
    button: Option<String>,
    wait: Option<String>,
}

/// `GET /api/atx`.
pub async fn read(State(app): State<Arc<App>>) -> Done {
    Done(state(&app))
}

/// The same as a value, also for the socket.
pub fn state(app: &App) -> Value {
    let power = Power::read(app);
    json!({
        "enabled": power.is_wired,
        "busy": power.is_busy,
        "leds": { "power": power.power.unwrap_or(false), "hdd": power.disk.unwrap_or(false) },
    })
}

/// `POST /api/atx/power`: what the power shall be, whatever it is.
pub async fn power(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Extension(peer): Extension<Peer>,
    Query(given): Query<Parameters>,
) -> Result<Done, Refused> {
    let Power { power, .. } = Power::read(&app);
    let (button, press, when) = match given.action.as_deref() {
        Some("on") => (Button::Power, Press::Short, Some(false)),
        Some("off") => (Button::Power, Press::Short, Some(true)),
        Some("off_hard") => (Button::Power, Press::Long, Some(true)),
        Some("reset_hard") => (Button::Reset, Press::Short, Some(true)),
        _ => {
            return Err(Refused::parameter(
                "action is on, off, off_hard or reset_hard",
            ));
        }
    };
    // Without a light nobody knows how the power is: then the button is pressed.
    if power.is_none() || power == when {
        run(&app, &principal, peer, button, press, &given).await?;
    }
    Ok(Done::empty())
}

/// `POST /api/atx/click`: a button.
pub async fn click(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Extension(peer): Extension<Peer>,
    Query(given): Query<Parameters>,
) -> Result<Done, Refused> {
    let (button, press) = match given.button.as_deref() {
        Some("power") => (Button::Power, Press::Short),
        Some("power_long") => (Button::Power, Press::Long),
        Some("reset") => (Button::Reset, Press::Short),
        _ => return Err(Refused::parameter("button is power, power_long or reset")),
    };
    run(&app, &principal, peer, button, press, &given).await?;
    Ok(Done::empty())
}

async fn run(
    app: &Arc<App>,
    principal: &Principal,
    peer: Peer,
    button: Button,
    press: Press,
    given: &Parameters,
) -> Result<(), Refused> {
    let waits = given.wait.as_deref().map_or(Ok(true), switch)?;
    if waits {
        return Ok(push(app, principal, peer, button, press).await?);
    }
    if !app.parts.atx.has(button) {
        return Err(Refused(agent_power::atx::PressError::NotWired.into()));
    }
    let (app, principal) = (Arc::clone(app), principal.clone());
    tokio::spawn(async move {
        // Nobody waits for how it ended.
        let _outcome: Result<(), Failure> = push(&app, &principal, peer, button, press).await;
    });
    Ok(())
}
