//! One page's socket.

use std::sync::Arc;
use std::time::{Duration, Instant};

use agent_access::audit::Action;
use agent_access::{Principal, Role};
use agent_input::Key;
use agent_input::held::Viewer;
use axum::Extension;
use axum::extract::State;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::response::Response;

use crate::app::App;
use crate::failure::{Code, Failure};
use crate::guard::Peer;
use crate::live::message::{FromViewer, LONGEST, ToViewer};

/// Close code for a session that was revoked (4000 to 4999 are for applications, RFC 6455, §7.4.2).
pub const REVOKED: u16 = 4401;
/// A viewer that cannot be told something for so long is gone: its connection would hold memory.
const PATIENCE: Duration = Duration::from_secs(10);

/// Opens the socket.
pub async fn open(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Extension(peer): Extension<Peer>,
    upgrade: WebSocketUpgrade,
) -> Response {
    upgrade
        .max_message_size(LONGEST)
        .max_frame_size(LONGEST)
        .on_upgrade(move |socket| serve(app, principal, peer, socket))
}

async fn serve(app: Arc<App>, principal: Principal, peer: Peer, mut socket: WebSocket) {
    let viewer = app.enter(&principal);
    let seat = Seat {
        app: &app,
        principal: &principal,
        peer,
        viewer,
    };
    tokio::select! {
        () = principal.ended() => {
            let reason = "the session was ended".into();
            let frame = CloseFrame { code: REVOKED, reason };
            // It is over either way.
            let _sent = send(&mut socket, Message::Close(Some(frame))).await;
        }
        () = talk(&seat, &mut socket) => {}
    }
    app.leave(viewer);
}

/// A viewer at work.
struct Seat<'a> {
    app: &'a App,
    principal: &'a Principal,
    peer: Peer,
    viewer: Viewer,
}

async fn talk(seat: &Seat<'_>, socket: &mut WebSocket) {
    let mut live = seat.app.live.subscribe();
    let user = seat.principal.user.to_string();
    let hello = ToViewer::Hello {
        viewer: seat.viewer.0,
        user: &user,
        role: seat.principal.role,
    };
    if send(socket, text(&hello)).await.is_err() {
        return;
    }
    live.mark_changed();
    loop {
        tokio::select! {
            changed = live.changed() => {
                let state = live.borrow_and_update().clone();
                let message = text(&ToViewer::State { state: &state });
                if changed.is_err() || send(socket, message).await.is_err() {
                    return;
                }
            }
            message = socket.recv() => {
                let Some(Ok(message)) = message else {
                    return;
                };
                if let Err(failure) = take(seat, &message) {
                    let answer = text(&ToViewer::Refused { failure: &failure });
                    if send(socket, answer).await.is_err() {
                        return;
                    }
                }
            }
        }
    }
}

fn text(message: &ToViewer<'_>) -> Message {
    let text = serde_json::to_string(message).expect("plain data");
    Message::Text(text.into())
}

async fn send(socket: &mut WebSocket, message: Message) -> Result<(), ()> {
    match tokio::time::timeout(PATIENCE, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        _ => Err(()),
    }
}

fn take(seat: &Seat<'_>, message: &Message) -> Result<(), Failure> {
    let message = match message {
        Message::Text(text) => serde_json::from_str(text.as_str())
            .map_err(|error| Failure::new(Code::BadRequest, error.to_string()))?,
        Message::Binary(_) => return Err(Failure::new(Code::BadRequest, "messages are text")),
        Message::Ping(_) | Message::Pong(_) | Message::Close(_) => return Ok(()),
    };
    if let FromViewer::Shown { stream, captured } = message {
        let streams = &seat.app.meters.streams;
        streams.shown(seat.principal, stream, captured);
        return Ok(());
    }
    if seat.principal.role < Role::Operator {
        let text = format!("{} may look, not touch", seat.principal.user);
        return Err(Failure::new(Code::NotAllowed, text));
    }
    apply(seat, &message)
}

fn apply(seat: &Seat<'_>, message: &FromViewer) -> Result<(), Failure> {
    let Seat {
        app,
        principal,
        viewer,
        ..
    } = seat;
    let (input, viewer) = (&app.parts.input, *viewer);
    let bad = |error: &dyn std::error::Error| Failure::new(Code::BadRequest, error.to_string());
    match message {
        FromViewer::Alive {} => input.renew(viewer),
        FromViewer::LetGo {} => input.release(viewer),
        // Letting go is always right, whoever controls by now.
        FromViewer::Key { code, down: false } => {
            input.key(viewer, code.parse().map_err(|error| bad(&error))?, false);
        }
        FromViewer::Button {
            button,
            down: false,
        } => {
            input
                .button(viewer, of_browser(*button), false)
                .map_err(|error| bad(&error))?;
        }
        FromViewer::Key { code, down: true } => {
            let key: Key = code.parse().map_err(|error| bad(&error))?;
            app.act(viewer, principal)?;
            input.key(viewer, key, true);
        }
        FromViewer::Button { button, down: true } => {
            app.act(viewer, principal)?;
            input
                .button(viewer, of_browser(*button), true)
                .map_err(|error| bad(&error))?;
        }
        FromViewer::MoveTo { x, y } => {
            app.act(viewer, principal)?;
            input.move_to(viewer, *x, *y);
        }
        FromViewer::MoveBy { x, y } => {
            app.act(viewer, principal)?;
            input.move_by(viewer, *x, *y);
        }
        FromViewer::Wheel { steps, pan } => {
            app.act(viewer, principal)?;
            input.wheel(viewer, *steps, *pan);
        }
        // Taken before the role was looked at.
        FromViewer::Shown { .. } => {}
        FromViewer::RequestControl {}
        | FromViewer::HandOver { .. }
        | FromViewer::Refuse { .. }
        | FromViewer::SeizeControl {} => return change_control(seat, message),
    }
    Ok(())
}

fn change_control(seat: &Seat<'_>, message: &FromViewer) -> Result<(), Failure> {
    let Seat {
        app,
        principal,
        viewer,
        ..
    } = seat;
    let (name, now, viewer) = (principal.user.to_string(), Instant::now(), *viewer);
    match message {
        FromViewer::RequestControl {} => {
            app.with_control(|control| control.request(viewer, &name, now));
        }
        FromViewer::HandOver { viewer: to } => {
            if !app.with_control(|control| control.hand_over(viewer, Viewer(*to), now)) {
                return Err(Failure::new(
                    Code::Conflict,
                    "that viewer did not ask you for control",
                ));
            }
        }
        FromViewer::Refuse { viewer: other } => {
            app.with_control(|control| control.refuse(viewer, Viewer(*other)));
        }
        _ if principal.role < Role::Admin => {
            let text = "only an administrator takes control without asking";
            return Err(Failure::new(Code::NotAllowed, text));
        }
        _ => {
            app.with_control(|control| control.seize(viewer, &name, now));
            app.audit(Some(principal), Some(seat.peer), Action::TookControl, None);
        }
    }
    Ok(())
}

/// Returns the number of a button in a report for that of a browser: left, middle, right there (UI Events,
/// `MouseEvent.button`), left, right, middle here.
fn of_browser(button: u8) -> u8 {
    match button {
        1 => 2,
        2 => 1,
        other => other,
    }
}
