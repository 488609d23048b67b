//! A stand-in for GitHub's API for releases, with its rules: only who has the token sees drafts, a name is taken
//! once, an upload that broke leaves a file that nobody can use, and what is published cannot be changed.

use std::sync::{Arc, Mutex};

use axum::body::{Body, Bytes};
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};
use axum::routing::{get, patch};
use axum::{Json, Router};
use content_digest::Sha256Digest;
use serde_json::{Value, json};

use crate::serve::on_loopback;

/// The token that may write.
pub const TOKEN: &str = "github_pat_for_tests";
/// The repository that there is.
pub const REPOSITORY: &str = "acme/kvm";

#[derive(Debug, Clone)]
struct Asset {
    id: u64,
    name: String,
    bytes: Bytes,
    is_whole: bool,
}

#[derive(Debug, Clone)]
struct Release {
    id: u64,
    tag: String,
    body: String,
    is_draft: bool,
    assets: Vec<Asset>,
}

#[derive(Debug, Default)]
struct World {
    next: u64,
    releases: Vec<Release>,
    requests: Vec<String>,
    break_upload_of: Option<String>,
}

/// The stand-in.
#[derive(Debug, Clone, Default)]
pub struct Github {
    world: Arc<Mutex<World>>,
}

type Shared = Arc<Mutex<World>>;

/// A release as a test sees it: tag, whether it is a draft, files with digests.
pub type Seen = (String, bool, Vec<(String, Sha256Digest)>);

impl Github {
    /// Serves it. Returns its address, without a scheme.
    pub fn serve(&self) -> String {
        let base = "/repos/acme/kvm/releases";
        let router = Router::new()
            .route(base, get(list).post(create))
            .route(&format!("{base}/{{id}}"), patch(change))
            .route(&format!("{base}/{{id}}/assets"), get(assets).post(upload))
            .route(
                &format!("{base}/assets/{{id}}"),
                get(download).delete(remove),
            )
            .route("/acme/kvm/releases/download/{tag}/{name}", get(public))
            .route("/blobs/{id}", get(blob))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .layer(axum::middleware::from_fn_with_state(
                self.world.clone(),
                rules,
            ))
            .with_state(self.world.clone());
        on_loopback(router)
    }

    /// Breaks the next upload of a file: half of it is there, as `starter`.
    pub fn break_upload_of(&self, name: &str) {
        self.world
            .lock()
            .expect("no thread panicked")
            .break_upload_of = Some(name.to_owned());
    }

    /// Returns every release: tag, whether it is a draft, its files and their digests, by name.
    pub fn releases(&self) -> Vec<Seen> {
        let world = self.world.lock().expect("no thread panicked");
        let facts = |release: &Release| {
            let mut files: Vec<_> = release
                .assets
                .iter()
                .filter(|asset| asset.is_whole)
                .map(|asset| (asset.name.clone(), Sha256Digest::of(&asset.bytes)))
                .collect();
            files.sort();
            (release.tag.clone(), release.is_draft, files)
        };
        world.releases.iter().map(facts).collect()
    }

    /// Returns what was asked, in order: method and path.
    pub fn requests(&self) -> Vec<String> {
        self.world
            .lock()
            .expect("no thread panicked")
            .requests
            .clone()
    }
}

async fn rules(State(world): State<Shared>, request: Request, next: Next) -> Response {
    let line = format!("{} {}", request.method(), request.uri().path());
    world
        .lock()
        .expect("no thread panicked")
        .requests
        .push(line);
    let headers = request.headers();
    if headers.get(header::USER_AGENT).is_none() {
        return no(
            StatusCode::FORBIDDEN,
            "Request forbidden by administrative rules.",
        );
    }
    let is_write = *request.method() != Method::GET;
    if is_write && !is_known(headers) {
        return no(StatusCode::UNAUTHORIZED, "Requires authentication");
    }
    next.run(request).await
}

fn is_known(headers: &HeaderMap) -> bool {
    let token = headers
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok());
    token == Some(&format!("Bearer {TOKEN}"))
}

fn no(status: StatusCode, message: &str) -> Response {
    (status, Json(json!({ "message": message }))).into_response()
}

fn base(headers: &HeaderMap) -> String {
    let host = headers
        .get(header::HOST)
        .and_then(|host| host.to_str().ok());
    format!("http://{}", host.unwrap_or_default())
}

fn release_json(headers: &HeaderMap, release: &Release) -> Value {
    let api = format!(
        "{}/repos/{REPOSITORY}/releases/{}",
        base(headers),
        release.id
    );
    json!({
        "id": release.id,
        "url": api,
        "html_url": format!("{}/{REPOSITORY}/releases/tag/{}", base(headers), release.tag),
        "upload_url": format!("{api}/assets{{?name,label}}"),
        "tag_name": release.tag,
        "body": release.body,
        "draft": release.is_draft,
        "immutable": !release.is_draft,
        "assets": release.assets.iter().map(|asset| asset_json(headers, release, asset)).collect::<Vec<_>>(),
    })
}

fn asset_json(headers: &HeaderMap, release: &Release, asset: &Asset) -> Value {
    json!({
        "id": asset.id,
        "name": asset.name,
        "size": asset.bytes.len(),
        "state": if asset.is_whole { "uploaded" } else { "starter" },
        "digest": asset.is_whole.then(|| format!("sha256:{}", Sha256Digest::of(&asset.bytes))),
        "url": format!("{}/repos/{REPOSITORY}/releases/assets/{}", base(headers), asset.id),
        "browser_download_url": format!("{}/{REPOSITORY}/releases/download/{}/{}", base(headers), release.tag, asset.name),
    })
}

async fn list(State(world): State<Shared>, headers: HeaderMap) -> Response {
    let world = world.lock().expect("no thread panicked");
    let seen = world
        .releases
        .iter()
        .filter(|release| !release.is_draft || is_known(&headers));
    Json(
        seen.map(|release| release_json(&headers, release))
            .collect::<Vec<_>>(),
    )
    .into_response()
}

async fn create(
    State(world): State<Shared>,
    headers: HeaderMap,
    Json(value): Json<Value>,
) -> Response {
    let mut world = world.lock().expect("no thread panicked");
    let tag = value["tag_name"].as_str().unwrap_or_default().to_owned();
    let is_draft = value["draft"].as_bool().unwrap_or(false);
    let is_taken = world
        .releases
        .iter()
        .any(|release| release.tag == tag && !release.is_draft);
    if tag.is_empty() || is_taken {
        return no(
            StatusCode::UNPROCESSABLE_ENTITY,
            "Validation Failed: already_exists",
        );
    }
    world.next += 1;
    let release = Release {
        id: world.next,
        tag,
        body: value["body"].as_str().unwrap_or_default().to_owned(),
        is_draft,
        assets: Vec::new(),
    };
    let answer = release_json(&headers, &release);
    world.releases.push(release);
    (StatusCode::CREATED, Json(answer)).into_response()
}

async fn change(
    State(world): State<Shared>,
    Path(id): Path<u64>,
    headers: HeaderMap,
    Json(value): Json<Value>,
) -> Response {
    let mut world = world.lock().expect("no thread panicked");
    let Some(release) = world.releases.iter_mut().find(|release| release.id == id) else {
        return no(StatusCode::NOT_FOUND, "Not Found");
    };
    if !release.is_draft {
        return no(
            StatusCode::UNPROCESSABLE_ENTITY,
            "Cannot change an immutable release",
        );
    }
    if value["draft"] == json!(false) {
        release.is_draft = false;
    }
    Json(release_json(&headers, release)).into_response()
}

async fn assets(State(world): State<Shared>, Path(id): Path<u64>, headers: HeaderMap) -> Response {
    let world = world.lock().expect("no thread panicked");
    let release = world.releases.iter().find(|release| release.id == id);
    match release.filter(|release| !release.is_draft || is_known(&headers)) {
        Some(release) => {
            let all = release
                .assets
                .iter()
                .map(|asset| asset_json(&headers, release, asset));
            Json(all.collect::<Vec<_>>()).into_response()
        }
        None => no(StatusCode::NOT_FOUND, "Not Found"),
    }
}

#[derive(serde::Deserialize)]
struct Name {
    name: String,
}

async fn upload(
    State(world): State<Shared>,
    Path(id): Path<u64>,
    Query(Name { name }): Query<Name>,
    headers: HeaderMap,
    bytes: Bytes,
) -> Response {
    let mut world = world.lock().expect("no thread panicked");
    let breaks = world.break_upload_of.as_deref() == Some(name.as_str());
    if breaks {
        world.break_upload_of = None;
    }
    world.next += 1;
    let asset_id = world.next;
    let Some(release) = world.releases.iter_mut().find(|release| release.id == id) else {
        return no(StatusCode::NOT_FOUND, "Not Found");
    };
    if !release.is_draft {
        return no(
            StatusCode::UNPROCESSABLE_ENTITY,
            "Cannot upload assets to an immutable release.",
        );
    }
    if release.assets.iter().any(|asset| asset.name == name) {
        return no(
            StatusCode::UNPROCESSABLE_ENTITY,
            "Validation Failed: already_exists",
        );
    }
    let asset = Asset {
        id: asset_id,
        name,
        is_whole: !breaks,
        bytes: if breaks {
            bytes.slice(..bytes.len() / 2)
        } else {
            bytes
        },
    };
    release.assets.push(asset.clone());
    if breaks {
        return no(StatusCode::BAD_GATEWAY, "Server Error");
    }
    (
        StatusCode::CREATED,
        Json(asset_json(&headers, release, &asset)),
    )
        .into_response()
}

fn find(world: &World, id: u64) -> Option<(&Release, &Asset)> {
    let mut all = world
        .releases
        .iter()
        .flat_map(|release| release.assets.iter().map(move |asset| (release, asset)));
    all.find(|(_, asset)| asset.id == id)
}

async fn download(
    State(world): State<Shared>,
    Path(id): Path<u64>,
    headers: HeaderMap,
) -> Response {
    let world = world.lock().expect("no thread panicked");
    match find(&world, id).filter(|(release, _)| !release.is_draft || is_known(&headers)) {
        Some((release, asset)) => {
            let wants = headers
                .get(header::ACCEPT)
                .and_then(|value| value.to_str().ok());
            if wants == Some("application/octet-stream") {
                // As at GitHub, the bytes lie elsewhere.
                return Redirect::temporary(&format!("/blobs/{id}")).into_response();
            }
            Json(asset_json(&headers, release, asset)).into_response()
        }
        None => no(StatusCode::NOT_FOUND, "Not Found"),
    }
}

async fn blob(State(world): State<Shared>, Path(id): Path<u64>) -> Response {
    let world = world.lock().expect("no thread panicked");
    match find(&world, id) {
        Some((_, asset)) => Body::from(asset.bytes.clone()).into_response(),
        None => no(StatusCode::NOT_FOUND, "Not Found"),
    }
}

async fn public(
    State(world): State<Shared>,
    Path((tag, name)): Path<(String, String)>,
) -> Response {
    let world = world.lock().expect("no thread panicked");
    let release = world
        .releases
        .iter()
        .find(|release| release.tag == tag && !release.is_draft);
    let asset = release.and_then(|release| release.assets.iter().find(|asset| asset.name == name));
    match asset {
        Some(asset) => Redirect::temporary(&format!("/blobs/{}", asset.id)).into_response(),
        None => no(StatusCode::NOT_FOUND, "Not Found"),
    }
}

async fn remove(State(world): State<Shared>, Path(id): Path<u64>) -> Response {
    let mut world = world.lock().expect("no thread panicked");
    for release in &mut world.releases {
        if release.assets.iter().any(|asset| asset.id == id) {
            if !release.is_draft {
                return no(
                    StatusCode::UNPROCESSABLE_ENTITY,
                    "Cannot delete asset from an immutable release.",
                );
            }
            release.assets.retain(|asset| asset.id != id);
            return StatusCode::NO_CONTENT.into_response();
        }
    }
    no(StatusCode::NOT_FOUND, "Not Found")
}
