//! The server's JSON, read and written. What is not needed is passed over; what is needed and missing is told.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Deserialize;
use serde_json::json;

/// What bundles' files end with.
const BUNDLE: &str = ".upd";
/// A server is asked at least once a day, and at most twice a minute, whatever it says.
const OFTEN: Duration = Duration::from_secs(30);
const SELDOM: Duration = Duration::from_hours(24);
/// Where a server says nothing.
const SLEEP: Duration = Duration::from_mins(5);
/// Longest sentence that is told, in characters: hawkBit keeps 512.
const SENTENCE: usize = 500;

/// An answer makes no sense.
#[derive(Debug, thiserror::Error)]
pub enum DdiError {
    /// It is no JSON of that kind.
    #[error("the fleet server's answer cannot be read")]
    Json(#[source] serde_json::Error),
    /// It is, and something is wrong with it.
    #[error("the fleet server's answer makes no sense: {0}")]
    Sense(String),
}

/// What the server says when it is asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Poll {
    pub(super) sleep: Duration,
    pub(super) deployment: Option<String>,
    pub(super) confirmation: Option<String>,
    pub(super) cancel: Option<String>,
    pub(super) config: Option<String>,
}

/// When an order is to be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum When {
    /// At once.
    Now,
    /// When the owner wants it, or at night.
    Owner,
    /// Not yet: outside of its maintenance window.
    Later,
}

/// An order to install a bundle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Order {
    /// The server's id of it.
    pub action: String,
    /// When.
    pub when: When,
    /// Whether the server waits for the owner to agree.
    pub asks_owner: bool,
    /// Where the bundle is.
    pub href: String,
    /// Its length in bytes.
    pub length: u64,
}

#[derive(Deserialize)]
struct Link {
    href: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PollJson {
    #[serde(default)]
    config: Config,
    #[serde(rename = "_links", default)]
    links: BTreeMap<String, Link>,
}

#[derive(Deserialize, Default)]
struct Config {
    #[serde(default)]
    polling: Polling,
}

#[derive(Deserialize, Default)]
struct Polling {
    sleep: Option<String>,
}

#[derive(Deserialize)]
struct OrderJson {
    id: String,
    #[serde(alias = "confirmation")]
    deployment: Deployment,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Deployment {
    update: Option<String>,
    maintenance_window: Option<String>,
    #[serde(default)]
    chunks: Vec<Chunk>,
}

#[derive(Deserialize)]
struct Chunk {
    #[serde(default)]
    artifacts: Vec<Artifact>,
}

#[derive(Deserialize)]
struct Artifact {
    filename: String,
    size: u64,
    #[serde(rename = "_links", default)]
    links: BTreeMap<String, Link>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CancelJson {
    cancel_action: Cancel,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Cancel {
    stop_id: String,
}

impl Poll {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, DdiError> {
        let PollJson { config, mut links } = parse(bytes)?;
        let mut link = |name: &str| links.remove(name).map(|link| link.href);
        let sleep = config.polling.sleep.as_deref().and_then(sleep);
        Ok(Self {
            sleep: sleep.unwrap_or(SLEEP).clamp(OFTEN, SELDOM),
            deployment: link("deploymentBase"),
            confirmation: link("confirmationBase"),
            cancel: link("cancelAction"),
            config: link("configData"),
        })
    }
}

impl Order {
    pub(super) fn read(bytes: &[u8], asks_owner: bool) -> Result<Self, DdiError> {
        let OrderJson { id, deployment } = parse(bytes)?;
        let artifacts = deployment
            .chunks
            .into_iter()
            .flat_map(|chunk| chunk.artifacts);
        let mut bundles: Vec<_> = artifacts
            .filter(|artifact| artifact.filename.ends_with(BUNDLE))
            .collect();
        let count = bundles.len();
        let (Some(mut bundle), 1) = (bundles.pop(), count) else {
            return Err(DdiError::Sense(format!(
                "the order {id} has {count} update bundles ({BUNDLE}), and one is installed at a time"
            )));
        };
        // Plain HTTP would show the token to everybody.
        let link = bundle.links.remove("download").ok_or_else(|| {
            DdiError::Sense(format!("{} cannot be fetched by https", bundle.filename))
        })?;
        let when = match (
            deployment.update.as_deref(),
            deployment.maintenance_window.as_deref(),
        ) {
            (Some("skip"), _) | (_, Some("unavailable")) => When::Later,
            (Some("forced"), _) if !asks_owner => When::Now,
            _ => When::Owner,
        };
        Ok(Self {
            action: action(id)?,
            when,
            asks_owner,
            href: link.href,
            length: bundle.size,
        })
    }
}

/// Reads the id of an order that is taken back.
pub(super) fn cancelled(bytes: &[u8]) -> Result<String, DdiError> {
    action(parse::<CancelJson>(bytes)?.cancel_action.stop_id)
}

/// Returns the part of an address that lies behind the device's place at the server.
pub(super) fn within<'h>(base: &str, href: &'h str) -> Result<&'h str, DdiError> {
    href.strip_prefix(base)
        .or_else(|| (href == base.trim_end_matches('/')).then_some(""))
        .ok_or_else(|| DdiError::Sense(format!("{href} is not behind {base}")))
}

/// What the server is told of an order.
pub(super) fn feedback(
    execution: &str,
    finished: &str,
    tenths: Option<u64>,
    what: &str,
) -> Vec<u8> {
    let mut result = json!({ "finished": finished });
    if let Some(tenths) = tenths {
        result["progress"] = json!({ "cnt": tenths, "of": 10 });
    }
    let what: String = what.chars().take(SENTENCE).collect();
    let status = json!({ "execution": execution, "result": result, "details": [what] });
    json!({ "status": status }).to_string().into_bytes()
}

pub(super) fn confirmed() -> Vec<u8> {
    let details = ["the owner agreed"];
    let body = json!({ "confirmation": "confirmed", "details": details });
    body.to_string().into_bytes()
}

pub(super) fn config_data(facts: &[(&str, String)]) -> Vec<u8> {
    let data: BTreeMap<_, _> = facts.iter().cloned().collect();
    let body = json!({ "mode": "merge", "data": data });
    body.to_string().into_bytes()
}

/// An id becomes part of a path.
fn action(id: String) -> Result<String, DdiError> {
    let is_plain = (1..=40).contains(&id.len()) && id.bytes().all(|b| b.is_ascii_alphanumeric());
    if is_plain {
        Ok(id)
    } else {
        let id: String = id.chars().take(60).collect();
        Err(DdiError::Sense(format!("“{id}” is no id")))
    }
}

/// Reads `HH:MM:SS`.
fn sleep(text: &str) -> Option<Duration> {
    let mut parts = text.split(':').map(|part| part.parse::<u32>().ok());
    let (hours, minutes, seconds) = (parts.next()??, parts.next()??, parts.next()??);
    let seconds = u64::from(hours) * 3600 + u64::from(minutes) * 60 + u64::from(seconds);
    parts.next().is_none().then(|| Duration::from_secs(seconds))
}

fn parse<'b, T: Deserialize<'b>>(bytes: &'b [u8]) -> Result<T, DdiError> {
    serde_json::from_slice(bytes).map_err(DdiError::Json)
}
