//! Addresses and what answers them.
//!
//! | | |
//! | --- | --- |
//! | `GET /` | all releases |
//! | `GET /releases/V` | what now, what is waited for, when; every step |
//! | `GET /releases/V/steps/S` | a step: playbook, evidence, what can be done |
//! | `POST /releases/V/events` | a form: one event |
//! | `POST /releases/V/steps/S/evidence` | a film or log |
//! | `GET /releases/V/journal` | every event |
//! | `GET /cost` | what releases cost |
//! | `GET /evidence/SHA256` | a film or log |
//! | `GET`, `POST /sign-in/TOKEN`, `POST /sign-out` | who is it |

use std::io;
use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Form, Path, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware;
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{get, post};
use maud::Markup;
use release::journal::SignatureError;
use release::opened::{Opened, RecordError};

use crate::guard::guard;
use crate::office::{Office, Settings, server_key};
use crate::{acts, evidence, pages};

/// The page cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The key.
    #[error("cannot use the server's key")]
    Key(#[from] SignatureError),
    /// The address.
    #[error("cannot listen on {address}")]
    Listen {
        /// The address.
        address: std::net::SocketAddr,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// The server stopped.
    #[error("the server stopped")]
    Stopped(#[source] io::Error),
}

/// Who asks, in which release.
pub(crate) struct Visit {
    pub(crate) office: Arc<Office>,
    pub(crate) opened: Opened,
    pub(crate) person: String,
}

/// Serves until it is ended. Calls `ready` with the server's public key once it listens.
pub fn serve(settings: Settings, ready: impl FnOnce(&str)) -> Result<(), ServeError> {
    let key = server_key(&settings.folder, &(settings.random)())?;
    let public = key.public();
    let address = settings.listen;
    let office = Arc::new(Office::new(settings, key));
    let runtime = tokio::runtime::Runtime::new().map_err(ServeError::Stopped)?;
    runtime.block_on(async {
        let listener = tokio::net::TcpListener::bind(address)
            .await
            .map_err(|source| ServeError::Listen { address, source })?;
        ready(&public);
        axum::serve(listener, router(office))
            .await
            .map_err(ServeError::Stopped)
    })
}

fn router(office: Arc<Office>) -> Router {
    Router::new()
        .route("/", get(home))
        .route("/releases/{version}", get(overview))
        .route("/releases/{version}/steps/{step}", get(step))
        .route("/releases/{version}/events", post(event))
        .route(
            "/releases/{version}/steps/{step}/evidence",
            // Films are large; what limits them is the disk, and who may sign in.
            post(evidence::upload).layer(DefaultBodyLimit::disable()),
        )
        .route("/releases/{version}/journal", get(journal))
        .route("/cost", get(cost))
        .route("/evidence/{sha256}", get(evidence::show))
        .route("/sign-in/{token}", get(sign_in_page).post(sign_in))
        .route("/sign-out", post(sign_out))
        .route("/style.css", get(style))
        .route("/page.js", get(script))
        .layer(middleware::from_fn_with_state(office.clone(), guard))
        .with_state(office)
}

/// Runs what reads and writes files beside the requests.
pub(crate) async fn apart<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Response> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_panic| StatusCode::INTERNAL_SERVER_ERROR.into_response())
}

/// The session's secret, from the cookie.
fn session(headers: &HeaderMap) -> Option<String> {
    let cookies = headers.get_all(header::COOKIE).iter();
    let cookies = cookies.filter_map(|value| value.to_str().ok());
    cookies
        .flat_map(|value| value.split(';'))
        .filter_map(|cookie| cookie.trim().split_once('='))
        .find(|(name, _)| *name == COOKIE || *name == SECURE_COOKIE)
        .map(|(_, token)| token.to_owned())
}

const COOKIE: &str = "bakelite-release";
/// Over TLS the name itself says that no other host may set it (RFC 6265bis, §4.1.3.2).
const SECURE_COOKIE: &str = "__Host-bakelite-release";

/// Returns who asks, or the page that says how to sign in.
pub(crate) fn who(office: &Office, headers: &HeaderMap) -> Result<String, Response> {
    let person = session(headers).and_then(|token| office.desk.person(&token, office.now()));
    person.ok_or_else(|| (StatusCode::UNAUTHORIZED, pages::sign_in::how()).into_response())
}

/// Opens a release for who asks.
pub(crate) fn visit(
    office: &Arc<Office>,
    headers: &HeaderMap,
    version: &str,
) -> Result<Visit, Response> {
    let person = who(office, headers)?;
    if !office.versions().iter().any(|known| known == version) {
        let page = pages::missing(&person, &format!("There is no release {version}."));
        return Err((StatusCode::NOT_FOUND, page).into_response());
    }
    match office.open(version) {
        Ok(opened) => Ok(Visit {
            office: office.clone(),
            opened,
            person,
        }),
        Err(error) => {
            let page = pages::missing(&person, &format!("Release {version}: {error}"));
            Err((StatusCode::INTERNAL_SERVER_ERROR, page).into_response())
        }
    }
}

type Answer = Result<Response, Response>;

/// A page that may be shown.
fn shown(page: Markup) -> Response {
    page.into_response()
}

async fn home(State(office): State<Arc<Office>>, headers: HeaderMap) -> Answer {
    apart(move || {
        let person = who(&office, &headers)?;
        Ok(shown(pages::home::page(&office, &person)))
    })
    .await?
}

async fn overview(
    State(office): State<Arc<Office>>,
    Path(version): Path<String>,
    headers: HeaderMap,
) -> Answer {
    apart(move || {
        let visit = visit(&office, &headers, &version)?;
        Ok(shown(pages::overview::page(&visit, None)))
    })
    .await?
}

async fn step(
    State(office): State<Arc<Office>>,
    Path((version, name)): Path<(String, String)>,
    headers: HeaderMap,
) -> Answer {
    apart(move || {
        let visit = visit(&office, &headers, &version)?;
        if let Some(step) = visit.opened.template.step(&name) {
            Ok(shown(pages::step::page(&visit, step, None)))
        } else {
            let page = pages::missing(&visit.person, &format!("There is no step {name}."));
            Err((StatusCode::NOT_FOUND, page).into_response())
        }
    })
    .await?
}

async fn journal(
    State(office): State<Arc<Office>>,
    Path(version): Path<String>,
    headers: HeaderMap,
) -> Answer {
    apart(move || {
        let visit = visit(&office, &headers, &version)?;
        Ok(shown(pages::journal::page(&visit)))
    })
    .await?
}

async fn cost(State(office): State<Arc<Office>>, headers: HeaderMap) -> Answer {
    apart(move || {
        let person = who(&office, &headers)?;
        Ok(shown(pages::cost::page(&office, &person)))
    })
    .await?
}

async fn event(
    State(office): State<Arc<Office>>,
    Path(version): Path<String>,
    headers: HeaderMap,
    Form(form): Form<acts::Form>,
) -> Answer {
    apart(move || {
        let visit = visit(&office, &headers, &version)?;
        let step = form.step.clone();
        let what = form.event(&visit.opened.run());
        let back = if step.is_empty() {
            format!("/releases/{version}")
        } else {
            format!("/releases/{version}/steps/{step}")
        };
        let refused = match what {
            Ok(what) => match write(&visit, what) {
                Ok(()) => return Ok(Redirect::to(&back).into_response()),
                Err(why) => why,
            },
            Err(why) => why,
        };
        Err(refusal(&visit, &step, &refused))
    })
    .await?
}

/// Writes an event, or says why it does not count.
pub(crate) fn write(visit: &Visit, what: release::journal::What) -> Result<(), String> {
    let Some(server) = visit.office.name_in(&visit.opened) else {
        return Err(NO_SERVER.into());
    };
    match visit
        .office
        .record(&visit.opened, &visit.person, &server, what)
    {
        Ok(_) => Ok(()),
        Err(RecordError::Refused { source, .. }) => Err(source.to_string()),
        Err(error) => Err(error.to_string()),
    }
}

/// Why nothing can be written here.
pub(crate) const NO_SERVER: &str = "This release began before the page's key was in people.toml, so nothing can be written \
    here. Use the command line for it; “bakelite release serve” prints what belongs into people.toml for the next one.";

/// The page that the form came from, with what is wrong.
pub(crate) fn refusal(visit: &Visit, step: &str, why: &str) -> Response {
    let page = match visit.opened.template.step(step) {
        Some(step) => pages::step::page(visit, step, Some(why)),
        None => pages::overview::page(visit, Some(why)),
    };
    (StatusCode::CONFLICT, page).into_response()
}

async fn sign_in_page(State(office): State<Arc<Office>>, Path(token): Path<String>) -> Response {
    match office.desk.look_at(&token, office.now()) {
        Some(person) => pages::sign_in::confirm(&person, &token).into_response(),
        None => (StatusCode::GONE, pages::sign_in::used()).into_response(),
    }
}

async fn sign_in(State(office): State<Arc<Office>>, Path(token): Path<String>) -> Response {
    let random = (office.settings.random)();
    let Ok((_, session)) = office.desk.sign_in(&token, &random, office.now()) else {
        return (StatusCode::GONE, pages::sign_in::used()).into_response();
    };
    let cookie = cookie(&office, &session, 30 * 24 * 3600);
    ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response()
}

async fn sign_out(State(office): State<Arc<Office>>, headers: HeaderMap) -> Response {
    if let Some(token) = session(&headers) {
        office.desk.sign_out(&token);
    }
    let cookie = cookie(&office, "", 0);
    ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response()
}

fn cookie(office: &Office, token: &str, seconds: u32) -> String {
    let public = office.settings.public.as_deref().unwrap_or_default();
    let (name, secure) = if public.starts_with("https://") {
        (SECURE_COOKIE, "; Secure")
    } else {
        (COOKIE, "")
    };
    format!("{name}={token}; Path=/; HttpOnly; SameSite=Lax; Max-Age={seconds}{secure}")
}

async fn style() -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, "text/css; charset=utf-8")];
    (kind, include_str!("../assets/style.css"))
}

async fn script() -> impl IntoResponse {
    let kind = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")];
    (kind, include_str!("../assets/page.js"))
}
