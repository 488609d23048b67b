//! The journal, without what says where and whose the device is.

use std::process::Stdio;
use std::sync::Arc;

use agent_device::facts::Facts;
use agent_device::redact::{Kind, Redactor};
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use serde::Deserialize;
use tokio::process::Command;

use super::extract::Asked;
use crate::app::App;
use crate::failure::{Code, Failure};

/// Lines if nothing is said.
const LINES: u32 = 500;
/// Most lines.
const MOST: u32 = 20_000;

/// What is wanted.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Wanted {
    /// How many of the last lines.
    lines: Option<u32>,
    /// Kinds that stay, separated by commas: `address`, `card`, `name`, `secret`.
    keep: Option<String>,
    /// Whether browsers save it as a file.
    #[serde(default)]
    download: bool,
}

/// Answers the last lines of the journal.
pub async fn read(
    State(app): State<Arc<App>>,
    Asked(wanted): Asked<Wanted>,
) -> Result<Response, Failure> {
    let lines = wanted.lines.unwrap_or(LINES);
    if !(1..=MOST).contains(&lines) {
        let text = format!("between 1 and {MOST} lines can be had");
        return Err(Failure::new(Code::BadRequest, text));
    }
    let kinds = kinds(wanted.keep.as_deref().unwrap_or_default())?;
    let text = journal(&["--lines", &lines.to_string()]).await?;
    let clean = redact(&app, kinds, &text);
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    let mut response = ([(header::CONTENT_TYPE, plain)], clean).into_response();
    if wanted.download {
        let value = HeaderValue::from_static("attachment; filename=\"device.log\"");
        response
            .headers_mut()
            .insert(header::CONTENT_DISPOSITION, value);
    }
    Ok(response)
}

/// Takes things out of a log.
pub(crate) fn redact(app: &App, kinds: Vec<Kind>, text: &str) -> String {
    let users = app.parts.access.users();
    let names = users.into_iter().map(|user| user.name.to_string());
    let own = Facts::read(&app.parts.root).host_name;
    let mut redactor = Redactor::new(kinds, names.chain([own]));
    let mut clean = String::with_capacity(text.len());
    for line in text.lines() {
        clean.push_str(&redactor.line(line));
        clean.push('\n');
    }
    clean
}

/// Returns the kinds that are taken out.
fn kinds(keep: &str) -> Result<Vec<Kind>, Failure> {
    let words: Vec<&str> = keep.split(',').filter(|word| !word.is_empty()).collect();
    let is_known = |word: &&str| Kind::ALL.iter().any(|kind| kind.word() == *word);
    if let Some(word) = words.iter().find(|word| !is_known(word)) {
        let text = format!("“{word}” is none of address, card, name, secret");
        return Err(Failure::new(Code::BadRequest, text));
    }
    let goes = |kind: &Kind| !words.contains(&kind.word());
    Ok(Kind::ALL.into_iter().filter(goes).collect())
}

/// Reads the journal since the start of the device.
pub(crate) async fn journal(which: &[&str]) -> Result<String, Failure> {
    let output = Command::new("/usr/bin/journalctl")
        .args(["--boot", "--quiet", "--no-pager", "--output=short-iso"])
        .arg("--no-hostname")
        .args(which)
        .stdin(Stdio::null())
        .output()
        .await;
    let failed = |why: String| Failure::new(Code::Failed, format!("no journal: {why}"));
    let output = output.map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(failed(why.trim().to_owned()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_asked_for_goes() {
        assert_eq!(kinds("").unwrap(), Kind::ALL);
        assert_eq!(kinds("address,name").unwrap(), [Kind::Card, Kind::Secret]);
        assert!(kinds("all").is_err());
    }
}
