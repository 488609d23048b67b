//! Films and logs: coming in as a stream, going out in ranges.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::sync::Arc;

use axum::extract::{Multipart, Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Redirect, Response};
use content_digest::Sha256Digest;
use release::journal::What;
use tower::ServiceExt as _;
use tower_http::services::ServeFile;

use crate::office::Office;
use crate::server::{apart, refusal, visit, who, write};

/// What a browser may show by itself. Anything else is downloaded: evidence comes from outside.
const SHOWN: &[&str] = &[
    "video/mp4",
    "video/webm",
    "video/quicktime",
    "image/png",
    "image/jpeg",
    "text/plain",
];

/// A file that came in with its form.
struct Upload {
    file: tempfile::TempPath,
    name: String,
    fields: BTreeMap<String, String>,
}

pub(crate) async fn upload(
    State(office): State<Arc<Office>>,
    Path((version, step)): Path<(String, String)>,
    headers: HeaderMap,
    form: Multipart,
) -> Result<Response, Response> {
    // Nobody fills the disk who is not signed in.
    let visitor = {
        let (office, version) = (office.clone(), version.clone());
        apart(move || visit(&office, &headers, &version)).await??
    };
    let came = receive(&office, form).await;
    apart(move || {
        let run = visitor.opened.run();
        let keep = || {
            let came = came?;
            let candidate = run.candidate().ok_or("there is no candidate yet")?.digest;
            // It keeps its name: the store knows media types by it.
            let folder = tempfile::tempdir_in(office.uploads()).map_err(words)?;
            let path = folder.path().join(&came.name);
            fs_err::rename(&came.file, &path).map_err(words)?;
            let mut file = office.evidence.add(&path).map_err(words)?;
            let field = |name: &str| came.fields.get(name).map(|value| value.trim());
            file.serial = field("serial").filter(|s| !s.is_empty()).map(str::to_owned);
            file.seconds = field("seconds").and_then(|text| text.parse().ok());
            write(
                &visitor,
                What::EvidenceAdded {
                    step: step.clone(),
                    candidate,
                    file,
                },
            )
        };
        match keep() {
            Ok(()) => {
                let back = format!("/releases/{version}/steps/{step}");
                Ok(Redirect::to(&back).into_response())
            }
            Err(why) => Err(refusal(&visitor, &step, &why)),
        }
    })
    .await?
}

fn words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

/// Takes the form in, the file as it comes.
async fn receive(office: &Office, mut form: Multipart) -> Result<Upload, String> {
    let mut fields = BTreeMap::new();
    let mut upload = None;
    while let Some(mut field) = form.next_field().await.map_err(words)? {
        let name = field.name().unwrap_or_default().to_owned();
        let Some(file_name) = field.file_name().map(str::to_owned) else {
            let text = field.text().await.map_err(words)?;
            fields.insert(name, text);
            continue;
        };
        let mut file = tempfile::NamedTempFile::new_in(office.uploads()).map_err(words)?;
        let mut size = 0;
        while let Some(chunk) = field.chunk().await.map_err(words)? {
            file.write_all(&chunk).map_err(words)?;
            size += chunk.len();
        }
        if size > 0 {
            upload = Some((file.into_temp_path(), plain(&file_name)));
        }
    }
    let (file, name) = upload.ok_or("choose a file first")?;
    Ok(Upload { file, name, fields })
}

/// The last part of a file's name: browsers may send a path, and somebody may send worse.
fn plain(name: &str) -> String {
    let last = name.rsplit(['/', '\\']).next().unwrap_or_default();
    let last = last.trim_start_matches('.').replace('\0', "");
    if last.is_empty() { "file".into() } else { last }
}

pub(crate) async fn show(
    State(office): State<Arc<Office>>,
    Path(sha256): Path<String>,
    headers: HeaderMap,
    request: Request,
) -> Result<Response, Response> {
    let missing = || {
        (
            StatusCode::NOT_FOUND,
            "This file is not here, or is not what was recorded.\n",
        )
            .into_response()
    };
    let sha256: Sha256Digest = sha256.parse().map_err(|_none| missing())?;
    let (path, media_type) = {
        let office = office.clone();
        apart(move || {
            who(&office, &headers)?;
            let media_type = media_type(&office, &sha256).ok_or_else(missing)?;
            if !office.is_whole(&sha256) {
                return Err(missing());
            }
            Ok((office.evidence.path(&sha256), media_type))
        })
        .await??
    };
    let is_shown = SHOWN.contains(&media_type.as_str());
    let answer = ServeFile::new(path).oneshot(request).await;
    let mut answer = answer.map_err(|never| match never {})?.into_response();
    let kind = if is_shown {
        HeaderValue::from_str(&media_type)
    } else {
        HeaderValue::from_str("application/octet-stream")
    };
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, kind.expect("of the list"));
    // It lies under its digest and never changes.
    let forever = "private, max-age=31536000, immutable";
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(forever));
    if !is_shown {
        let value = HeaderValue::from_static("attachment");
        headers.insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(answer)
}

/// The media type that somebody recorded for a file. What no event names is not served.
fn media_type(office: &Office, sha256: &Sha256Digest) -> Option<String> {
    for version in office.versions() {
        let Ok(opened) = office.open(&version) else {
            continue;
        };
        for event in opened.verified.events() {
            if let What::EvidenceAdded { file, .. } = &event.event().what
                && file.sha256 == *sha256
            {
                return Some(file.media_type.clone());
            }
        }
    }
    None
}
