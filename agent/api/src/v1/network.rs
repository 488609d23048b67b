//! The device's address.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use agent_access::audit::Action;
use agent_access::{Principal, Secret};
use agent_helper::protocol::NetworkRequest;
use agent_https::Local;
use agent_network::{Found, Hidden, NetworkState, Plan, WiFiName};
use axum::extract::{Path, State};
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::extract::Body;
use crate::app::App;
use crate::failure::{Code, Failure, chain};
use crate::guard::Peer;

/// How long a change waits for somebody at the new address, if nothing else is said.
const SECONDS: u64 = 120;
/// The answer has this long to leave before anything changes.
const HEAD_START: Duration = Duration::from_millis(500);

/// How the network is.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct Network(
    #[schemars(with = "std::collections::BTreeMap<String, serde_json::Value>")] NetworkState,
);

/// Another address.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Change {
    /// `{"method": "automatic"}`, `{"method": "manual", "address", "prefix", "gateway", "servers"}`, or
    /// `{"method": "wi-fi", "name", "password", "is-hidden"}`.
    #[schemars(with = "std::collections::BTreeMap<String, serde_json::Value>")]
    plan: Plan,
    /// Seconds until it is taken back, 10 to 600; 120 if absent.
    seconds: Option<u64>,
}

/// A change that will be tried in a moment.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Trial {
    /// Where the device will be. Nothing if the network decides: then `GET /api/v1/network` tells.
    address: Option<IpAddr>,
    /// With this it is kept, at the new address.
    token: String,
    /// Seconds until it is taken back.
    seconds: u64,
}

/// Keeps a change.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Keep {
    /// What the change was answered with.
    token: String,
}

/// A Wi-Fi network in reach.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct InReach(
    #[schemars(with = "std::collections::BTreeMap<String, serde_json::Value>")] Found,
);

/// Answers how the network is.
pub async fn read(State(app): State<Arc<App>>) -> Result<Json<Network>, Failure> {
    Ok(Json(Network(app.parts.helper.network().await?)))
}

/// Answers which Wi-Fi networks are in reach. It takes some seconds.
pub async fn search(
    State(app): State<Arc<App>>,
    Path(interface): Path<String>,
) -> Result<Json<Vec<InReach>>, Failure> {
    let found = app.parts.helper.networks(interface).await?;
    Ok(Json(found.into_iter().map(InReach).collect()))
}

/// Forgets a Wi-Fi network. The one that the request came by stays: who sent it would be locked out.
pub async fn forget(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(principal): Extension<Principal>,
    Extension(local): Extension<Local>,
    Path((interface, name)): Path<(String, String)>,
) -> Result<Json<()>, Failure> {
    let name: WiFiName = name
        .parse()
        .map_err(|_bad| Failure::not_found("Wi-Fi network"))?;
    let now = app.parts.helper.network().await?;
    let local = local.0.ip().to_canonical().to_string();
    let is_local = |entry: &String| entry.split('/').next() == Some(&local);
    let mut used = now.interfaces.iter();
    let came_by = |addresses: &[String]| addresses.iter().any(is_local);
    if used.any(|one| one.wi_fi.as_ref() == Some(&name) && came_by(&one.addresses)) {
        let text = "you reach the device by this network: join another or plug a cable in first";
        return Err(Failure::new(Code::Conflict, text));
    }
    let subject = Some(format!("network {interface} forgets a Wi-Fi network"));
    app.audit(Some(&principal), Some(peer), Action::Setting, subject);
    let request = NetworkRequest::Forget { name };
    app.parts.helper.ask_network(request).await?;
    Ok(Json(()))
}

/// Checks a change, answers, and tries it then: the answer would not arrive later.
pub async fn change(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(principal): Extension<Principal>,
    Path(interface): Path<String>,
    Body(change): Body<Change>,
) -> Result<Json<Trial>, Failure> {
    let Change { plan, seconds } = change;
    let seconds = seconds.unwrap_or(SECONDS);
    let bad = |text: String| Failure::new(Code::BadRequest, text);
    plan.check().map_err(|error| bad(error.to_string()))?;
    if !(10..=600).contains(&seconds) {
        return Err(bad("a change waits 10 to 600 seconds".into()));
    }
    let now = app.parts.helper.network().await?;
    if now.pending.is_some() || now.is_trying {
        let text = "another change waits to be kept: keep it or take it back first";
        return Err(Failure::new(Code::Conflict, text));
    }
    let is_join = matches!(plan, Plan::WiFi(_));
    let mut known = now.interfaces.iter().filter(|one| one.name == interface);
    if is_join && !known.any(|one| one.kind == "wi-fi") {
        return Err(Failure::not_found("Wi-Fi interface"));
    }
    if !is_join && !known.any(|one| one.is_connected) {
        return Err(Failure::not_found("connected interface"));
    }
    let address = plan.address().map(IpAddr::from);
    if let Some(address) = address {
        let covered = app.parts.identity.cover(address);
        covered.map_err(|error| Failure::new(Code::Failed, chain(&error)))?;
    }
    let token = Secret::random();
    let token = token.map_err(|error| Failure::new(Code::Failed, error.to_string()))?;
    let token = token.reveal().to_owned();
    let subject = Some(format!("network {interface}"));
    app.audit(Some(&principal), Some(peer), Action::Setting, subject);
    let request = NetworkRequest::Change {
        interface,
        plan,
        seconds,
        token: Hidden::new(&token),
    };
    tokio::spawn(async move {
        tokio::time::sleep(HEAD_START).await;
        // What went wrong is in the helper's own answer to “how is the network”.
        drop(app.parts.helper.ask_network(request).await);
    });
    Ok(Json(Trial {
        address,
        token,
        seconds,
    }))
}

/// Keeps the change on trial. Whoever has the token was given it with the change, and the connection
/// must have come by the new address: that is the proof that it works.
pub async fn keep(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(local): Extension<Local>,
    Body(keep): Body<Keep>,
) -> Result<Json<()>, Failure> {
    let request = NetworkRequest::Keep {
        token: Hidden::new(keep.token),
        local: local.0.ip(),
    };
    let kept = app.parts.helper.ask_network(request).await;
    kept.map_err(|error| Failure::new(Code::Conflict, chain(&error)))?;
    let subject = Some("network kept".to_owned());
    app.audit_named(None, Some(peer), Action::Setting, subject);
    Ok(Json(()))
}

/// Takes the change on trial back.
pub async fn take_back(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(principal): Extension<Principal>,
) -> Result<Json<()>, Failure> {
    let taken = app
        .parts
        .helper
        .ask_network(NetworkRequest::Revert {})
        .await;
    taken.map_err(|error| Failure::new(Code::Conflict, chain(&error)))?;
    let subject = Some("network taken back".to_owned());
    app.audit(Some(&principal), Some(peer), Action::Setting, subject);
    Ok(Json(()))
}
