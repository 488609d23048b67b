//! `/api/log`: the journal as text.

use std::sync::Arc;

use agent_device::redact::Kind;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;

use crate::app::App;
use crate::pikvm::envelope::Refused;
use crate::v1::logs::{journal, redact};

/// Parameters of a request. `follow` is taken and left alone: the answer ends.
#[derive(Debug, Default, Deserialize)]
pub struct Parameters {
    /// Seconds back.
    seek: Option<u32>,
}

/// `GET /api/log`.
pub async fn read(
    State(app): State<Arc<App>>,
    Query(given): Query<Parameters>,
) -> Result<Response, Refused> {
    let since = format!("--since=-{}s", given.seek.unwrap_or(3600).max(1));
    let text = journal(&[&since, "--lines=20000"]).await?;
    let clean = redact(&app, Kind::ALL.into(), &text);
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], clean).into_response())
}
