//! Images that are fetched from an address.

use std::sync::Arc;

use agent_access::Principal;
use agent_access::audit::Action;
use agent_fetch::{FetchError, Fetched, Fetcher};
use agent_helper::ImageName;
use agent_media::range::Part;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::task::AbortHandle;

use super::extract::Body;
use super::media::Image;
use crate::app::{App, lock};
use crate::failure::{Code, Failure, chain};
use crate::guard::Peer;

/// Most images that are fetched at a time.
const MOST: usize = 4;

/// What to fetch.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NewFetch {
    /// The address; it begins with `https://`.
    address: String,
    /// Name of the image here; that which the address ends in if absent.
    name: Option<String>,
    /// SHA-256 that the image must have, in hexadecimal.
    sha256: Option<String>,
}

/// A fetch that runs, or that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct FetchEntry {
    /// Name of the image.
    pub name: String,
    /// Why it failed; nothing while it runs.
    pub problem: Option<String>,
}

/// A fetch as it is kept.
#[derive(Debug)]
pub struct Running {
    pub(crate) entry: FetchEntry,
    task: Option<AbortHandle>,
}

impl From<FetchError> for Failure {
    fn from(error: FetchError) -> Self {
        let code = match &error {
            FetchError::Address(_) | FetchError::Forbidden { .. } => Code::BadRequest,
            _ => Code::Failed,
        };
        Self::new(code, chain(&error))
    }
}

/// Begins to fetch an image; what the server says at once is told at once.
pub async fn begin(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(principal): Extension<Principal>,
    Body(new): Body<NewFetch>,
) -> Result<Json<Image>, Failure> {
    let fetcher = Fetcher::of_system()?;
    let fetched = fetcher.get(&new.address).await?;
    let name = new.name.or_else(|| fetched.name.clone());
    let missing = || Failure::new(Code::BadRequest, "the address ends in no name: give one");
    let name: ImageName = name.ok_or_else(missing)?.parse()?;
    let size = fetched.size;
    start(&app, &principal, peer, &name, fetched, new.sha256)?;
    Ok(Json(Image::on_its_way(&name, size)))
}

/// Takes the content in the background.
pub(crate) fn start(
    app: &Arc<App>,
    principal: &Principal,
    peer: Peer,
    name: &ImageName,
    fetched: Fetched,
    sha256: Option<String>,
) -> Result<(), Failure> {
    let mut fetches = lock(&app.fetches);
    fetches.retain(|running| running.entry.problem.is_none());
    if fetches.len() >= MOST {
        let text = format!("at most {MOST} images are fetched at a time");
        return Err(Failure::new(Code::Conflict, text));
    }
    if fetches
        .iter()
        .any(|running| running.entry.name == name.as_str())
    {
        let text = format!("{name} is being fetched already");
        return Err(Failure::new(Code::Conflict, text));
    }
    let entry = FetchEntry {
        name: name.to_string(),
        problem: None,
    };
    let task = tokio::spawn({
        let (app, name, principal) = (Arc::clone(app), name.clone(), principal.clone());
        async move {
            let problem = take(&app, &name, fetched, sha256.as_deref()).await.err();
            if problem.is_none() {
                let subject = Some(name.to_string());
                app.audit(Some(&principal), Some(peer), Action::ImageAdded, subject);
            }
            finish(&app, &name, problem);
        }
    });
    let task = Some(task.abort_handle());
    fetches.push(Running { entry, task });
    Ok(())
}

async fn take(
    app: &App,
    name: &ImageName,
    fetched: Fetched,
    sha256: Option<&str>,
) -> Result<(), String> {
    let size = fetched.size;
    let part = Part {
        first: 0,
        length: size,
        size,
    };
    let store = &app.parts.media;
    let mut content = fetched.content();
    let received = store.receive(name, part, sha256, &mut content).await;
    received.map(drop).map_err(|error| {
        // What came so far cannot be gone on with: the server may have another image by then.
        if !store.has(name) {
            drop(store.remove(name));
        }
        chain(&error)
    })
}

fn finish(app: &App, name: &ImageName, problem: Option<String>) {
    let mut fetches = lock(&app.fetches);
    match problem {
        None => fetches.retain(|running| running.entry.name != name.as_str()),
        Some(problem) => {
            let mut all = fetches.iter_mut();
            if let Some(running) = all.find(|running| running.entry.name == name.as_str()) {
                running.entry.problem = Some(problem);
                running.task = None;
            }
        }
    }
}

/// Tells whether a fetch runs, and why it failed.
pub(crate) fn progress(app: &App, name: &ImageName) -> (bool, Option<String>) {
    let fetches = lock(&app.fetches);
    let mut all = fetches.iter();
    let found = all.find(|running| running.entry.name == name.as_str());
    let problem = found.and_then(|running| running.entry.problem.clone());
    (found.is_some() && problem.is_none(), problem)
}

/// Ends a fetch, or forgets one that failed.
pub async fn end(
    State(app): State<Arc<App>>,
    Path(name): Path<String>,
) -> Result<Json<()>, Failure> {
    let image: ImageName = name.parse()?;
    let found = {
        let mut fetches = lock(&app.fetches);
        let at = fetches
            .iter()
            .position(|running| running.entry.name == name);
        at.map(|at| fetches.remove(at))
    };
    let running = found.ok_or_else(|| Failure::not_found("fetch"))?;
    if let Some(task) = running.task {
        task.abort();
        // The task lets go of the image when it is dropped, which is soon.
        while !task.is_finished() {
            tokio::task::yield_now().await;
        }
        if !app.parts.media.has(&image) {
            drop(app.parts.media.remove(&image));
        }
    }
    Ok(Json(()))
}
