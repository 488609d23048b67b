//! `/api/ws`: kvmd's socket, text and binary.

use std::sync::Arc;
use std::time::Duration;

use agent_access::{Principal, Role};
use agent_input::Key;
use agent_input::held::Viewer;
use agent_input::input::LONG_LEASE;
use axum::Extension;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::app::App;
use crate::live::message::LONGEST;
use crate::pikvm::hid::{button, place, steps, switch};
use crate::pikvm::{atx, gpio, state};

/// A client that cannot be told something for so long is gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// Parameters of the socket.
#[derive(Debug, Deserialize)]
pub struct Parameters {
    stream: Option<String>,
}

/// What a client does. Unknown events are passed over, as kvmd does.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Event {
    /// A key, and whether it goes up at once.
    Key(Key, bool, bool),
    /// A button.
    Button(u8, bool),
    /// A place.
    MoveTo(u16, u16),
    /// Steps.
    MoveBy(i8, i8),
    /// Steps of the wheel: to the side, and away from the hand.
    Wheel(i8, i8),
    /// A sign of life, in text or binary.
    Ping {
        /// In which form it came, and is answered.
        is_binary: bool,
    },
}

/// Opens the socket.
pub async fn open(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Query(given): Query<Parameters>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let streams = given
        .stream
        .as_deref()
        .is_none_or(|text| switch(text).unwrap_or(true));
    upgrade
        .max_message_size(LONGEST)
        .max_frame_size(LONGEST)
        .on_upgrade(move |socket| serve(app, principal, socket, streams))
}

async fn serve(app: Arc<App>, principal: Principal, mut socket: WebSocket, streams: bool) {
    let viewer = app.enter(&principal);
    app.parts.input.set_lease(viewer, LONG_LEASE);
    // A client that wants the stream keeps the capture running, as it does in kvmd.
    let watcher = streams.then(|| app.parts.video.watch());
    tokio::select! {
        () = principal.ended() => {}
        () = talk(&app, &principal, viewer, &mut socket) => {}
    }
    drop(watcher);
    app.leave(viewer);
}

async fn talk(app: &App, principal: &Principal, viewer: Viewer, socket: &mut WebSocket) {
    let (mut live, mut video) = (app.live.subscribe(), app.parts.video.state());
    for (name, event) in all(app) {
        if !tell(socket, name, &event).await {
            return;
        }
    }
    loop {
        tokio::select! {
            changed = live.changed() => {
                live.borrow_and_update();
                let events = [
                    ("hid", state::hid(app)),
                    ("atx", atx::state(app)),
                    ("msd", state::msd(app)),
                    clients(app),
                ];
                for (name, event) in events {
                    if changed.is_err() || !tell(socket, name, &event).await {
                        return;
                    }
                }
            }
            changed = video.changed() => {
                video.borrow_and_update();
                if changed.is_err() || !tell(socket, "streamer", &state::streamer(app)).await {
                    return;
                }
            }
            message = socket.recv() => {
                let event = match message {
                    Some(Ok(Message::Text(text))) => text_event(text.as_str()),
                    Some(Ok(Message::Binary(bytes))) => binary_event(&bytes),
                    Some(Ok(Message::Ping(_) | Message::Pong(_))) => None,
                    Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                };
                app.parts.input.renew(viewer);
                let is_told = match event {
                    Some(Event::Ping { is_binary: true }) => {
                        send(socket, Message::Binary(vec![255].into())).await
                    }
                    Some(Event::Ping { is_binary: false }) => {
                        tell(socket, "pong", &json!({})).await
                    }
                    Some(event) => {
                        apply(app, principal, viewer, event);
                        true
                    }
                    None => true,
                };
                if !is_told {
                    return;
                }
            }
        }
    }
}

fn all(app: &App) -> [(&'static str, Value); 9] {
    [
        ("loop", json!({ "version": 2 })),
        ("info", state::info(app)),
        ("gpio", gpio::state(app)),
        ("hid", state::hid(app)),
        ("atx", atx::state(app)),
        ("msd", state::msd(app)),
        ("streamer", state::streamer(app)),
        (
            "ocr",
            json!({ "enabled": false, "langs": { "default": [], "available": [] } }),
        ),
        clients(app),
    ]
}

fn clients(app: &App) -> (&'static str, Value) {
    (
        "clients",
        json!({ "count": app.live.borrow().viewers.len() }),
    )
}

async fn tell(socket: &mut WebSocket, name: &str, event: &Value) -> bool {
    let text = json!({ "event_type": name, "event": event }).to_string();
    send(socket, Message::Text(text.into())).await
}

async fn send(socket: &mut WebSocket, message: Message) -> bool {
    let sent = tokio::time::timeout(PATIENCE, socket.send(message)).await;
    matches!(sent, Ok(Ok(())))
}

fn apply(app: &App, principal: &Principal, viewer: Viewer, event: Event) {
    // kvmd's clients expect no answer to events: whoever may not is passed over.
    if principal.role < Role::Operator {
        return;
    }
    let input = &app.parts.input;
    let is_release = matches!(event, Event::Key(_, false, _) | Event::Button(_, false));
    if !is_release && app.act(viewer, principal).is_err() {
        return;
    }
    match event {
        Event::Key(key, is_down, finishes) => {
            input.key(viewer, key, is_down);
            if is_down && finishes {
                input.key(viewer, key, false);
            }
        }
        // Numbers were checked when the event was read.
        Event::Button(number, is_down) => drop(input.button(viewer, number, is_down)),
        Event::MoveTo(x, y) => input.move_to(viewer, x, y),
        Event::MoveBy(x, y) => input.move_by(viewer, x.into(), y.into()),
        Event::Wheel(x, y) => input.wheel(viewer, y, x),
        Event::Ping { .. } => {}
    }
}

/// Reads a text message.
pub fn text_event(text: &str) -> Option<Event> {
    let message: Value = serde_json::from_str(text).ok()?;
    let event = &message["event"];
    // Some clients send their switches as texts.
    let flag = |value: &Value| match value {
        Value::Bool(flag) => Some(*flag),
        Value::String(text) => switch(text).ok(),
        _ => None,
    };
    let pair = |value: &Value| Some((number(&value["x"])?, number(&value["y"])?));
    // One pair, or a list of pairs that are added up.
    let sum = |value: &Value| match value {
        Value::Array(list) => list.iter().map(pair).try_fold((0i32, 0i32), |sum, one| {
            let one = one?;
            Some((sum.0.saturating_add(one.0), sum.1.saturating_add(one.1)))
        }),
        // Some clients know one wheel only.
        Value::Number(_) => Some((0, number(value)?)),
        _ => pair(value),
    };
    match message["event_type"].as_str()? {
        "key" => {
            let key = event["key"].as_str()?.parse().ok()?;
            Some(Event::Key(
                key,
                flag(&event["state"])?,
                flag(&event["finish"]).unwrap_or(false),
            ))
        }
        "mouse_button" => {
            let number = button(event["button"].as_str()?).ok()?;
            Some(Event::Button(number, flag(&event["state"])?))
        }
        "mouse_move" => {
            let (x, y) = pair(&event["to"])?;
            Some(Event::MoveTo(place(x), place(y)))
        }
        "mouse_relative" => {
            let (x, y) = sum(&event["delta"])?;
            Some(Event::MoveBy(steps(x), steps(y)))
        }
        "mouse_wheel" => {
            let (x, y) = sum(&event["delta"])?;
            Some(Event::Wheel(steps(x), steps(y)))
        }
        "ping" => Some(Event::Ping { is_binary: false }),
        _ => None,
    }
}

fn number(value: &Value) -> Option<i32> {
    let number = value.as_i64()?.clamp(i32::MIN.into(), i32::MAX.into());
    i32::try_from(number).ok()
}

/// Reads a binary message: an operation, and what belongs to it.
pub fn binary_event(bytes: &[u8]) -> Option<Event> {
    let (operation, rest) = bytes.split_first()?;
    match operation {
        0 => Some(Event::Ping { is_binary: true }),
        1 => {
            let (flags, name) = rest.split_first()?;
            let key = if flags & 0x80 != 0 {
                Key::from_linux(u16::from_be_bytes(name.try_into().ok()?))?
            } else {
                std::str::from_utf8(name).ok()?.parse().ok()?
            };
            Some(Event::Key(key, flags & 1 != 0, flags & 2 != 0))
        }
        2 => {
            let (flags, name) = rest.split_first()?;
            let number = if flags & 0x80 != 0 {
                // BTN_LEFT and the four after it, by the kernel's numbers.
                match u16::from_be_bytes(name.try_into().ok()?) {
                    0x110 => 0,
                    0x111 => 1,
                    0x112 => 2,
                    0x113 => 3,
                    0x114 => 4,
                    _ => return None,
                }
            } else {
                button(std::str::from_utf8(name).ok()?).ok()?
            };
            Some(Event::Button(number, flags & 1 != 0))
        }
        3 => {
            let [xh, xl, yh, yl] = rest.try_into().ok()?;
            let (x, y) = (i16::from_be_bytes([xh, xl]), i16::from_be_bytes([yh, yl]));
            Some(Event::MoveTo(place(x.into()), place(y.into())))
        }
        4 | 5 => {
            let (_squash, pairs) = rest.split_first()?;
            if pairs.is_empty() || pairs.len() % 2 != 0 {
                return None;
            }
            let signed = |byte: u8| i32::from(byte.cast_signed());
            let (mut x, mut y) = (0, 0);
            for pair in pairs.chunks_exact(2) {
                (x, y) = (x + signed(pair[0]), y + signed(pair[1]));
            }
            let (x, y) = (steps(x), steps(y));
            Some(if *operation == 4 {
                Event::MoveBy(x, y)
            } else {
                Event::Wheel(x, y)
            })
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn text_events_are_those_of_published_clients() {
        let key: Key = "KeyA".parse().unwrap();
        for (text, expected) in [
            (
                r#"{"event_type":"key","event":{"key":"KeyA","state":true}}"#,
                Event::Key(key, true, false),
            ),
            (
                r#"{"event_type":"key","event":{"key":"KeyA","state":true,"finish":true}}"#,
                Event::Key(key, true, true),
            ),
            (
                r#"{"event_type":"mouse_button","event":{"button":"left","state":"true"}}"#,
                Event::Button(0, true),
            ),
            (
                r#"{"event_type":"mouse_move","event":{"to":{"x":0,"y":-32768}}}"#,
                Event::MoveTo(16384, 0),
            ),
            (
                r#"{"event_type":"mouse_wheel","event":{"delta":{"x":0,"y":-5}}}"#,
                Event::Wheel(0, -5),
            ),
            (
                r#"{"event_type":"mouse_wheel","event":{"delta":3}}"#,
                Event::Wheel(0, 3),
            ),
            (
                r#"{"event_type":"mouse_relative","event":{"delta":[{"x":1,"y":2},{"x":3,"y":4}],"squash":true}}"#,
                Event::MoveBy(4, 6),
            ),
            (
                r#"{"event_type":"ping","event":{}}"#,
                Event::Ping { is_binary: false },
            ),
        ] {
            assert_eq!(text_event(text), Some(expected), "{text}");
        }
        for bad in [
            "",
            "[]",
            r#"{"event_type":"key","event":{"key":"None","state":true}}"#,
            r#"{"event_type":"reboot"}"#,
        ] {
            assert_eq!(text_event(bad), None, "{bad}");
        }
    }

    #[test]
    fn binary_events_are_kvmds() {
        let key: Key = "KeyA".parse().unwrap();
        for (bytes, expected) in [
            (&b"\x01\x01KeyA"[..], Event::Key(key, true, false)),
            (b"\x01\x80\x00\x1e", Event::Key(key, false, false)),
            (b"\x02\x01left", Event::Button(0, true)),
            (b"\x02\x81\x01\x11", Event::Button(1, true)),
            (b"\x03\x7f\xff\x80\x00", Event::MoveTo(32767, 0)),
            (b"\x04\x00\x01\xff\x01\xff", Event::MoveBy(2, -2)),
            (b"\x05\x00\x00\xfb", Event::Wheel(0, -5)),
            (b"\x00", Event::Ping { is_binary: true }),
        ] {
            assert_eq!(binary_event(bytes), Some(expected), "{bytes:?}");
        }
        for bad in [
            &b""[..],
            b"\x01",
            b"\x03\x00",
            b"\x04\x00",
            b"\x04\x00\x01",
            b"\x09",
        ] {
            assert_eq!(binary_event(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn any_message_is_read_without_a_panic(text: String, bytes: Vec<u8>, operation in 0u8..6) {
            let with_operation = [&[operation], &bytes[..]].concat();
            for event in [text_event(&text), binary_event(&bytes), binary_event(&with_operation)] {
                let fits = match event {
                    Some(Event::MoveTo(x, y)) => x <= 0x7fff && y <= 0x7fff,
                    Some(Event::MoveBy(x, y) | Event::Wheel(x, y)) => x != i8::MIN && y != i8::MIN,
                    Some(Event::Button(number, _)) => number < 8,
                    _ => true,
                };
                prop_assert!(fits, "{event:?}");
            }
        }
    }
}
