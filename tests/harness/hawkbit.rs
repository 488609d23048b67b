//! A fleet server that follows the documents of Eclipse hawkBit's Direct Device Integration API: one tenant, one device's token, one
//! order at a time. <https://eclipse.dev/hawkbit/apis/ddi_api/>

use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

/// Where devices have their places.
pub const PLACES: &str = "DEFAULT/controller/v1/";
/// What a device may say of an order, and how it ended.
const EXECUTIONS: [&str; 8] = [
    "proceeding",
    "download",
    "downloaded",
    "scheduled",
    "resumed",
    "rejected",
    "canceled",
    "closed",
];
const FINISHED: [&str; 3] = ["success", "failure", "none"];

/// An order, and what was said of it.
#[derive(Debug, Clone)]
pub struct Order {
    id: u32,
    /// File that it is about, below the server's folder.
    file: String,
    update: &'static str,
    waits_for_owner: bool,
    is_cancelled: bool,
    /// What the device said, in order.
    pub said: Vec<Value>,
    /// How it ended.
    pub finished: Option<String>,
}

#[derive(Debug, Default)]
struct State {
    token: Option<String>,
    config: Option<Value>,
    orders: Vec<Order>,
}

/// What is answered.
#[derive(Debug)]
pub enum Reply {
    /// A status, and JSON.
    Json(u16, Value),
    /// A file below the server's folder.
    File(String),
}

/// The server. It knows nobody until it has a token.
#[derive(Debug, Default)]
pub struct Fleet(Mutex<State>);

impl Fleet {
    /// Knows a device by a token.
    pub fn know(&self, token: &str) {
        self.state().token = Some(token.into());
    }

    /// Orders a device to install a file: `forced`, `attempt` or `skip`; perhaps its owner must agree.
    pub fn order(&self, file: &str, update: &'static str, asks_owner: bool) {
        let mut state = self.state();
        let id = u32::try_from(state.orders.len()).expect("few") + 1;
        state.orders.push(Order {
            id,
            file: file.into(),
            update,
            waits_for_owner: asks_owner,
            is_cancelled: false,
            said: Vec::new(),
            finished: None,
        });
    }

    /// Takes the last order back.
    pub fn cancel(&self) {
        self.state()
            .orders
            .last_mut()
            .expect("an order")
            .is_cancelled = true;
    }

    /// Returns the last order.
    pub fn last(&self) -> Order {
        self.state().orders.last().expect("an order").clone()
    }

    /// Returns what the device said of itself.
    pub fn config(&self) -> Value {
        self.state().config.clone().unwrap_or_default()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers a request for what lies behind [`PLACES`].
    pub fn answer(&self, method: &str, host: &str, path: &str, who: &str, body: &str) -> Reply {
        let mut state = self.state();
        let expected = state
            .token
            .as_ref()
            .map(|token| format!("TargetToken {token}"));
        if expected.as_deref() != Some(who) {
            return Reply::Json(401, Value::Null);
        }
        let path = path.split('?').next().unwrap_or_default();
        let (device, rest) = path.split_once('/').unwrap_or((path, ""));
        let place = format!("https://{host}/{PLACES}{device}");
        let body = serde_json::from_str(body).unwrap_or(Value::Null);
        let parts: Vec<&str> = rest.split('/').collect();
        match (method, &parts[..]) {
            ("GET", [""]) => Reply::Json(200, state.poll(&place)),
            ("PUT", ["configData"]) if body["data"].is_object() => {
                state.config = Some(body["data"].clone());
                Reply::Json(200, Value::Null)
            }
            ("GET", ["softwaremodules", id, "artifacts", _]) => state
                .find(id)
                .map_or(Reply::Json(404, Value::Null), |order| {
                    Reply::File(order.file.clone())
                }),
            (_, [base, id, rest @ ..]) => match state.find(id) {
                Some(order) => order.answer(method, base, rest, &place, &body),
                None => Reply::Json(404, Value::Null),
            },
            _ => Reply::Json(405, Value::Null),
        }
    }
}

impl State {
    fn find(&mut self, id: &str) -> Option<&mut Order> {
        self.orders
            .iter_mut()
            .find(|order| order.id.to_string() == id)
    }

    fn poll(&self, place: &str) -> Value {
        let mut links = serde_json::Map::new();
        let mut link = |name: &str, path: String| {
            links.insert(name.into(), json!({ "href": format!("{place}/{path}") }));
        };
        if self.config.is_none() {
            link("configData", "configData".into());
        }
        if let Some(order) = self.orders.last().filter(|order| order.finished.is_none()) {
            let (base, query) = if order.is_cancelled {
                ("cancelAction", "")
            } else if order.waits_for_owner {
                ("confirmationBase", "?c=-2127183556")
            } else {
                ("deploymentBase", "?c=-2127183556")
            };
            link(base, format!("{base}/{}{query}", order.id));
        }
        json!({ "config": { "polling": { "sleep": "00:00:30" } }, "_links": links })
    }
}

impl Order {
    fn answer(
        &mut self,
        method: &str,
        base: &str,
        rest: &[&str],
        place: &str,
        body: &Value,
    ) -> Reply {
        if self.finished.is_some() {
            return Reply::Json(410, Value::Null);
        }
        let id = self.id.to_string();
        match (method, base, rest) {
            ("GET", "deploymentBase", []) if !self.waits_for_owner => Reply::Json(
                200,
                json!({ "id": id, "deployment": self.deployment(place) }),
            ),
            ("GET", "confirmationBase", []) if self.waits_for_owner => Reply::Json(
                200,
                json!({ "id": id, "confirmation": self.deployment(place) }),
            ),
            ("GET", "cancelAction", []) if self.is_cancelled => {
                Reply::Json(200, json!({ "id": id, "cancelAction": { "stopId": id } }))
            }
            ("POST", "confirmationBase", ["feedback"]) if self.waits_for_owner => {
                let known = ["confirmed", "denied"];
                if !known.iter().any(|word| body["confirmation"] == *word) {
                    return Reply::Json(400, Value::Null);
                }
                self.waits_for_owner = body["confirmation"] != "confirmed";
                Reply::Json(200, Value::Null)
            }
            ("POST", "deploymentBase" | "cancelAction", ["feedback"]) => {
                self.feedback(base == "cancelAction", &body["status"])
            }
            _ => Reply::Json(404, Value::Null),
        }
    }

    fn feedback(&mut self, is_cancel: bool, status: &Value) -> Reply {
        let word = |value: &Value, known: &[&str]| {
            let word = value.as_str()?;
            known.contains(&word).then(|| word.to_owned())
        };
        let execution = word(&status["execution"], &EXECUTIONS);
        let finished = word(&status["result"]["finished"], &FINISHED);
        let (Some(execution), Some(finished)) = (execution, finished) else {
            return Reply::Json(400, Value::Null);
        };
        // Of an order that is taken back nothing is heard any more but that.
        if self.is_cancelled != is_cancel {
            return Reply::Json(410, Value::Null);
        }
        self.said.push(status.clone());
        match (is_cancel, execution.as_str()) {
            (false, "closed") => self.finished = Some(finished),
            (true, "closed") => self.finished = Some("canceled".into()),
            (true, "rejected") => self.is_cancelled = false,
            _ => {}
        }
        Reply::Json(200, Value::Null)
    }

    fn deployment(&self, place: &str) -> Value {
        let name = self.file.rsplit('/').next().unwrap_or_default();
        let at = format!("{place}/softwaremodules/{}/artifacts/{name}", self.id);
        let link = |suffix: &str| json!({ "href": format!("{at}{suffix}") });
        json!({
            "download": self.update,
            "update": self.update,
            "chunks": [{
                "part": "os", "name": "kvm", "version": "1", "encrypted": false,
                "artifacts": [{
                    "filename": name, "size": 1,
                    "hashes": { "sha1": "", "md5": "", "sha256": "" },
                    "_links": { "download": link(""), "md5sum": link(".MD5SUM") },
                }],
                "metadata": [],
            }],
        })
    }
}
