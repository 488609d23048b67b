//! The audit log, for administrators.

use std::sync::Arc;

use agent_access::audit::{Action, Entry};
use axum::Json;
use axum::extract::State;
use schemars::JsonSchema;
use serde::Serialize;

use crate::app::App;
use crate::failure::{Code, Failure};

/// Most entries of an answer.
const LAST: usize = 1000;

/// An entry.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub struct AuditEntry {
    /// Seconds since 1970.
    time: u64,
    /// Who.
    user: Option<String>,
    /// From where.
    address: Option<String>,
    /// What.
    #[schemars(with = "String")]
    action: Action,
    /// To what.
    subject: Option<String>,
}

/// Answers the last entries, the newest first.
pub async fn read(State(app): State<Arc<App>>) -> Result<Json<Vec<AuditEntry>>, Failure> {
    let entries = app.parts.audit.last(LAST);
    let entries = entries.map_err(|error| Failure::new(Code::Failed, error.to_string()))?;
    let entry = |entry: Entry| AuditEntry {
        time: entry.time,
        user: entry.user,
        address: entry.address.map(|address| address.to_string()),
        action: entry.action,
        subject: entry.subject,
    };
    Ok(Json(entries.into_iter().map(entry).collect()))
}
