//! Publishes advisories as CSAF, OSV and Markdown, and puts their drafts away.

use std::path::{Path, PathBuf};

use artifact_manifest::Role;
use content_digest::Sha256Digest;
use release::advisory::{self, Draft, Publication};

use super::{Action, Probe};
use crate::error::ActionError;
use crate::job::Job;
use crate::pages;
use crate::stores::{Content, Put, Store};

pub(super) struct PublishAdvisories<'a> {
    pub(super) job: &'a Job<'a>,
    pub(super) store: Box<dyn Store>,
}

impl PublishAdvisories<'_> {
    fn folder(&self) -> PathBuf {
        self.job.project.join(&self.job.product().advisories)
    }

    /// Where drafts lie once they are published.
    fn published(&self) -> PathBuf {
        self.folder().join("published").join(self.job.version)
    }

    fn publication(&self) -> Result<Publication<'_>, ActionError> {
        let build = self.job.build()?;
        let images = build
            .manifest
            .files
            .iter()
            .filter(|file| file.role == Role::Image);
        let product = self.job.product();
        Ok(Publication {
            product: &product.name,
            publisher: &product.publisher,
            website: &product.website,
            fixed: self.job.version,
            images: images
                .map(|image| (image.name.clone(), image.sha256))
                .collect(),
            time: self.job.time,
        })
    }

    /// Every file of every advisory: name and text.
    fn files(&self, drafts: &[Draft]) -> Result<Vec<(String, String)>, ActionError> {
        let publication = self.publication()?;
        let pretty = |value| serde_json::to_string_pretty(&value).expect("plain data") + "\n";
        let mut files = Vec::new();
        for draft in drafts {
            let name = format!("advisories/{}", advisory::file_name(&draft.id));
            let file = advisory::file_name(&draft.id) + ".json";
            let csaf = pretty(advisory::csaf(draft, &publication));
            let sum = format!("{}  {file}\n", Sha256Digest::of(&csaf));
            let markdown = advisory::markdown(draft, &publication);
            let page = pages::page(&format!("{}: {}", draft.id, draft.title), &markdown);
            files.push((
                format!("{name}.osv.json"),
                pretty(advisory::osv(draft, &publication)),
            ));
            files.push((format!("{name}.md"), markdown));
            files.push((format!("{name}.html"), page));
            // The sum is fetched after the document (CSAF 2.0, §7.1.18).
            files.push((format!("{name}.json"), csaf));
            files.push((format!("{name}.json.sha256"), sum));
        }
        Ok(files)
    }

    fn is(&self, name: &str, text: &str) -> Result<bool, ActionError> {
        Ok(self.store.read(name)?.as_deref() == Some(text.as_bytes()))
    }

    fn are_public(&self, drafts: &[Draft]) -> Result<bool, ActionError> {
        for (name, text) in self.files(drafts)? {
            if !self.is(&name, &text)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn drafts(folder: &Path) -> Result<Vec<Draft>, ActionError> {
    Ok(advisory::read_folder(folder)?)
}

impl Action for PublishAdvisories<'_> {
    fn probe(&self) -> Result<Probe, ActionError> {
        if !drafts(&self.folder())?.is_empty() {
            return Ok(Probe::Absent);
        }
        let published = drafts(&self.published())?;
        if published.is_empty() {
            return Err(ActionError::Refused(format!(
                "there is no draft in {}: run the step that drafts advisories",
                self.folder().display()
            )));
        }
        if self.are_public(&published)? {
            let place = self.store.address("advisories/");
            return Ok(Probe::Satisfied(format!(
                "{} advisories at {place}",
                published.len()
            )));
        }
        Ok(Probe::Absent)
    }

    fn plan(&self) -> Result<Vec<String>, ActionError> {
        let waiting = drafts(&self.folder())?;
        let mut lines = Vec::new();
        for (name, text) in self.files(&waiting)? {
            let what = if self.is(&name, &text)? {
                "is there  "
            } else {
                "write     "
            };
            lines.push(format!("{what} {}", self.store.address(&name)));
        }
        Ok(lines)
    }

    fn run(&self, say: &mut dyn FnMut(&str)) -> Result<String, ActionError> {
        let waiting = drafts(&self.folder())?;
        let before = drafts(&self.published())?;
        let all: Vec<Draft> = before.into_iter().chain(waiting).collect();
        for (name, text) in self.files(&all)? {
            if !self.is(&name, &text)? {
                say(&self.store.address(&name));
                self.store
                    .put(&name, Content::Bytes(text.as_bytes()), Put::Replace)?;
            }
        }
        let to = self.published();
        let put_away = || {
            fs_err::create_dir_all(&to)?;
            for entry in fs_err::read_dir(self.folder())? {
                let path = entry?.path();
                if path
                    .extension()
                    .is_some_and(|extension| extension == "toml")
                {
                    fs_err::rename(&path, to.join(path.file_name().unwrap_or_default()))?;
                }
            }
            Ok(())
        };
        put_away().map_err(ActionError::write(&to))?;
        let place = self.store.address("advisories/");
        Ok(format!("{} advisories at {place}", all.len()))
    }

    fn undo(&self) -> Result<String, ActionError> {
        Err(ActionError::NoUndo(": what was told cannot be untold"))
    }
}
