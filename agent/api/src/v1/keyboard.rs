//! Typing without a page: pastes, shortcuts, and waking the host.

use std::sync::Arc;
use std::time::Duration;

use agent_access::Principal;
use agent_access::audit::Action;
use agent_input::Key;
use agent_input::held::Viewer;
use agent_input::key::UnknownKey;
use agent_input::layout::{CannotType, Layout, Plan, Stroke, UnknownLayout};
use agent_input::paste::{Ended, Paste};
use axum::extract::{Path, State};
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use super::extract::Body;
use crate::app::{App, lock};
use crate::failure::{Code, Failure};
use crate::guard::Peer;
use crate::live::state::PasteState;

/// Longest text of a paste, in bytes: half an hour of typing for most hosts.
const LONGEST: usize = 64 * 1024;
/// Longest pause between strokes in milliseconds.
const SLOWEST: u64 = 1000;
/// Most keys of a shortcut.
const KEYS: usize = 8;

/// A layout.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LayoutEntry {
    /// For requests.
    name: &'static str,
    /// For people.
    title: &'static str,
}

/// What each key writes.
#[derive(Debug, Serialize, JsonSchema)]
pub struct LayoutKeys {
    /// Key by name: alone, with Shift, with AltGr, with both. Empty is nothing, a dead key its accent.
    keys: std::collections::BTreeMap<&'static str, Vec<String>>,
}

/// A text to type.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NewPaste {
    /// The text, at most 64 KiB.
    text: String,
    /// The layout that the host is set to.
    layout: String,
    /// Milliseconds of pause after each stroke, 0 to 1000.
    #[serde(default)]
    pause: u64,
    /// Whether only to say what would be typed.
    #[serde(default)]
    dry_run: bool,
}

/// What is typed.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct PasteAnswer {
    /// Number of key strokes.
    strokes: usize,
    /// What the layout cannot write.
    cannot: Vec<Cannot>,
    /// Whether typing has begun. It does not if something cannot be typed.
    started: bool,
}

/// A character that cannot be typed.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Cannot {
    /// The character.
    character: char,
    /// Line of its first occurrence, from 1.
    line: usize,
    /// Column of its first occurrence, from 1.
    column: usize,
    /// How often it occurs.
    count: usize,
}

/// Keys to press together.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Shortcut {
    /// Their names as `KeyboardEvent.code`, in the order of pressing, such as `ControlLeft`, `AltLeft`,
    /// `Delete`.
    keys: Vec<String>,
}

impl From<CannotType> for Cannot {
    fn from(cannot: CannotType) -> Self {
        Self {
            character: cannot.character,
            line: cannot.line,
            column: cannot.column,
            count: cannot.count,
        }
    }
}

impl From<UnknownLayout> for Failure {
    fn from(error: UnknownLayout) -> Self {
        let text = format!("{error}: GET /api/v1/keyboard/layouts lists them");
        Self::new(Code::BadRequest, text)
    }
}

impl From<UnknownKey> for Failure {
    fn from(error: UnknownKey) -> Self {
        Self::new(Code::BadRequest, error.to_string())
    }
}

/// Lists the layouts.
pub async fn layouts() -> Json<Vec<LayoutEntry>> {
    let entry = |(name, title)| LayoutEntry { name, title };
    Json(Layout::list().map(entry).collect())
}

/// Answers what each key of a layout writes.
pub async fn layout(Path(name): Path<String>) -> Result<Json<LayoutKeys>, Failure> {
    let keys = Layout::named(&name)?.keys();
    Ok(Json(LayoutKeys { keys }))
}

/// Types a text, or says what typing it would be.
pub async fn paste(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(principal): Extension<Principal>,
    Body(new): Body<NewPaste>,
) -> Result<Json<PasteAnswer>, Failure> {
    if new.text.len() > LONGEST || new.pause > SLOWEST {
        let text =
            format!("a paste has at most {LONGEST} bytes and pauses of at most {SLOWEST} ms");
        return Err(Failure::new(Code::BadRequest, text));
    }
    let plan = Plan::new(&new.text, &Layout::named(&new.layout)?);
    let is_caps = app
        .parts
        .input
        .leds()
        .borrow()
        .is_some_and(|leds| leds.caps);
    let has_strokes = !plan.strokes.is_empty();
    let plan = plan.without_caps_lock(is_caps && has_strokes);
    let answer = PasteAnswer {
        strokes: plan.strokes.len(),
        started: !new.dry_run && plan.cannot.is_empty(),
        cannot: plan.cannot.into_iter().map(Cannot::from).collect(),
    };
    if answer.started {
        let plan = Plan {
            strokes: plan.strokes,
            cannot: Vec::new(),
        };
        let (characters, pause) = (new.text.chars().count(), Duration::from_millis(new.pause));
        type_for(&app, &principal, peer, plan, characters, pause)?;
    }
    Ok(Json(answer))
}

/// Types a plan for somebody who controls, or gets control.
pub fn type_for(
    app: &Arc<App>,
    principal: &Principal,
    peer: Peer,
    plan: Plan,
    characters: usize,
    pause: Duration,
) -> Result<(), Failure> {
    app.act(app.seat_of(principal), principal)?;
    start(app, principal, plan.strokes, pause)?;
    let subject = Some(characters.to_string());
    app.audit(Some(principal), Some(peer), Action::Pasted, subject);
    Ok(())
}

fn start(
    app: &Arc<App>,
    principal: &Principal,
    strokes: Vec<Stroke>,
    pause: Duration,
) -> Result<(), Failure> {
    let (cancel, cancelled) = watch::channel(false);
    {
        let mut running = lock(&app.paste);
        if running.as_ref().is_some_and(|paste| !paste.is_closed()) {
            let text = "another paste is being typed: cancel it or wait";
            return Err(Failure::new(Code::Conflict, text));
        }
        *running = Some(cancel);
    }
    let (app, principal) = (Arc::clone(app), principal.clone());
    tokio::spawn(async move {
        let typed = watch::Sender::new(0);
        let mut progress = typed.subscribe();
        let viewer = app.new_viewer();
        let state = |typed, ended| PasteState {
            user: principal.user.to_string(),
            typed,
            of: strokes.len(),
            ended,
        };
        let paste = Paste {
            cancel: cancelled,
            typed,
            pause,
        };
        let show = async {
            while progress.changed().await.is_ok() {
                app.set_paste(Some(state(*progress.borrow_and_update(), None)));
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            std::future::pending::<()>().await;
        };
        app.set_paste(Some(state(0, None)));
        let ended = tokio::select! {
            ended = paste.run(&app.parts.input, viewer, &strokes) => ended,
            // Whoever may no longer type does not type on.
            () = principal.ended() => Ended::Cancelled,
            () = show => unreachable!("it waits"),
        };
        app.parts.input.leave(viewer);
        let (typed, ended) = match ended {
            Ended::Done => (strokes.len(), "done"),
            Ended::Cancelled => (*progress.borrow(), "cancelled"),
            Ended::HostGone => (*progress.borrow(), "host-gone"),
        };
        app.set_paste(Some(state(typed, Some(ended))));
    });
    Ok(())
}

/// Cancels the paste that is running.
pub async fn cancel_paste(State(app): State<Arc<App>>) -> Result<Json<()>, Failure> {
    match lock(&app.paste).as_ref().filter(|paste| !paste.is_closed()) {
        Some(cancel) => {
            cancel.send_replace(true);
            Ok(Json(()))
        }
        None => Err(Failure::not_found("paste in progress")),
    }
}

/// Presses keys together and releases them.
pub async fn shortcut(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Body(shortcut): Body<Shortcut>,
) -> Result<Json<()>, Failure> {
    let keys: Vec<Key> = shortcut
        .keys
        .iter()
        .map(|key| key.parse())
        .collect::<Result<_, _>>()?;
    if keys.is_empty() || keys.len() > KEYS {
        let text = format!("a shortcut has 1 to {KEYS} keys");
        return Err(Failure::new(Code::BadRequest, text));
    }
    app.act(app.seat_of(&principal), &principal)?;
    press_together(&app, &keys);
    Ok(Json(()))
}

/// Wakes a sleeping host by a key that changes nothing.
pub async fn wake(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
) -> Result<Json<()>, Failure> {
    app.act(app.seat_of(&principal), &principal)?;
    press_together(&app, &[Key::SHIFT_LEFT]);
    Ok(Json(()))
}

/// Presses keys and releases them all.
pub fn press_together(app: &App, keys: &[Key]) {
    let viewer: Viewer = app.new_viewer();
    for key in keys {
        app.parts.input.key(viewer, *key, true);
    }
    app.parts.input.leave(viewer);
}
