//! `/api/gpio`: the named lines, in the shape of kvmd's `ugpio`.

use std::sync::Arc;
use std::time::Duration;

use agent_access::Principal;
use agent_device::config::Direction;
use agent_power::channels::PULSES;
use axum::Extension;
use axum::extract::{Query, State};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::app::App;
use crate::guard::Peer;
use crate::pikvm::envelope::{Done, Refused};
use crate::pikvm::hid::{required, switch};
use crate::v1::gpio;

/// Parameters of a request.
#[derive(Debug, Default, Deserialize)]
pub struct Parameters {
    channel: Option<String>,
    state: Option<String>,
    delay: Option<String>,
    wait: Option<String>,
}

/// `GET /api/gpio`.
pub async fn read(State(app): State<Arc<App>>) -> Done {
    Done(state(&app))
}

/// The same as a value, also for the socket.
pub fn state(app: &App) -> Value {
    let (mut input_schemes, mut output_schemes) = (Map::new(), Map::new());
    let (mut inputs, mut outputs) = (Map::new(), Map::new());
    let mut table = Vec::new();
    for channel in app.parts.channels.read() {
        let hardware = json!({ "driver": "gpio", "pin": channel.name });
        let label = json!({ "type": "label", "text": channel.label });
        let is_on = channel.is_on.unwrap_or(false);
        let is_online = channel.is_on.is_some();
        let name = channel.name.clone();
        if channel.direction == Direction::Input {
            input_schemes.insert(name.clone(), json!({ "hw": hardware }));
            inputs.insert(name.clone(), json!({ "online": is_online, "state": is_on }));
            let light = json!({ "type": "input", "channel": name, "color": "green" });
            table.push(json!([label, light]));
        } else {
            let pulse = Duration::from_millis(channel.pulse_milliseconds).as_secs_f64();
            let (least, most) = (PULSES.0.as_secs_f64(), PULSES.1.as_secs_f64());
            let scheme = json!({
                "switch": true,
                "pulse": { "delay": pulse, "min_delay": least, "max_delay": most },
                "hw": hardware,
            });
            output_schemes.insert(name.clone(), scheme);
            let now = json!({ "online": true, "state": is_on, "busy": channel.is_busy });
            outputs.insert(name.clone(), now);
            let button =
                json!({ "type": "output", "channel": name, "confirm": false, "text": "Click" });
            table.push(json!([label, button]));
        }
    }
    let title = json!([{ "type": "label", "text": "GPIO" }]);
    json!({
        "model": {
            "scheme": { "inputs": input_schemes, "outputs": output_schemes },
            "view": { "header": { "title": title }, "table": table },
        },
        "state": { "inputs": inputs, "outputs": outputs },
    })
}

/// `POST /api/gpio/switch`.
pub async fn turn(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Extension(peer): Extension<Peer>,
    Query(given): Query<Parameters>,
) -> Result<Done, Refused> {
    let name = required(given.channel, "channel")?;
    let is_on = switch(&required(given.state, "state")?)?;
    gpio::switch(&app, &principal, peer, &name, is_on)?;
    Ok(Done::empty())
}

/// `POST /api/gpio/pulse`.
pub async fn pulse(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Extension(peer): Extension<Peer>,
    Query(given): Query<Parameters>,
) -> Result<Done, Refused> {
    let name = required(given.channel, "channel")?;
    // Zero means the channel's own length.
    let seconds = given.delay.map_or(Ok(0.0), |text| text.parse::<f64>());
    let seconds = seconds
        .ok()
        .filter(|seconds| (0.0..=60.0).contains(seconds));
    let seconds = seconds.ok_or_else(|| Refused::parameter("delay is a number of seconds"))?;
    let length = (seconds > 0.0).then(|| Duration::from_secs_f64(seconds));
    let waits = given.wait.as_deref().map_or(Ok(false), switch)?;
    let pulse = {
        let (app, name) = (Arc::clone(&app), name.clone());
        async move { gpio::pulse(&app, &principal, peer, &name, length).await }
    };
    if waits {
        pulse.await?;
    } else {
        app.parts
            .channels
            .check_output(&name)
            .map_err(|error| Refused(error.into()))?;
        // Nobody waits for how it ended.
        tokio::spawn(pulse);
    }
    Ok(Done::empty())
}
