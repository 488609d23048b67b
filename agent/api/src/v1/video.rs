//! The picture: how it stands, single pictures, streams, and the EDID.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use agent_access::Principal;
use agent_access::audit::Action;
use agent_https::HangUp;
use agent_sys::watched::monotonic;
use agent_video::edid::{BadEdid, Edid};
use agent_video::hub::Watcher;
use agent_video::meter::{Meter, Percentiles};
use agent_video::video::EdidError;
use agent_video::{Picture, VideoState};
use axum::body::{Body as Bytes, Bytes as Chunk};
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use futures_util::stream;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::extract::Body;
use crate::app::App;
use crate::failure::{Code, Failure, chain};
use crate::guard::Peer;

/// How long a single picture may take when nothing ran before.
const PATIENCE: Duration = Duration::from_secs(10);
/// Between the parts of a stream (RFC 2046, §5.1.1).
const BOUNDARY: &str = "bakelite-picture";

/// How it stands with the picture.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Video {
    /// `idle`, `starting`, `no-device`, `no-cable`, `no-lock`, `unsupported`, `stalled` or `live`, with
    /// what belongs to it.
    #[schemars(with = "std::collections::BTreeMap<String, serde_json::Value>")]
    state: VideoState,
    /// The same for people.
    sentence: String,
    /// The capture device.
    #[schemars(with = "Option<std::collections::BTreeMap<String, String>>")]
    source: Option<agent_video::video::SourceEntry>,
    /// How many watch.
    viewers: usize,
    /// Pictures made since the start.
    pictures: u64,
    /// Quality of encoded JPEG, 1 to 100.
    quality: u8,
    /// Capture to encoded, in microseconds.
    #[schemars(with = "Option<std::collections::BTreeMap<String, u64>>")]
    encoding: Option<Percentiles>,
    /// Capture to handed to the connection, over all viewers, in microseconds.
    #[schemars(with = "Option<std::collections::BTreeMap<String, u64>>")]
    sending: Option<Percentiles>,
}

/// What changes. What is absent stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Change {
    /// Quality of encoded JPEG, 1 to 100.
    quality: Option<u8>,
}

/// What the device tells the host of its screen.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct EdidEntry {
    /// The bytes in hexadecimal.
    hexadecimal: String,
    /// Three letters of the maker.
    maker: String,
    /// Name of the screen.
    name: Option<String>,
    /// The preferred mode, such as `1920x1080 at 60.00 Hz`.
    preferred: String,
    /// Presets that can be set.
    presets: Vec<&'static str>,
}

/// A new EDID: one of both.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NewEdid {
    /// Name of a preset.
    preset: Option<String>,
    /// The bytes in hexadecimal.
    hexadecimal: Option<String>,
}

impl From<BadEdid> for Failure {
    fn from(error: BadEdid) -> Self {
        Self::new(Code::BadRequest, error.to_string())
    }
}

impl From<EdidError> for Failure {
    fn from(error: EdidError) -> Self {
        let code = match &error {
            EdidError::NoEdid(_) => Code::Conflict,
            EdidError::Bad(_) => Code::Failed,
        };
        Self::new(code, chain(&error))
    }
}

/// Answers how it stands.
pub async fn read(State(app): State<Arc<App>>) -> Json<Video> {
    let video = &app.parts.video;
    let state = video.state().borrow().clone();
    let percentiles = |meter: &std::sync::Mutex<Meter>| crate::app::lock(meter).percentiles();
    Json(Video {
        sentence: state.sentence(),
        state,
        source: video.source(),
        viewers: video.viewers(),
        pictures: video.published(),
        quality: video.quality(),
        encoding: percentiles(&app.meters.encoding),
        sending: percentiles(&app.meters.sending),
    })
}

/// Changes how pictures are made.
pub async fn change(
    State(app): State<Arc<App>>,
    Body(change): Body<Change>,
) -> Result<Json<()>, Failure> {
    if let Some(quality) = change.quality {
        if !(1..=100).contains(&quality) {
            return Err(Failure::new(Code::BadRequest, "quality is 1 to 100"));
        }
        app.parts.video.set_quality(quality);
        app.choose(|settings| settings.quality = quality)?;
    }
    Ok(Json(()))
}

/// Answers one picture.
pub async fn snapshot(State(app): State<Arc<App>>) -> Result<Response, Failure> {
    let picture = take(&app).await?;
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static("image/jpeg"))];
    Ok((headers, picture.jpeg.clone()).into_response())
}

/// Takes a picture that is new.
pub async fn take(app: &App) -> Result<Arc<Picture>, Failure> {
    let mut watcher = app.parts.video.watch();
    let since = monotonic();
    let picture = async {
        // One that was captured before the request may be on its way. Not every driver's clock is this
        // one, so the third is taken in any case.
        for _ in 0..2 {
            let picture = watcher.next().await?;
            if picture.captured >= since {
                return Some(picture);
            }
        }
        watcher.next().await
    };
    let mut state = app.parts.video.state();
    // There is no picture to wait for when the device says so.
    let no_picture = state.wait_for(|state| {
        !matches!(
            state,
            VideoState::Idle | VideoState::Starting | VideoState::Live { .. }
        )
    });
    let taken = tokio::select! {
        picture = tokio::time::timeout(PATIENCE, picture) => picture.ok().flatten(),
        _ = no_picture => None,
    };
    let state = app.parts.video.state().borrow().clone();
    taken.ok_or_else(|| Failure::new(Code::Conflict, state.sentence()))
}

/// Streams pictures as browsers show them in an image: one JPEG after the other.
pub async fn stream(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
    Extension(hang_up): Extension<HangUp>,
) -> Response {
    let body = Bytes::from_stream(parts(Arc::clone(&app), app.parts.video.watch()));
    tokio::spawn(end_with(principal, hang_up));
    let content_type = format!("multipart/x-mixed-replace;boundary={BOUNDARY}");
    ([(header::CONTENT_TYPE, content_type)], body).into_response()
}

/// Ends a connection when its session ends, even if the peer reads nothing.
async fn end_with(principal: Principal, hang_up: HangUp) {
    tokio::select! {
        () = principal.ended() => hang_up.now(),
        // The last of the connection's own handles goes when it ends by itself.
        () = hang_up.ended() => {}
    }
}

fn parts(
    app: Arc<App>,
    watcher: Watcher,
) -> impl stream::Stream<Item = Result<Chunk, Infallible>> + Send {
    let waiting: VecDeque<Chunk> = VecDeque::new();
    stream::unfold(
        (app, watcher, waiting),
        async |(app, mut watcher, mut waiting)| {
            if waiting.is_empty() {
                let picture = watcher.next().await?;
                app.meters.sent(&picture);
                let head = format!(
                    "--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {}\r\nX-Timestamp: {}.{:06}\r\n\r\n",
                    picture.jpeg.len(),
                    picture.captured.as_secs(),
                    picture.captured.subsec_micros(),
                );
                waiting.extend([
                    Chunk::from(head),
                    picture.jpeg.clone(),
                    Chunk::from_static(b"\r\n"),
                ]);
            }
            let chunk = waiting.pop_front()?;
            Some((Ok(chunk), (app, watcher, waiting)))
        },
    )
}

/// Answers the EDID.
pub async fn edid(State(app): State<Arc<App>>) -> Result<Json<EdidEntry>, Failure> {
    let edid = app.parts.video.edid()?;
    let facts = edid.facts();
    let digits = edid.bytes().iter().map(|byte| format!("{byte:02x}"));
    Ok(Json(EdidEntry {
        hexadecimal: digits.collect::<Vec<_>>().concat(),
        maker: facts.maker,
        name: facts.name,
        preferred: format!("{}x{} at {:.2} Hz", facts.width, facts.height, facts.rate),
        presets: Edid::presets().collect(),
    }))
}

/// Sets the EDID.
pub async fn set_edid(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(principal): Extension<Principal>,
    Body(new): Body<NewEdid>,
) -> Result<Json<()>, Failure> {
    let edid = match (&new.preset, &new.hexadecimal) {
        (Some(name), None) => Edid::preset(name)?,
        (None, Some(text)) => Edid::from_hexadecimal(text)?,
        _ => {
            let text = "name a preset, or give the bytes";
            return Err(Failure::new(Code::BadRequest, text));
        }
    };
    let setting = Arc::clone(&app);
    let set = tokio::task::spawn_blocking(move || setting.parts.video.set_edid(&edid)).await;
    set.map_err(|error| Failure::new(Code::Failed, error.to_string()))??;
    let subject = Some("EDID".to_owned());
    app.audit(Some(&principal), Some(peer), Action::Setting, subject);
    Ok(Json(()))
}
