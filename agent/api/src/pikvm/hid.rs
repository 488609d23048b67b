//! `/api/hid`: keyboard and mouse.

use std::sync::Arc;
use std::time::Duration;

use agent_access::Principal;
use agent_helper::Request;
use agent_input::input::{LONG_LEASE, Pointer};
use agent_input::layout::{Layout, Plan};
use agent_input::{Key, held::Viewer};
use axum::Extension;
use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::json;

use crate::app::App;
use crate::failure::{Code, Failure};
use crate::guard::Peer;
use crate::pikvm::envelope::{Done, Refused};
use crate::pikvm::state;
use crate::v1::keyboard;

/// Names that kvmd gives layouts, where they differ from this device's.
const NAMES: &[(&str, &str)] = &[
    ("en-us", "us"),
    ("en-us-altgr-intl", "us-intl"),
    ("en-gb", "gb"),
    ("da", "dk"),
    ("de-ch", "ch"),
    ("et", "ee"),
    ("fr-be", "be"),
    ("fr-bepo", "fr-bepo"),
    ("fr-ca", "ca"),
    ("fr-ch", "ch-fr"),
    ("ja", "jp"),
    ("pt-br", "br"),
    ("sl", "si"),
    ("sv", "se"),
];

/// Numbers and switches of a request.
#[derive(Debug, Default, Deserialize)]
pub struct Parameters {
    key: Option<String>,
    keys: Option<String>,
    state: Option<String>,
    finish: Option<String>,
    button: Option<String>,
    to_x: Option<i32>,
    to_y: Option<i32>,
    delta_x: Option<i32>,
    delta_y: Option<i32>,
    jiggler: Option<String>,
    mouse_output: Option<String>,
    connected: Option<String>,
    keymap: Option<String>,
    limit: Option<usize>,
    slow: Option<String>,
    delay: Option<f64>,
}

/// Reads a switch as kvmd does.
pub fn switch(text: &str) -> Result<bool, Refused> {
    match text.to_ascii_lowercase().as_str() {
        "1" | "true" | "yes" => Ok(true),
        "0" | "false" | "no" => Ok(false),
        _ => Err(Refused::parameter(format!(
            "“{text}” is neither true nor false"
        ))),
    }
}

/// Refuses a request without a parameter.
pub fn required<T>(value: Option<T>, name: &str) -> Result<T, Refused> {
    value.ok_or_else(|| Refused::parameter(format!("the parameter {name} is missing")))
}

/// Returns a button's number by kvmd's name.
pub fn button(name: &str) -> Result<u8, Refused> {
    match name {
        "left" => Ok(0),
        "middle" => Ok(2),
        "right" => Ok(1),
        "up" => Ok(3),
        "down" => Ok(4),
        _ => Err(Refused::parameter(format!(
            "there is no mouse button “{name}”"
        ))),
    }
}

/// Returns a place of this device for one of kvmd's, -32768 to 32767.
pub fn place(number: i32) -> u16 {
    let number = number.clamp(-32768, 32767) + 32768;
    u16::try_from(number / 2).expect("half of 16 bits")
}

/// Returns steps that a report can carry.
pub fn steps(number: i32) -> i8 {
    i8::try_from(number.clamp(-127, 127)).expect("clamped")
}

/// Lets a client act: its presses count for ten seconds without a sign of life.
fn act(app: &App, principal: &Principal) -> Result<Viewer, Refused> {
    let seat = app.seat_of(principal);
    app.parts.input.set_lease(seat, LONG_LEASE);
    app.act(seat, principal).map_err(Failure::from)?;
    Ok(seat)
}

/// `GET /api/hid`.
pub async fn read(State(app): State<Arc<App>>) -> Done {
    Done(state::hid(&app))
}

/// `GET /api/hid/keymaps`.
pub async fn keymaps() -> Done {
    Done(json!({ "keymaps": { "available": layouts(), "default": "en-us" } }))
}

fn layouts() -> Vec<&'static str> {
    let kvmd = |name| {
        NAMES
            .iter()
            .find(|pair| pair.1 == name)
            .map_or(name, |pair| pair.0)
    };
    Layout::list().map(|(name, _)| kvmd(name)).collect()
}

/// `GET /api/hid/inactivity`.
pub async fn inactivity(State(app): State<Arc<App>>) -> Done {
    let idle = app.parts.input.idle();
    let seconds = idle.map_or(-1, |idle| i64::try_from(idle.as_secs()).unwrap_or(i64::MAX));
    Done(json!({ "inactivity": seconds }))
}

/// `POST /api/hid/set_params`.
pub async fn set(
    State(app): State<Arc<App>>,
    Query(given): Query<Parameters>,
) -> Result<Done, Refused> {
    if let Some(jiggler) = &given.jiggler {
        let seconds = if switch(jiggler)? { 60 } else { 0 };
        app.choose(|settings| settings.jiggle_after = seconds)?;
    }
    match given.mouse_output.as_deref() {
        Some("usb" | "") => app.parts.input.set_pointer(Pointer::Absolute),
        Some("usb_rel") => app.parts.input.set_pointer(Pointer::Relative),
        Some(other) => return Err(Refused::parameter(format!("there is no mouse “{other}”"))),
        None => {}
    }
    Ok(Done::empty())
}

/// `POST /api/hid/set_connected`.
pub async fn connect(
    State(app): State<Arc<App>>,
    Query(given): Query<Parameters>,
) -> Result<Done, Refused> {
    let connected = switch(&required(given.connected, "connected")?)?;
    let asked = app.parts.helper.ask(&Request::Connect { connected }).await;
    asked.map_err(Failure::from)?;
    Ok(Done::empty())
}

/// `POST /api/hid/reset`.
pub async fn reset(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
) -> Result<Done, Refused> {
    let seat = act(&app, &principal)?;
    app.parts.input.release(seat);
    app.parts.input.host_lost();
    Ok(Done::empty())
}

/// `POST /api/hid/print`.
pub async fn print(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(principal): Extension<Principal>,
    Query(given): Query<Parameters>,
    text: String,
) -> Result<Done, Refused> {
    let limit = given.limit.unwrap_or(1024);
    let text: String = match limit {
        0 => text,
        limit => text.chars().take(limit).collect(),
    };
    let name = given.keymap.as_deref().unwrap_or("en-us");
    let name = NAMES
        .iter()
        .find(|pair| pair.0 == name)
        .map_or(name, |pair| pair.1);
    let layout = Layout::named(name).map_err(Failure::from)?;
    let is_slow = given
        .slow
        .as_deref()
        .is_some_and(|slow| switch(slow).unwrap_or(false));
    let pause = given.delay.unwrap_or(if is_slow { 0.02 } else { 0.0 });
    let pause = Duration::try_from_secs_f64(pause.clamp(0.0, 5.0)).unwrap_or_default();
    // As kvmd does: what cannot be typed is left out.
    let plan = Plan::new(&text, &layout);
    keyboard::type_for(&app, &principal, peer, plan, text.chars().count(), pause)?;
    Ok(Done::empty())
}

/// `POST /api/hid/events/send_shortcut`.
pub async fn shortcut(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Query(given): Query<Parameters>,
) -> Result<Done, Refused> {
    let keys = required(given.keys, "keys")?;
    let keys: Vec<Key> = keys
        .split(',')
        .filter(|key| !key.trim().is_empty())
        .map(|key| key.trim().parse().map_err(Failure::from))
        .collect::<Result<_, _>>()?;
    act(&app, &principal)?;
    keyboard::press_together(&app, &keys);
    Ok(Done::empty())
}

/// `POST /api/hid/events/send_key`.
pub async fn key(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Query(given): Query<Parameters>,
) -> Result<Done, Refused> {
    let key: Key = required(given.key, "key")?.parse().map_err(Failure::from)?;
    let seat = act(&app, &principal)?;
    let finishes = given.finish.as_deref().map_or(Ok(false), switch)?;
    let state = given.state.as_deref().map(switch).transpose()?;
    app.parts.input.key(seat, key, state.unwrap_or(true));
    // Without a state it is a stroke; one that finishes is let go as soon as it is pressed.
    if state.is_none() || (state == Some(true) && finishes) {
        app.parts.input.key(seat, key, false);
    }
    Ok(Done::empty())
}

/// `POST /api/hid/events/send_mouse_button`.
pub async fn mouse_button(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Query(given): Query<Parameters>,
) -> Result<Done, Refused> {
    let number = button(&required(given.button, "button")?)?;
    let seat = act(&app, &principal)?;
    let press = |is_down| {
        let pressed = app.parts.input.button(seat, number, is_down);
        pressed.map_err(|error| Failure::new(Code::BadRequest, error.to_string()))
    };
    let state = given.state.as_deref().map(switch).transpose()?;
    press(state.unwrap_or(true))?;
    if state.is_none() {
        press(false)?;
    }
    Ok(Done::empty())
}

/// `POST /api/hid/events/send_mouse_move`.
pub async fn mouse_move(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Query(given): Query<Parameters>,
) -> Result<Done, Refused> {
    let (x, y) = (required(given.to_x, "to_x")?, required(given.to_y, "to_y")?);
    let seat = act(&app, &principal)?;
    app.parts.input.move_to(seat, place(x), place(y));
    Ok(Done::empty())
}

/// `POST /api/hid/events/send_mouse_relative`.
pub async fn mouse_relative(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Query(given): Query<Parameters>,
) -> Result<Done, Refused> {
    let (x, y) = deltas(&given)?;
    let seat = act(&app, &principal)?;
    app.parts.input.move_by(seat, x.into(), y.into());
    Ok(Done::empty())
}

/// `POST /api/hid/events/send_mouse_wheel`.
pub async fn mouse_wheel(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Query(given): Query<Parameters>,
) -> Result<Done, Refused> {
    let (x, y) = deltas(&given)?;
    let seat = act(&app, &principal)?;
    app.parts.input.wheel(seat, y, x);
    Ok(Done::empty())
}

fn deltas(given: &Parameters) -> Result<(i8, i8), Refused> {
    let (x, y) = (
        required(given.delta_x, "delta_x")?,
        required(given.delta_y, "delta_y")?,
    );
    Ok((steps(x), steps(y)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_of_kvmd_are_places_of_the_descriptor() {
        assert_eq!((place(-32768), place(0), place(32767)), (0, 16384, 32767));
        assert_eq!((place(i32::MIN), place(i32::MAX)), (0, 32767));
    }

    #[test]
    fn every_name_of_a_layout_leads_to_one() {
        for (_, own) in NAMES {
            assert!(Layout::named(own).is_ok(), "{own}");
        }
        assert!(layouts().contains(&"en-us") && layouts().contains(&"de"));
    }

    #[test]
    fn switches_are_kvmds() {
        assert!(switch("1").unwrap() && switch("True").unwrap() && !switch("no").unwrap());
        assert!(switch("maybe").is_err());
    }
}
