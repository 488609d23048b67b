//! Publishes the candidate's files as a GitHub release.

use std::io::Read as _;

use super::{Action, Probe};
use crate::assets::{Asset, Assets, Standing};
use crate::error::ActionError;
use crate::github::{Github, Release, ReleaseAsset};
use crate::job::Job;
use crate::texts;

pub(super) struct PublishRelease<'a> {
    job: &'a Job<'a>,
    github: Github,
    tag: String,
}

/// What is at GitHub.
struct Found {
    release: Release,
    assets: Vec<ReleaseAsset>,
}

impl<'a> PublishRelease<'a> {
    pub(super) fn new(
        job: &'a Job<'a>,
        repository: &str,
        api: Option<&str>,
        tag: &str,
    ) -> Result<Self, ActionError> {
        Ok(Self {
            github: Github::open(repository, api, job.secrets)?,
            tag: job.named(tag),
            job,
        })
    }

    fn find(&self) -> Result<Option<Found>, ActionError> {
        let Some(release) = self.github.find(&self.tag)? else {
            return Ok(None);
        };
        let assets = self.github.assets(&release)?;
        Ok(Some(Found { release, assets }))
    }

    fn standing(
        &self,
        assets: &Assets,
        asset: &Asset,
        found: &Found,
    ) -> Result<Option<Standing>, ActionError> {
        let Some(there) = found.assets.iter().find(|there| there.name == asset.name) else {
            return Ok(None);
        };
        if there.state != "uploaded" {
            return Ok(Some(Standing::Wrong(format!(
                "{}: its upload never ended",
                asset.name
            ))));
        }
        let digest = self.github.digest(there)?;
        let read = || {
            self.github.download(there, |reader| {
                let mut bytes = Vec::new();
                // Signatures are small.
                reader
                    .take(1 << 20)
                    .read_to_end(&mut bytes)
                    .map_err(ActionError::io(format!("download {}", there.name)))?;
                Ok(bytes)
            })
        };
        assets.judge(self.job, asset, digest, read).map(Some)
    }

    /// Files of the release that are none of ours.
    fn strangers(assets: &Assets, found: &Found) -> Vec<String> {
        let is_ours =
            |there: &&ReleaseAsset| !assets.files.iter().any(|asset| asset.name == there.name);
        let strangers = found.assets.iter().filter(is_ours);
        strangers.map(|there| there.name.clone()).collect()
    }
}

impl Action for PublishRelease<'_> {
    fn probe(&self) -> Result<Probe, ActionError> {
        let assets = Assets::of(self.job)?;
        let Some(found) = self.find()? else {
            return Ok(Probe::Absent);
        };
        let address = &found.release.html_url;
        let strangers = Self::strangers(&assets, &found);
        if !strangers.is_empty() {
            return Ok(Probe::Conflict(format!(
                "{address} has files that are none of the candidate's: {}",
                strangers.join(", ")
            )));
        }
        if found.release.draft {
            return Ok(Probe::Absent);
        }
        let mut wrong = Vec::new();
        for asset in &assets.files {
            match self.standing(&assets, asset, &found)? {
                Some(Standing::Right) => {}
                Some(Standing::Wrong(why)) => wrong.push(why),
                None => wrong.push(format!("{}: not there", asset.name)),
            }
        }
        if wrong.is_empty() {
            let count = assets.files.len();
            return Ok(Probe::Satisfied(format!(
                "{count} files at {address}, every digest as tested"
            )));
        }
        Ok(Probe::Conflict(format!(
            "{address} is published with other files than the candidate's: {}",
            wrong.join("; ")
        )))
    }

    fn plan(&self) -> Result<Vec<String>, ActionError> {
        let assets = Assets::of(self.job)?;
        let notes = texts::release_notes(self.job)?;
        let found = self.find()?;
        let mut lines = vec![match &found {
            Some(found) => format!("go on with {}", found.release.html_url),
            None => format!("make a draft with the tag {}", self.tag),
        }];
        for asset in &assets.files {
            let standing = match &found {
                Some(found) => self.standing(&assets, asset, found)?,
                None => None,
            };
            lines.push(match standing {
                Some(Standing::Right) => format!("is there   {}", asset.name),
                Some(Standing::Wrong(_)) => format!("once more  {}", asset.name),
                None => format!("upload     {}", asset.name),
            });
        }
        lines.push("download every file, compare, then publish with this note:".into());
        lines.extend(notes.lines().map(|line| format!("  {line}")));
        Ok(lines)
    }

    fn run(&self, say: &mut dyn FnMut(&str)) -> Result<String, ActionError> {
        let assets = Assets::of(self.job)?;
        assets.stage(self.job)?;
        let notes = texts::release_notes(self.job)?;
        let title = format!("{} {}", self.job.product().name, self.job.version);
        let found = match self.find()? {
            Some(found) => found,
            None => Found {
                release: self.github.draft(&self.tag, &title, &notes)?,
                assets: Vec::new(),
            },
        };
        if !found.release.draft {
            return Err(ActionError::Refused(format!(
                "{} is published already, and not as it should be",
                found.release.html_url
            )));
        }
        for asset in &assets.files {
            let standing = self.standing(&assets, asset, &found)?;
            if standing == Some(Standing::Right) {
                continue;
            }
            // A draft is ours until it is published: what is wrong in it was an upload that broke.
            if let Some(there) = found.assets.iter().find(|there| there.name == asset.name) {
                self.github.delete(there)?;
            }
            say(&asset.name);
            self.github
                .upload(&found.release, &asset.name, &asset.path)?;
        }
        let found = self
            .find()?
            .ok_or_else(|| ActionError::Refused(format!("the draft of {} is gone", self.tag)))?;
        for asset in &assets.files {
            say(&format!("{}: downloaded and compared", asset.name));
            match self.standing(&assets, asset, &found)? {
                Some(Standing::Right) => {}
                Some(Standing::Wrong(why)) => return Err(ActionError::Refused(why)),
                None => {
                    let why = format!("{} was uploaded and is not there", asset.name);
                    return Err(ActionError::Refused(why));
                }
            }
        }
        self.github.publish(&found.release)?;
        let count = assets.files.len();
        Ok(format!("{count} files at {}", found.release.html_url))
    }

    fn undo(&self) -> Result<String, ActionError> {
        Err(ActionError::NoUndo(
            ": people may have it. Take it back with “bakelite release yank”",
        ))
    }
}
