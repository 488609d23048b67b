//! A fleet server as the source of updates: Eclipse hawkBit's Direct Device Integration API, which others speak too. In: what the
//! server answers, as JSON. Out: what it orders, and what it is told. The server is believed nothing: a bundle must be signed all the
//! same. <https://eclipse.dev/hawkbit/apis/ddi_api/>

mod ddi;

use std::io;
use std::time::Duration;

use content_digest::Sha256Digest;
use serde::{Deserialize, Serialize};

pub use ddi::{DdiError, Order, When};

/// What the address of a fleet server begins with, in the owner's choices.
const SCHEME: &str = "hawkbit+";
/// Tenant of servers that have only one.
const TENANT: &str = "/DEFAULT";
/// Longest answer that is read, in bytes.
pub const MOST: u64 = 256 * 1024;

/// What is asked of the server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Read.
    Get,
    /// Replace.
    Put,
    /// Tell.
    Post,
}

/// Sends a request to a path behind the base. Nothing comes back of what is gone.
pub trait Server {
    /// Sends it; `body` is JSON.
    fn send(&mut self, method: Method, path: &str, body: &[u8]) -> io::Result<Option<Vec<u8>>>;
}

/// The server cannot be understood.
#[derive(Debug, thiserror::Error)]
pub enum FleetError {
    /// It does not answer, or not as it should.
    #[error("the fleet server cannot be reached")]
    Reach(#[source] io::Error),
    /// It knows no such device.
    #[error(
        "the fleet server does not know this device: add it there by its id, or allow it to add itself"
    )]
    Unknown,
    /// Its answer makes no sense.
    #[error(transparent)]
    Ddi(#[from] DdiError),
}

/// How an order ended, for the server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Whether the version is kept.
    pub is_kept: bool,
    /// Why, in a sentence.
    pub reason: String,
}

/// The order that is carried out, over restarts.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Taken {
    /// The server's id of it.
    pub action: String,
    /// Digest of the manifest that it is about.
    pub manifest: Sha256Digest,
}

/// What the server says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Looked {
    /// When it wants to be asked again.
    pub sleep: Duration,
    /// What it orders.
    pub order: Option<Order>,
    /// An order that it takes back.
    pub cancelled: Option<String>,
}

/// Returns where a device has its place at the server that an owner chose; nothing if that is no fleet server.
pub fn base(source: &str, id: &str) -> Option<String> {
    let address = source.strip_prefix(SCHEME)?.trim_end_matches('/');
    let has_tenant = address.split_once("://")?.1.contains('/');
    let tenant = if has_tenant { "" } else { TENANT };
    Some(format!("{address}{tenant}/controller/v1/{id}/"))
}

/// Asks what there is to do. `facts` are what the server is told of the device, if it asks.
pub fn look(
    server: &mut impl Server,
    base: &str,
    facts: &[(&str, String)],
) -> Result<Looked, FleetError> {
    let poll = ddi::Poll::read(&get(server, "")?.ok_or(FleetError::Unknown)?)?;
    let within = |href: &str| ddi::within(base, href).map(str::to_owned);
    if let Some(config) = &poll.config {
        let path = within(config)?;
        send(server, Method::Put, &path, &ddi::config_data(facts))?;
    }
    let mut looked = Looked {
        sleep: poll.sleep,
        order: None,
        cancelled: None,
    };
    if let Some(cancel) = &poll.cancel {
        if let Some(bytes) = get(server, &within(cancel)?)? {
            looked.cancelled = Some(ddi::cancelled(&bytes)?);
        }
        return Ok(looked);
    }
    let (href, asks_owner) = match (&poll.deployment, &poll.confirmation) {
        (Some(href), _) => (href, false),
        (None, Some(href)) => (href, true),
        (None, None) => return Ok(looked),
    };
    if let Some(bytes) = get(server, &within(href)?)? {
        looked.order = Some(Order::read(&bytes, asks_owner)?);
    }
    Ok(looked)
}

/// Says that the owner wants what is ordered.
pub fn confirm(server: &mut impl Server, action: &str) -> Result<(), FleetError> {
    let path = format!("confirmationBase/{action}/feedback");
    send(server, Method::Post, &path, &ddi::confirmed()).map(drop)
}

/// Says how far an order is. Returns whether the server still wants it.
pub fn proceed(
    server: &mut impl Server,
    action: &str,
    tenths: u64,
    what: &str,
) -> Result<bool, FleetError> {
    let body = ddi::feedback("proceeding", "none", Some(tenths), what);
    let path = format!("deploymentBase/{action}/feedback");
    Ok(send(server, Method::Post, &path, &body)?.is_some())
}

/// Says how an order ended, once for all: a version counts as installed when it is kept.
pub fn close(server: &mut impl Server, action: &str, ended: &Ended) -> Result<(), FleetError> {
    let finished = if ended.is_kept { "success" } else { "failure" };
    let body = ddi::feedback("closed", finished, None, &ended.reason);
    let path = format!("deploymentBase/{action}/feedback");
    send(server, Method::Post, &path, &body).map(drop)
}

/// Answers that an order is taken back, or that it is too late for that.
pub fn answer_cancel(
    server: &mut impl Server,
    action: &str,
    too_late: Option<&str>,
) -> Result<(), FleetError> {
    let body = match too_late {
        None => ddi::feedback("closed", "success", None, "it was taken back"),
        Some(why) => ddi::feedback("rejected", "failure", None, why),
    };
    let path = format!("cancelAction/{action}/feedback");
    send(server, Method::Post, &path, &body).map(drop)
}

fn get(server: &mut impl Server, path: &str) -> Result<Option<Vec<u8>>, FleetError> {
    send(server, Method::Get, path, &[])
}

fn send(
    server: &mut impl Server,
    method: Method,
    path: &str,
    body: &[u8],
) -> Result<Option<Vec<u8>>, FleetError> {
    server.send(method, path, body).map_err(FleetError::Reach)
}

#[cfg(test)]
mod tests;
