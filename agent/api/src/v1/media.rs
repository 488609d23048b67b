//! Images and the virtual drive.

use std::sync::Arc;
use std::time::Duration;

use agent_access::Principal;
use agent_access::audit::Action;
use agent_helper::protocol::BadImageName;
use agent_helper::{Drive, ImageName, Medium, Request, Writable};
use agent_media::range::{BadPart, Part};
use agent_media::{Entry, MediaError};
use axum::body::Body as Content;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, header};
use axum::{Extension, Json};
use futures_util::StreamExt as _;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::extract::{Asked, Body};
use super::fetch::FetchEntry;
use crate::app::{App, lock};
use crate::failure::{Code, Failure, chain};
use crate::guard::Peer;
use crate::live::state::DriveState;

/// Most bytes of a refused upload that are taken: twice a part as the page sends it.
const DRAIN: usize = 16 * 1024 * 1024;
/// The longest that this takes.
const DRAIN_WITHIN: Duration = Duration::from_secs(10);

/// Images and drive.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Media {
    /// What is stored, whole or on its way.
    images: Vec<Image>,
    /// Bytes that are free for images.
    free: u64,
    /// What is in the drive.
    #[schemars(with = "Option<std::collections::BTreeMap<String, serde_json::Value>>")]
    drive: Option<DriveState>,
    /// Images that are being fetched, and those that could not be.
    fetches: Vec<FetchEntry>,
}

/// An image.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Image {
    /// Its name.
    name: String,
    /// Bytes of the whole.
    size: u64,
    /// Bytes that are here: less than `size` while it is on its way.
    received: u64,
    /// SHA-256 in hexadecimal, once it is whole.
    sha256: Option<String>,
}

/// What an upload promises.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Promise {
    sha256: Option<String>,
}

/// What to put into the drive.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Insert {
    /// Name of the image.
    image: String,
    /// `cd` or `disk`.
    #[schemars(with = "String")]
    drive: Drive,
    /// `read-only`, unless `read-write` is said.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    writable: Writable,
}

impl Image {
    /// Returns one of which nothing is here yet.
    pub(crate) fn on_its_way(name: &ImageName, size: u64) -> Self {
        Self {
            name: name.to_string(),
            size,
            received: 0,
            sha256: None,
        }
    }
}

impl From<Entry> for Image {
    fn from(entry: Entry) -> Self {
        Self {
            name: entry.name.to_string(),
            size: entry.size,
            received: entry.received,
            sha256: entry.sha256,
        }
    }
}

impl From<BadImageName> for Failure {
    fn from(error: BadImageName) -> Self {
        Self::new(Code::BadRequest, error.to_string())
    }
}

impl From<BadPart> for Failure {
    fn from(error: BadPart) -> Self {
        Self::new(Code::BadRequest, error.to_string())
    }
}

impl From<MediaError> for Failure {
    fn from(error: MediaError) -> Self {
        let code = match &error {
            MediaError::Io { .. } => Code::Failed,
            MediaError::Missing { .. } => Code::NotFound,
            MediaError::Cut { .. } => Code::BadRequest,
            MediaError::Full { .. } => Code::Full,
            MediaError::Exists { .. }
            | MediaError::Gap { .. }
            | MediaError::Mismatch { .. }
            | MediaError::InUse { .. } => Code::Conflict,
        };
        Self::new(code, chain(&error))
    }
}

fn failed(error: &std::io::Error) -> Failure {
    Failure::new(Code::Failed, error.to_string())
}

/// Lists images.
pub async fn list(State(app): State<Arc<App>>) -> Result<Json<Media>, Failure> {
    let store = &app.parts.media;
    let images = store.list().map_err(|error| failed(&error))?;
    Ok(Json(Media {
        images: images.into_iter().map(Image::from).collect(),
        free: store.free().map_err(|error| failed(&error))?,
        drive: app.live.borrow().drive.clone(),
        fetches: lock(&app.fetches)
            .iter()
            .map(|one| one.entry.clone())
            .collect(),
    }))
}

/// Takes a part of an image, or all of it.
pub async fn upload(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(principal): Extension<Principal>,
    Path(name): Path<String>,
    Asked(promise): Asked<Promise>,
    headers: HeaderMap,
    content: Content,
) -> Result<Json<Image>, Failure> {
    let image: ImageName = name.parse()?;
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok());
    let length = text(header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
    let part = match (text(header::CONTENT_RANGE), length) {
        (Some(range), _) => range.parse()?,
        (None, Some(size @ 1..)) => Part {
            first: 0,
            length: size,
            size,
        },
        _ => {
            let text = "an upload has a Content-Length, or a Content-Range";
            return Err(Failure::new(Code::BadRequest, text));
        }
    };
    let expected = promise.sha256.as_deref();
    let upload = receive(&app, &image, part, expected, content);
    let entry = tokio::select! {
        entry = upload => entry?,
        () = principal.ended() => {
            return Err(Failure::new(Code::SignInFirst, "the session was ended"));
        }
    };
    if entry.sha256.is_some() {
        app.audit(Some(&principal), Some(peer), Action::ImageAdded, Some(name));
    }
    Ok(Json(entry.into()))
}

/// Takes a part. A refusal is only read by clients whose body was taken, so what is left is taken too,
/// within bounds.
pub async fn receive(
    app: &App,
    image: &ImageName,
    part: Part,
    expected: Option<&str>,
    content: Content,
) -> Result<Entry, MediaError> {
    let mut content = content.into_data_stream();
    let received = app
        .parts
        .media
        .receive(image, part, expected, &mut content)
        .await;
    if received.is_err() {
        let rest = async {
            let mut left = DRAIN;
            while let Some(Ok(chunk)) = content.next().await {
                let Some(rest) = left.checked_sub(chunk.len()) else {
                    return;
                };
                left = rest;
            }
        };
        // One that sends no more has read the answer, or never will.
        drop(tokio::time::timeout(DRAIN_WITHIN, rest).await);
    }
    received
}

/// Deletes an image.
pub async fn remove(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(principal): Extension<Principal>,
    Path(name): Path<String>,
) -> Result<Json<()>, Failure> {
    remove_image(&app, &name.parse()?)?;
    app.audit(
        Some(&principal),
        Some(peer),
        Action::ImageRemoved,
        Some(name),
    );
    Ok(Json(()))
}

/// Deletes an image that is not in the drive.
pub fn remove_image(app: &App, image: &ImageName) -> Result<(), Failure> {
    let inserted = app
        .live
        .borrow()
        .drive
        .as_ref()
        .map(|drive| drive.image.clone());
    if inserted.as_deref() == Some(image.as_str()) {
        let text = format!("{image} is in the drive: eject it first");
        return Err(Failure::new(Code::Conflict, text));
    }
    Ok(app.parts.media.remove(image)?)
}

/// Puts an image into the drive.
pub async fn insert(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(principal): Extension<Principal>,
    Body(insert): Body<Insert>,
) -> Result<Json<()>, Failure> {
    let image: ImageName = insert.image.parse()?;
    if !app.parts.media.has(&image) {
        return Err(MediaError::Missing { name: image }.into());
    }
    let medium = Medium {
        image,
        drive: insert.drive,
        writable: insert.writable,
    };
    app.parts.helper.ask(&Request::Insert { medium }).await?;
    app.look_at_drive();
    app.audit(
        Some(&principal),
        Some(peer),
        Action::Inserted,
        Some(insert.image),
    );
    Ok(Json(()))
}

/// Takes the image out, whether the host likes it or not.
pub async fn eject(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(principal): Extension<Principal>,
) -> Result<Json<()>, Failure> {
    app.parts.helper.ask(&Request::Eject {}).await?;
    app.look_at_drive();
    app.audit(Some(&principal), Some(peer), Action::Ejected, None);
    Ok(Json(()))
}
