//! `/api/media`: H.264 for clients that decode it themselves.

use std::sync::Arc;

use agent_access::Principal;
use agent_video::units::UnitWatcher;
use axum::Extension;
use axum::extract::ws::{Message, WebSocket, WebSocketUpgrade};
use axum::extract::{Query, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use crate::app::App;
use crate::pikvm::envelope::Done;
use crate::streams::Transport;
use crate::v1::streams::send;

/// Before each access unit, with a byte that says whether it is a key frame.
const VIDEO: u8 = 1;
/// Longest message that is read, in bytes.
const LONGEST: usize = 4096;

/// Parameters of the socket.
#[derive(Debug, Deserialize)]
pub struct Parameters {
    /// `h264`: access units come at once, and nothing but them.
    video: Option<String>,
}

/// `GET /api/media`.
pub async fn read(State(_): State<Arc<App>>) -> Done {
    Done(media())
}

fn media() -> serde_json::Value {
    json!({ "video": { "h264": { "profile_level_id": "42E01F" } } })
}

/// `GET /api/media/ws`.
pub async fn open(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Query(given): Query<Parameters>,
    upgrade: WebSocketUpgrade,
) -> Response {
    let is_pure = given.video.as_deref() == Some("h264");
    upgrade
        .max_message_size(LONGEST)
        .max_frame_size(LONGEST)
        .on_upgrade(async move |mut socket| {
            tokio::select! {
                () = principal.ended() => {}
                () = serve(&app, &principal, is_pure, &mut socket) => {}
            }
        })
}

async fn serve(app: &App, principal: &Principal, is_pure: bool, socket: &mut WebSocket) {
    let begin = || {
        let stream = app.meters.streams.begin(principal, Transport::Websocket);
        (app.parts.video.watch_units(), stream)
    };
    let mut running = is_pure.then(begin);
    if !is_pure {
        let hello = json!({ "event_type": "media", "event": media() });
        if !send(socket, Message::Text(hello.to_string().into())).await {
            return;
        }
    }
    loop {
        let unit = tokio::select! {
            unit = next(running.as_mut().map(|running| &mut running.0)) => unit,
            message = socket.recv() => {
                match message {
                    Some(Ok(Message::Text(text))) if wants_video(text.as_str()) => {
                        running.get_or_insert_with(begin);
                    }
                    Some(Ok(Message::Binary(bytes))) if bytes[..] == [0] => {
                        if !send(socket, Message::Binary(vec![255].into())).await {
                            return;
                        }
                    }
                    Some(Ok(_)) => {}
                    Some(Err(_)) | None => return,
                }
                continue;
            }
        };
        let (Some(unit), Some((_, stream))) = (unit, &running) else {
            return;
        };
        let message = if is_pure {
            unit.bytes.clone()
        } else {
            [&[VIDEO, u8::from(unit.is_key)], &unit.bytes[..]]
                .concat()
                .into()
        };
        if !send(socket, Message::Binary(message)).await {
            return;
        }
        stream.sent(unit.captured);
    }
}

/// Waits for a unit; for ever before the client asked for any.
async fn next(units: Option<&mut UnitWatcher>) -> Option<Arc<agent_video::Unit>> {
    match units {
        Some(units) => units.next().await,
        None => std::future::pending().await,
    }
}

/// Whether a message asks for the stream: `{"event_type":"start","event":{"type":"video","format":"h264"}}`.
fn wants_video(text: &str) -> bool {
    let message: serde_json::Value = serde_json::from_str(text).unwrap_or_default();
    let event = &message["event"];
    message["event_type"] == "start" && event["type"] == "video" && event["format"] == "h264"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_h264_is_started() {
        let start = r#"{"event_type":"start","event":{"type":"video","format":"h264"}}"#;
        assert!(wants_video(start));
        assert!(!wants_video(&start.replace("h264", "jpeg")));
        assert!(!wants_video("{"));
    }
}
