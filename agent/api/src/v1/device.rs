//! The device itself.

use std::sync::Arc;
use std::time::Duration;

use agent_access::Principal;
use agent_access::audit::Action;
use agent_device::facts::Facts;
use agent_helper::Request;
use agent_helper::protocol::NetworkRequest;
use agent_network::HostName;
use axum::extract::State;
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::extract::Body;
use crate::app::App;
use crate::failure::{Code, Failure};
use crate::guard::Peer;

/// The answer has this long to leave before the agent starts again.
const HEAD_START: Duration = Duration::from_secs(1);

/// How the device is.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct Device {
    /// Name, board, kernel, temperature in degrees Celsius, warnings of power, cooling and card, load,
    /// memory in bytes.
    #[serde(flatten)]
    #[schemars(with = "std::collections::BTreeMap<String, serde_json::Value>")]
    facts: Facts,
    /// Seconds since 1970, by the device's clock.
    time: u64,
    /// Bytes that are free for images.
    storage_free: Option<u64>,
    /// SHA-256 of the certificate, as browsers show it.
    certificate: String,
}

/// Another name.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct NewName {
    /// One label of letters, digits and hyphens; the device is then reached as NAME.local.
    host_name: String,
}

/// Makes the device new.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Confirmation {
    /// The device's present name, so that nobody does it by mistake.
    host_name: String,
}

/// Answers how the device is.
pub async fn read(State(app): State<Arc<App>>) -> Json<Device> {
    Json(Device {
        facts: Facts::read(&app.parts.root),
        time: app.now(),
        storage_free: app.parts.media.free().ok(),
        certificate: app.parts.identity.fingerprint(),
    })
}

/// Gives the device another name. The agent starts again with it.
pub async fn rename(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(principal): Extension<Principal>,
    Body(new): Body<NewName>,
) -> Result<Json<()>, Failure> {
    let name = HostName::try_from(new.host_name);
    let name = name.map_err(|error| Failure::new(Code::BadRequest, error.to_string()))?;
    let subject = Some(format!("name {name}"));
    let request = NetworkRequest::Rename { name };
    app.parts.helper.ask_network(request).await?;
    app.audit(Some(&principal), Some(peer), Action::Setting, subject);
    tokio::spawn(async move {
        tokio::time::sleep(HEAD_START).await;
        app.again.notify_one();
    });
    Ok(Json(()))
}

/// Makes the device as if it were new, and restarts it.
pub async fn factory_reset(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(principal): Extension<Principal>,
    Body(confirmation): Body<Confirmation>,
) -> Result<Json<()>, Failure> {
    let name = Facts::read(&app.parts.root).host_name;
    if confirmation.host_name != name {
        let text = format!("type the device's name, {name}, to have all that is on it deleted");
        return Err(Failure::new(Code::BadRequest, text));
    }
    let what = "factory reset";
    ask(&app, peer, &principal, &Request::FactoryReset {}, what).await
}

/// Restarts the device.
pub async fn restart(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(principal): Extension<Principal>,
) -> Result<Json<()>, Failure> {
    ask(&app, peer, &principal, &Request::Restart {}, "restart").await
}

/// Switches the device off.
pub async fn power_off(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(principal): Extension<Principal>,
) -> Result<Json<()>, Failure> {
    ask(&app, peer, &principal, &Request::PowerOff {}, "power off").await
}

async fn ask(
    app: &App,
    peer: Peer,
    principal: &Principal,
    request: &Request,
    what: &str,
) -> Result<Json<()>, Failure> {
    // Written before: afterwards there may be no time.
    let subject = Some(what.to_owned());
    app.audit(Some(principal), Some(peer), Action::Device, subject);
    app.parts.helper.ask(request).await?;
    Ok(Json(()))
}
