//! `/api/msd`: images and the drive. A client chooses an image first and connects the drive then.

use std::sync::Arc;

use agent_access::Principal;
use agent_access::audit::Action;
use agent_helper::{Drive, ImageName, Medium, Request, Writable};
use agent_media::MediaError;
use agent_media::range::Part;
use axum::Extension;
use axum::body::Body;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, header};
use serde::Deserialize;
use serde_json::json;

use crate::app::{App, lock};
use crate::failure::Failure;
use crate::guard::Peer;
use crate::pikvm::envelope::{Done, Refused};
use crate::pikvm::hid::switch;
use crate::pikvm::state::{self, Chosen};

/// Parameters of a request.
#[derive(Debug, Default, Deserialize)]
pub struct Parameters {
    image: Option<String>,
    cdrom: Option<String>,
    rw: Option<String>,
    connected: Option<String>,
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
