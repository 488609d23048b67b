//! Claiming the device, signing in and out, and what users change of themselves.

use std::sync::Arc;

use agent_access::audit::Action;
use agent_access::one_time::SecondFactor;
use agent_access::sessions::SessionEntry;
use agent_access::{AccessError, Credentials, Principal, Role, Secret, SignedIn};
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::extract::Body;
use crate::app::App;
use crate::failure::{Code, Failure};
use crate::guard::{COOKIE, Peer};

/// What a claim takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Claim {
    /// The code from the device's console or boot partition.
    code: String,
    /// Name of the first administrator.
    user: String,
    /// Password, at least 8 characters.
    #[schemars(with = "String")]
    password: Secret,
}

/// What signing in takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct SignIn {
    /// The user's name.
    user: String,
    /// The password.
    #[schemars(with = "String")]
    password: Secret,
    /// Six digits of the authenticator, if the user has one.
    code: Option<String>,
}

/// Who is signed in.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Who {
    /// The user's name.
    user: String,
    /// What the user may do.
    #[schemars(with = "String")]
    role: Role,
    /// Name of the session.
    session: String,
}

/// A session.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Entry {
    /// Its name.
    id: String,
    /// Who.
    user: String,
    /// From where.
    address: String,
    /// With what program, as that program says.
    agent: String,
    /// Signed in, in seconds since 1970.
    began: u64,
    /// Last request, in seconds since 1970.
    seen: u64,
    /// Whether this request was made with it.
    own: bool,
}

/// What a change of one's password takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NewPassword {
    /// The password so far.
    #[schemars(with = "String")]
    old: Secret,
    /// The new one.
    #[schemars(with = "String")]
    new: Secret,
    /// Six digits of the authenticator, if the user has one.
    code: Option<String>,
}

/// A key for an authenticator. It counts once a code was given for it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct FactorOffer {
    /// The key in base32.
    key: String,
    /// The same as an address, for a QR code.
    address: String,
}

/// What setting a second factor takes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct FactorProof {
    /// The key that was offered.
    #[schemars(with = "String")]
    key: Secret,
    /// Six digits of the authenticator.
    code: String,
}

impl Who {
    fn of(principal: &Principal) -> Self {
        Self {
            user: principal.user.to_string(),
            role: principal.role,
            session: principal.session.to_string(),
        }
    }
}

/// Makes the first administrator.
pub async fn claim(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Body(claim): Body<Claim>,
) -> Result<Response, Failure> {
    let given = credentials(&claim.user, claim.password, None, peer, &headers);
    let access = &app.parts.access;
    let claimed = access.claim(&app.parts.claim, &claim.code, &given, app.now());
    let signed_in = note(&app, peer, Action::Claimed, &claim.user, claimed.await)?;
    Ok(with_cookie(&signed_in))
}

/// Signs in.
pub async fn sign_in(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    Body(given): Body<SignIn>,
) -> Result<Response, Failure> {
    let user = given.user.clone();
    let given = credentials(&given.user, given.password, given.code, peer, &headers);
    let signed_in = app.parts.access.sign_in(&given, app.now()).await;
    let signed_in = note(&app, peer, Action::SignedIn, &user, signed_in)?;
    Ok(with_cookie(&signed_in))
}

fn note(
    app: &App,
    peer: Peer,
    action: Action,
    user: &str,
    result: Result<SignedIn, AccessError>,
) -> Result<SignedIn, Failure> {
    // Whoever types a password into the field of the name must not find it in the log.
    let is_known = app
        .parts
        .access
        .users()
        .iter()
        .any(|known| known.name.to_string() == user);
    let user = is_known.then(|| user.to_owned());
    match result {
        Ok(signed_in) => {
            app.audit_named(user, Some(peer), action, None);
            Ok(signed_in)
        }
        Err(error) => {
            if matches!(error, AccessError::Wrong) {
                app.audit_named(user, Some(peer), Action::Refused, None);
            }
            Err(error.into())
        }
    }
}

fn with_cookie(signed_in: &SignedIn) -> Response {
    let mut response = Json(Who::of(&signed_in.principal)).into_response();
    let cookie = format!(
        "{COOKIE}={}; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age={}",
        signed_in.cookie.reveal(),
        agent_access::sessions::LONGEST
    );
    let value = HeaderValue::from_str(&cookie).expect("hexadecimal digits");
    response.headers_mut().insert(header::SET_COOKIE, value);
    response
}

fn credentials(
    name: &str,
    password: Secret,
    code: Option<String>,
    peer: Peer,
    headers: &HeaderMap,
) -> Credentials {
    let agent = headers.get(header::USER_AGENT);
    Credentials {
        name: name.to_owned(),
        password,
        code: code.filter(|code| !code.is_empty()),
        address: peer.0.ip().to_canonical(),
        agent: agent
            .and_then(|agent| agent.to_str().ok())
            .unwrap_or_default()
            .to_owned(),
    }
}

/// Answers who is signed in.
pub async fn who(Extension(principal): Extension<Principal>) -> Json<Who> {
    Json(Who::of(&principal))
}

/// Signs out.
pub async fn sign_out(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(principal): Extension<Principal>,
) -> Result<Response, Failure> {
    if !principal.is_token {
        app.parts.access.revoke_session(&principal.session)?;
    }
    app.audit(Some(&principal), Some(peer), Action::SignedOut, None);
    let mut response = Json(()).into_response();
    let cookie = format!("{COOKIE}=; Path=/; Secure; HttpOnly; SameSite=Strict; Max-Age=0");
    let value = HeaderValue::from_str(&cookie).expect("constant");
    response.headers_mut().insert(header::SET_COOKIE, value);
    Ok(response)
}

/// Lists sessions: all for administrators, one's own for others.
pub async fn list(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
) -> Json<Vec<Entry>> {
    let entry = |session: SessionEntry| Entry {
        own: session.id == principal.session,
        id: session.id.to_string(),
        user: session.user.to_string(),
        address: session.address.to_string(),
        agent: session.agent,
        began: session.began,
        seen: session.seen,
    };
    let sessions = app.parts.access.sessions().into_iter();
    let visible = sessions.filter(|s| principal.role == Role::Admin || s.user == principal.user);
    Json(visible.map(entry).collect())
}

/// Ends a session and all that streams for it.
pub async fn revoke(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(principal): Extension<Principal>,
    Path(id): Path<String>,
) -> Result<Json<()>, Failure> {
    let sessions = app.parts.access.sessions();
    let found = sessions
        .into_iter()
        .find(|session| session.id.to_string() == id);
    let may =
        |session: &SessionEntry| principal.role == Role::Admin || session.user == principal.user;
    let session = found
        .filter(may)
        .ok_or_else(|| Failure::not_found("session"))?;
    app.parts.access.revoke_session(&session.id)?;
    app.audit(
        Some(&principal),
        Some(peer),
        Action::SessionRevoked,
        Some(id),
    );
    Ok(Json(()))
}

/// Changes one's own password.
pub async fn set_password(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(principal): Extension<Principal>,
    headers: HeaderMap,
    Body(given): Body<NewPassword>,
) -> Result<Json<()>, Failure> {
    let user = principal.user.to_string();
    let old = credentials(&user, given.old, given.code, peer, &headers);
    app.parts.access.prove(&old, app.now()).await?;
    let keep = Some(&principal.session);
    app.parts
        .access
        .set_password(&principal.user, given.new, keep)
        .await?;
    app.audit(
        Some(&principal),
        Some(peer),
        Action::UserChanged,
        Some(user),
    );
    Ok(Json(()))
}

/// Offers a key for an authenticator.
pub async fn offer_factor(
    State(app): State<Arc<App>>,
    Extension(principal): Extension<Principal>,
) -> Result<Json<FactorOffer>, Failure> {
    let factor = SecondFactor::new().map_err(AccessError::from)?;
    let device = app.parts.names.first().map_or("bakelite", String::as_str);
    Ok(Json(FactorOffer {
        key: factor.key().reveal().to_owned(),
        address: factor
            .address(&principal.user.to_string(), device)
            .reveal()
            .to_owned(),
    }))
}

/// Sets one's second factor.
pub async fn set_factor(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(principal): Extension<Principal>,
    Body(proof): Body<FactorProof>,
) -> Result<Json<()>, Failure> {
    if principal.is_token {
        let text = "a token cannot set a second factor: its user would be locked out";
        return Err(Failure::new(Code::NotAllowed, text));
    }
    let factor = SecondFactor::with_key(proof.key)
        .ok_or_else(|| Failure::new(Code::BadRequest, "the key is not base32 of 160 bits"))?;
    let set = Some((factor, proof.code.as_str()));
    app.parts
        .access
        .set_second_factor(&principal.user, set, app.now())?;
    let subject = Some(principal.user.to_string());
    app.audit(Some(&principal), Some(peer), Action::UserChanged, subject);
    Ok(Json(()))
}

/// Takes one's second factor away. It takes the password and a code.
pub async fn remove_factor(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(principal): Extension<Principal>,
    headers: HeaderMap,
    Body(given): Body<SignIn>,
) -> Result<Json<()>, Failure> {
    let user = principal.user.to_string();
    let proof = credentials(&user, given.password, given.code, peer, &headers);
    app.parts.access.prove(&proof, app.now()).await?;
    app.parts
        .access
        .set_second_factor(&principal.user, None, app.now())?;
    app.audit(
        Some(&principal),
        Some(peer),
        Action::UserChanged,
        Some(user),
    );
    Ok(Json(()))
}
