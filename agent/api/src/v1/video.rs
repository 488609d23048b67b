//! The picture: how it stands, single pictures, and the EDID.

use std::sync::Arc;
use std::time::Duration;

use agent_access::Principal;
use agent_access::audit::Action;
use agent_sys::watched::monotonic;
use agent_video::edid::{BadEdid, Edid};
use agent_video::meter::{Meter, Percentiles};
use agent_video::video::{BITRATES, EdidError};
use agent_video::{Picture, VideoState};
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::extract::Body;
use crate::app::App;
use crate::failure::{Code, Failure, chain};
use crate::guard::Peer;
use crate::streams::StreamEntry;

/// How long a single picture may take when nothing ran before.
const PATIENCE: Duration = Duration::from_secs(10);
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
    /// Access units of H.264 made since the start.
    units: u64,
    /// What encoded H.264 last: the node of the device's own encoder, or `OpenH264`.
    encoder: Option<String>,
    /// Quality of encoded JPEG, 1 to 100.
    quality: u8,
    /// Bits a second of H.264.
    bitrate: u32,
    /// Capture to encoded, in microseconds.
    #[schemars(with = "Option<std::collections::BTreeMap<String, u64>>")]
    encoding: Option<Percentiles>,
    /// Capture to handed to the connection, over all viewers, in microseconds.
    #[schemars(with = "Option<std::collections::BTreeMap<String, u64>>")]
    sending: Option<Percentiles>,
    /// The streams that run, one for each viewer.
    streams: Vec<StreamEntry>,
}

/// What changes. What is absent stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Change {
    /// Quality of encoded JPEG, 1 to 100.
    quality: Option<u8>,
    /// Bits a second of H.264, 100000 to 50000000.
    bitrate: Option<u32>,
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
        units: video.units(),
        encoder: video.encoder(),
        quality: video.quality(),
        bitrate: video.bitrate(),
        encoding: percentiles(&app.meters.encoding),
        sending: percentiles(&app.meters.sending),
        streams: app.meters.streams.list(),
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
    if let Some(bitrate) = change.bitrate {
        let (least, most) = BITRATES;
        if !(least..=most).contains(&bitrate) {
            let text = format!("the bitrate is {least} to {most} bits a second");
            return Err(Failure::new(Code::BadRequest, text));
        }
        app.parts.video.set_bitrate(bitrate);
        app.choose(|settings| settings.bitrate = bitrate)?;
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
