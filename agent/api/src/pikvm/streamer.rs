//! `/api/streamer`: the picture.

use std::sync::Arc;

use axum::extract::{Query, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;

use crate::app::App;
use crate::failure::Failure;
use crate::pikvm::envelope::{Done, Refused};
use crate::pikvm::hid::switch;
use crate::pikvm::state;
use crate::v1::video;

/// Parameters of a request.
#[derive(Debug, Default, Deserialize)]
pub struct Parameters {
    quality: Option<u8>,
    allow_offline: Option<String>,
}

/// `GET /api/streamer`.
pub async fn read(State(app): State<Arc<App>>) -> Done {
    Done(state::streamer(&app))
}

/// `POST /api/streamer/set_params`. What this device decides itself is taken and left alone.
pub async fn set(
    State(app): State<Arc<App>>,
    Query(given): Query<Parameters>,
) -> Result<Done, Refused> {
    if let Some(quality) = given.quality {
        if !(1..=100).contains(&quality) {
            return Err(Refused::parameter("quality is 1 to 100"));
        }
        app.parts.video.set_quality(quality);
        app.choose(|settings| settings.quality = quality)?;
    }
    Ok(Done::empty())
}

/// `GET /api/streamer/snapshot`.
pub async fn snapshot(
    State(app): State<Arc<App>>,
    Query(given): Query<Parameters>,
) -> Result<Response, Refused> {
    let allows_old = given.allow_offline.as_deref().map_or(Ok(false), switch)?;
    let picture = match video::take(&app).await {
        Ok(picture) => picture,
        Err(failure) => {
            let last = app.parts.video.last().filter(|_| allows_old);
            last.ok_or_else(|| {
                Refused(Failure::new(crate::failure::Code::Failed, failure.message))
            })?
        }
    };
    let headers = [(header::CONTENT_TYPE, HeaderValue::from_static("image/jpeg"))];
    Ok((headers, picture.jpeg.clone()).into_response())
}
