//! Machines that are woken over the network.

use std::sync::Arc;

use agent_access::Principal;
use agent_access::audit::Action;
use agent_power::{BadAddress, MacAddress, wake};
use axum::extract::{Path, State};
use axum::{Extension, Json};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::extract::Body;
use crate::app::App;
use crate::failure::{Code, Failure};
use crate::guard::Peer;
use crate::settings;

/// Most machines.
const ROOM: usize = 64;

/// A machine.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Machine {
    /// Its name, 1 to 64 characters.
    name: String,
    /// Address of its network card, such as `52:54:00:12:34:56`.
    address: String,
}

impl From<BadAddress> for Failure {
    fn from(error: BadAddress) -> Self {
        Self::new(Code::BadRequest, error.to_string())
    }
}

/// Lists the machines.
pub async fn list(State(app): State<Arc<App>>) -> Json<Vec<Machine>> {
    let settings = app.settings.borrow();
    let machine = |machine: &settings::Machine| Machine {
        name: machine.name.clone(),
        address: machine.address.to_string(),
    };
    Json(settings.machines.iter().map(machine).collect())
}

/// Adds a machine, or changes the address of the one with this name.
pub async fn put(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(principal): Extension<Principal>,
    Body(machine): Body<Machine>,
) -> Result<Json<()>, Failure> {
    let name = machine.name.trim().to_owned();
    let address: MacAddress = machine.address.parse()?;
    if !(1..=64).contains(&name.chars().count()) || name.contains(char::is_control) {
        return Err(Failure::new(
            Code::BadRequest,
            "a name has 1 to 64 characters",
        ));
    }
    let known = app.settings.borrow().machines.clone();
    if known.len() >= ROOM && !known.iter().any(|machine| machine.name == name) {
        let text = format!("there is no room for more than {ROOM}");
        return Err(Failure::new(Code::Full, text));
    }
    app.choose(|settings| {
        settings.machines.retain(|machine| machine.name != name);
        let name = name.clone();
        settings.machines.push(settings::Machine { name, address });
        settings.machines.sort();
    })?;
    app.audit(
        Some(&principal),
        Some(peer),
        Action::Setting,
        Some(format!("wake {name}")),
    );
    Ok(Json(()))
}

/// Removes a machine.
pub async fn remove(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(principal): Extension<Principal>,
    Path(name): Path<String>,
) -> Result<Json<()>, Failure> {
    find(&app, &name)?;
    app.choose(|settings| settings.machines.retain(|machine| machine.name != name))?;
    app.audit(
        Some(&principal),
        Some(peer),
        Action::Setting,
        Some(format!("wake {name}")),
    );
    Ok(Json(()))
}

/// Wakes a machine.
pub async fn wake(
    State(app): State<Arc<App>>,
    Extension(peer): Extension<Peer>,
    Extension(principal): Extension<Principal>,
    Path(name): Path<String>,
) -> Result<Json<()>, Failure> {
    let address = find(&app, &name)?;
    // Without the helper's word the packet goes by the default route.
    let state = app.parts.helper.network().await.unwrap_or_default();
    let interfaces = state.interfaces.into_iter();
    let networks: Vec<String> = interfaces.flat_map(|one| one.addresses).collect();
    let sent = wake::wake(address, &networks).await;
    sent.map_err(|error| {
        Failure::new(Code::Failed, format!("the packet cannot be sent: {error}"))
    })?;
    app.audit(
        Some(&principal),
        Some(peer),
        Action::Power,
        Some(format!("wake {name}")),
    );
    Ok(Json(()))
}

fn find(app: &App, name: &str) -> Result<MacAddress, Failure> {
    let settings = app.settings.borrow();
    let found = settings
        .machines
        .iter()
        .find(|machine| machine.name == name);
    found
        .map(|machine| machine.address)
        .ok_or_else(|| Failure::not_found("machine"))
}
