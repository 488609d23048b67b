//! Serves the page.

use agent_page::{Asset, POLICY};
use axum::extract::Path;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse as _, Response};

use crate::failure::Failure;

/// Answers the page itself.
pub async fn index(headers: HeaderMap) -> Response {
    answer(agent_page::page(), &headers)
}

/// Answers a file of the page.
pub async fn asset(Path(name): Path<String>, headers: HeaderMap) -> Response {
    match agent_page::asset(&name) {
        Some(asset) => answer(asset, &headers),
        None => Failure::not_found("file").into_response(),
    }
}

/// Browsers keep the files and ask each time whether they are still the same.
fn answer(asset: &Asset, headers: &HeaderMap) -> Response {
    let tag = agent_page::tag();
    let fixed = [
        (header::CONTENT_TYPE, asset.media_type),
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::CACHE_CONTROL, "no-cache"),
        (header::ETAG, tag.as_str()),
    ];
    if headers
        .get(header::IF_NONE_MATCH)
        .is_some_and(|known| known == tag.as_str())
    {
        return (StatusCode::NOT_MODIFIED, fixed).into_response();
    }
    (fixed, asset.bytes).into_response()
}
