//! `/api/msd`: images and the drive. A client chooses an image first and connects the drive then.

use std::convert::Infallible;
use std::io::Read as _;
use std::sync::Arc;
use std::time::Duration;

use agent_access::Principal;
use agent_access::audit::Action;
use agent_helper::{Drive, ImageName, Medium, Request, Writable};
use agent_media::MediaError;
use agent_media::range::Part;
use axum::Extension;
use axum::body::{Body, Bytes as Chunk};
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::{StreamExt as _, stream};
use serde::Deserialize;
use serde_json::json;

use crate::app::{App, lock};
use crate::failure::Failure;
use crate::guard::Peer;
use crate::pikvm::envelope::{Done, Refused};
use crate::pikvm::hid::switch;
use crate::pikvm::state::{self, Chosen};
use crate::v1::fetch;

/// How often a client is told how far an image is.
const PROGRESS: Duration = Duration::from_secs(1);
/// Bytes that are read of an image at a time.
const PIECE: usize = 256 * 1024;

/// Parameters of a request.
#[derive(Debug, Default, Deserialize)]
pub struct Parameters {
    image: Option<String>,
    cdrom: Option<String>,
    rw: Option<String>,
    connected: Option<String>,
    url: Option<String>,
}

fn image(given: &Parameters) -> Result<ImageName, Refused> {
    let name = given.image.as_deref();
    let name = name.ok_or_else(|| Refused::parameter("the parameter image is missing"))?;
    Ok(name.parse().map_err(Failure::from)?)
}

/// `GET /api/msd`.
pub async fn read(State(app): State<Arc<App>>) -> Done {
    Done(state::msd(&app))
}

/// `POST /api/msd/write`.
pub async fn write(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(principal): Extension<Principal>,
    Query(given): Query<Parameters>,
    headers: HeaderMap,
    content: Body,
) -> Result<Done, Refused> {
    let name = image(&given)?;
    let length = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|value| value.to_str().ok());
    let size: u64 = length
        .and_then(|length| length.parse().ok())
        .filter(|size| *size > 0)
        .ok_or_else(|| Refused::parameter("an image comes with a Content-Length"))?;
    let part = Part {
        first: 0,
        length: size,
        size,
    };
    let entry = crate::v1::media::receive(&app, &name, part, None, content).await;
    let entry = entry.map_err(Failure::from)?;
    app.audit(
        Some(&principal),
        Some(peer),
        Action::ImageAdded,
        Some(name.to_string()),
    );
    Ok(Done(
        json!({ "image": { "name": name.as_str(), "size": entry.size, "written": entry.received } }),
    ))
}

/// `POST /api/msd/write_remote`: a line of progress a second, until the image is here.
pub async fn write_remote(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(principal): Extension<Principal>,
    Query(given): Query<Parameters>,
) -> Result<Response, Refused> {
    let url = given.url.as_deref();
    let url = url.ok_or_else(|| Refused::parameter("the parameter url is missing"))?;
    let fetcher = agent_fetch::Fetcher::of_system().map_err(Failure::from)?;
    let fetched = fetcher.get(url).await.map_err(Failure::from)?;
    let name = match (&given.image, &fetched.name) {
        (None, Some(name)) => name.parse().map_err(Failure::from)?,
        _ => image(&given)?,
    };
    let size = fetched.size;
    fetch::start(&app, &principal, peer, &name, fetched, None)?;
    let lines = stream::unfold(Some((app, name, size)), async |state| {
        let (app, name, size) = state?;
        tokio::time::sleep(PROGRESS).await;
        let (running, problem) = fetch::progress(&app, &name);
        let entry = app.parts.media.list().unwrap_or_default();
        let entry = entry.into_iter().find(|entry| entry.name == name);
        let written = entry.map_or(0, |entry| entry.received);
        let line = match problem {
            Some(problem) => {
                json!({ "ok": false, "result": { "error": "MsdError", "error_msg": problem } })
            }
            None => {
                json!({ "ok": true, "result": { "image": { "name": name.as_str(), "size": size, "written": written } } })
            }
        };
        let next = running.then_some((app, name, size));
        Some((Ok::<_, Infallible>(format!("{line}\n")), next))
    });
    let kind = [(header::CONTENT_TYPE, "application/x-ndjson")];
    Ok((kind, Body::from_stream(lines)).into_response())
}

/// `GET /api/msd/read`: an image as it is; what is asked of compression is left alone.
pub async fn download(
    State(app): State<Arc<App>>,
    Query(given): Query<Parameters>,
) -> Result<Response, Refused> {
    let name = image(&given)?;
    let (file, size) = app.parts.media.open_image(&name).map_err(Failure::from)?;
    let pieces = stream::unfold(file, async |mut file| {
        let read = tokio::task::spawn_blocking(move || {
            let mut piece = vec![0; PIECE];
            let read = file.read(&mut piece);
            read.map(|length| {
                piece.truncate(length);
                (piece, file)
            })
        });
        match read.await {
            Ok(Ok((piece, _))) if piece.is_empty() => None,
            Ok(Ok((piece, file))) => Some((Ok(piece), file)),
            // The connection ends without the whole, and the client sees that.
            _ => None,
        }
    });
    let pieces = pieces.map(|piece: Result<_, Infallible>| piece.map(Chunk::from));
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_LENGTH, size.to_string()),
    ];
    Ok((headers, Body::from_stream(pieces)).into_response())
}

/// `POST /api/msd/set_params`.
pub async fn choose(
    State(app): State<Arc<App>>,
    Query(given): Query<Parameters>,
) -> Result<Done, Refused> {
    let is_cd = given.cdrom.as_deref().map(switch).transpose()?;
    let is_writable = given.rw.as_deref().map(switch).transpose()?;
    if given.image.as_deref() == Some("") {
        *lock(&app.chosen) = None;
        return Ok(Done::empty());
    }
    let before = lock(&app.chosen).clone();
    let name = match (&given.image, &before) {
        (None, Some(before)) => before.image.parse().map_err(Failure::from)?,
        _ => image(&given)?,
    };
    if !app.parts.media.has(&name) {
        return Err(Failure::from(MediaError::Missing { name }).into());
    }
    let before_is_cd = before
        .as_ref()
        .is_none_or(|before| before.drive == Drive::Cd);
    let was_writable = before.is_some_and(|before| before.writable == Writable::ReadWrite);
    *lock(&app.chosen) = Some(Chosen {
        image: name.to_string(),
        drive: if is_cd.unwrap_or(before_is_cd) {
            Drive::Cd
        } else {
            Drive::Disk
        },
        writable: if is_writable.unwrap_or(was_writable) {
            Writable::ReadWrite
        } else {
            Writable::ReadOnly
        },
    });
    Ok(Done::empty())
}

/// `POST /api/msd/set_connected`.
pub async fn connect(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(principal): Extension<Principal>,
    Query(given): Query<Parameters>,
) -> Result<Done, Refused> {
    let connected = given.connected.as_deref();
    let connected =
        connected.ok_or_else(|| Refused::parameter("the parameter connected is missing"))?;
    let (request, action, subject) = if switch(connected)? {
        let chosen = lock(&app.chosen).clone();
        let chosen =
            chosen.ok_or_else(|| Refused::parameter("choose an image first: set_params"))?;
        let medium = Medium {
            image: chosen.image.parse().map_err(Failure::from)?,
            drive: chosen.drive,
            writable: chosen.writable,
        };
        (
            Request::Insert { medium },
            Action::Inserted,
            Some(chosen.image),
        )
    } else {
        (Request::Eject {}, Action::Ejected, None)
    };
    app.parts
        .helper
        .ask(&request)
        .await
        .map_err(Failure::from)?;
    app.look_at_drive();
    app.audit(Some(&principal), Some(peer), action, subject);
    Ok(Done::empty())
}

/// `POST /api/msd/remove`.
pub async fn remove(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(principal): Extension<Principal>,
    Query(given): Query<Parameters>,
) -> Result<Done, Refused> {
    let name = image(&given)?;
    crate::v1::media::remove_image(&app, &name)?;
    app.audit(
        Some(&principal),
        Some(peer),
        Action::ImageRemoved,
        Some(name.to_string()),
    );
    Ok(Done::empty())
}

/// `POST /api/msd/reset`.
pub async fn reset(State(app): State<Arc<App>>) -> Result<Done, Refused> {
    app.parts
        .helper
        .ask(&Request::Eject {})
        .await
        .map_err(Failure::from)?;
    *lock(&app.chosen) = None;
    app.look_at_drive();
    Ok(Done::empty())
}
