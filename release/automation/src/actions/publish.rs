//! Publishes the candidate's files in a folder or an S3-compatible store.
//!
//! ```text
//! <target>/2.7.0/kvm-2.7.0.img.zst  …  manifest.json  SHA256SUMS.sig  SHA256SUMS
//! <target>/os_list.json                 for Raspberry Pi Imager
//! ```
//!
//! Every file is downloaded again and compared before the next one goes up; `SHA256SUMS` comes last, so that
//! who sees it sees the rest. What is there already is never overwritten.

use artifact_manifest::Role;
use serde_json::{Value, json};

use super::{Action, Probe};
use crate::assets::{Asset, Assets, Standing};
use crate::error::ActionError;
use crate::job::Job;
use crate::stores::{Content, Put, Store};

/// Name of the list for Raspberry Pi Imager.
const LIST: &str = "os_list.json";

pub(super) struct Publish<'a> {
    pub(super) job: &'a Job<'a>,
    pub(super) store: Box<dyn Store>,
    pub(super) imager_list: bool,
}

impl Publish<'_> {
    fn name(&self, asset: &Asset) -> String {
        format!("{}/{}", self.job.version, asset.name)
    }

    fn standing(&self, assets: &Assets, asset: &Asset) -> Result<Option<Standing>, ActionError> {
        let name = self.name(asset);
        let Some((found, _)) = self.store.digest(&name)? else {
            return Ok(None);
        };
        let read = || Ok(self.store.read(&name)?.unwrap_or_default());
        assets.judge(self.job, asset, found, read).map(Some)
    }

    /// The list as it should be: this version first, older ones after it.
    fn list(&self) -> Result<Option<String>, ActionError> {
        if !self.imager_list {
            return Ok(None);
        }
        let build = self.job.build()?;
        let manifest = build.manifest.file(Role::ImagerManifest).ok_or_else(|| {
            ActionError::Refused("the build has no manifest for Raspberry Pi Imager".into())
        })?;
        let path = build.folder.join(&manifest.name);
        let text = fs_err::read(&path).map_err(ActionError::read(&path))?;
        let malformed = |path: String| {
            move |error: serde_json::Error| ActionError::Refused(format!("{path}: {error}"))
        };
        let own: Value =
            serde_json::from_slice(&text).map_err(malformed(path.display().to_string()))?;
        let mut entries: Vec<Value> = Vec::new();
        for mut entry in own["os_list"].as_array().cloned().unwrap_or_default() {
            let file = entry["url"].as_str().unwrap_or_default().to_owned();
            entry["url"] = json!(self.store.address(&format!("{}/{file}", self.job.version)));
            entries.push(entry);
        }
        let before = self.store.read(LIST)?.unwrap_or_else(|| b"{}".to_vec());
        let before: Value =
            serde_json::from_slice(&before).map_err(malformed(self.store.address(LIST)))?;
        let older = before["os_list"].as_array().cloned().unwrap_or_default();
        let is_own = |entry: &Value| entries.iter().any(|own| own["url"] == entry["url"]);
        let older: Vec<Value> = older.into_iter().filter(|entry| !is_own(entry)).collect();
        entries.extend(older);
        let text = serde_json::to_string_pretty(&json!({ "os_list": entries }));
        Ok(Some(text.expect("plain data") + "\n"))
    }

    fn list_is_right(&self) -> Result<bool, ActionError> {
        let Some(wanted) = self.list()? else {
            return Ok(true);
        };
        Ok(self.store.read(LIST)?.as_deref() == Some(wanted.as_bytes()))
    }
}

impl Action for Publish<'_> {
    fn probe(&self) -> Result<Probe, ActionError> {
        let assets = Assets::of(self.job)?;
        let (mut right, mut wrong) = (0, Vec::new());
        for asset in &assets.files {
            match self.standing(&assets, asset)? {
                Some(Standing::Right) => right += 1,
                Some(Standing::Wrong(why)) => wrong.push(why),
                None => {}
            }
        }
        if !wrong.is_empty() {
            let place = self.store.address(self.job.version);
            return Ok(Probe::Conflict(format!(
                "{place} has other files than the candidate's: {}",
                wrong.join("; ")
            )));
        }
        if right < assets.files.len() || !self.list_is_right()? {
            return Ok(Probe::Absent);
        }
        let place = self.store.address(self.job.version);
        Ok(Probe::Satisfied(format!(
            "{right} files at {place}, every digest as tested"
        )))
    }

    fn plan(&self) -> Result<Vec<String>, ActionError> {
        let assets = Assets::of(self.job)?;
        let mut lines = Vec::new();
        for asset in &assets.files {
            let there = self.standing(&assets, asset)?.is_some();
            let what = if there { "is there  " } else { "upload    " };
            lines.push(format!("{what} {}", self.store.address(&self.name(asset))));
        }
        if !self.list_is_right()? {
            lines.push(format!("update     {}", self.store.address(LIST)));
        }
        Ok(lines)
    }

    fn run(&self, say: &mut dyn FnMut(&str)) -> Result<String, ActionError> {
        let assets = Assets::of(self.job)?;
        assets.stage(self.job)?;
        for asset in &assets.files {
            if self.standing(&assets, asset)? == Some(Standing::Right) {
                continue;
            }
            let name = self.name(asset);
            say(&self.store.address(&name));
            self.store
                .put(&name, Content::File(&asset.path), Put::New)?;
            match self.standing(&assets, asset)? {
                Some(Standing::Right) => {}
                Some(Standing::Wrong(why)) => return Err(ActionError::Refused(why)),
                None => {
                    return Err(ActionError::Refused(format!(
                        "{} was uploaded and is not there",
                        self.store.address(&name)
                    )));
                }
            }
        }
        if let Some(list) = self.list()?
            && !self.list_is_right()?
        {
            say(&self.store.address(LIST));
            self.store
                .put(LIST, Content::Bytes(list.as_bytes()), Put::Replace)?;
        }
        let place = self.store.address(self.job.version);
        Ok(format!(
            "{} files at {place}, downloaded again and compared",
            assets.files.len()
        ))
    }

    fn undo(&self) -> Result<String, ActionError> {
        Err(ActionError::NoUndo(
            ": people may have it. Take it back with “bakelite release yank”",
        ))
    }
}
