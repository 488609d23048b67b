//! Publishes the changelog as Markdown and as a page, and puts its fragments away.

use std::path::PathBuf;

use release::changelog::{self, hash_block};

use super::{Action, Probe};
use crate::error::ActionError;
use crate::job::Job;
use crate::pages;
use crate::stores::{Content, Put, Store};

pub(super) struct PublishChangelog<'a> {
    pub(super) job: &'a Job<'a>,
    pub(super) store: Box<dyn Store>,
}

/// Names that it is published under.
pub(super) const MARKDOWN: &str = "CHANGELOG.md";
const PAGE: &str = "changelog.html";

impl PublishChangelog<'_> {
    /// The changelog, if its entry is that of the candidate.
    fn wanted(&self) -> Result<String, ActionError> {
        let text = self.job.changelog()?;
        let image = self.job.candidate()?.image;
        let rows = hash_block::read(&text, self.job.version);
        if !rows.iter().any(|row| row.download == image) {
            return Err(ActionError::Refused(format!(
                "the changelog's entry of {} has not the hashes of the candidate: run the step that drafts it",
                self.job.version
            )));
        }
        Ok(text)
    }

    fn page(&self, text: &str) -> String {
        pages::page(&format!("{}: changelog", self.job.product().name), text)
    }

    /// Fragments that were published and still wait, with their place afterwards.
    fn moves(&self) -> Result<Vec<(PathBuf, PathBuf)>, ActionError> {
        let folder = self.job.project.join(&self.job.product().fragments);
        let fragments = changelog::read_folder(&folder, None)?;
        let released = folder.join("released").join(self.job.version);
        let place = |name: String| {
            let file = format!("{name}.md");
            (folder.join(&file), released.join(&file))
        };
        Ok(fragments
            .into_iter()
            .map(|fragment| place(fragment.name))
            .collect())
    }

    fn is(&self, name: &str, text: &str) -> Result<bool, ActionError> {
        Ok(self.store.read(name)?.as_deref() == Some(text.as_bytes()))
    }
}

impl Action for PublishChangelog<'_> {
    fn probe(&self) -> Result<Probe, ActionError> {
        let text = self.wanted()?;
        let is_public = self.is(MARKDOWN, &text)? && self.is(PAGE, &self.page(&text))?;
        if is_public && self.moves()?.is_empty() {
            return Ok(Probe::Satisfied(self.store.address(PAGE)));
        }
        Ok(Probe::Absent)
    }

    fn plan(&self) -> Result<Vec<String>, ActionError> {
        let text = self.wanted()?;
        let mut lines = Vec::new();
        for (name, text) in [(MARKDOWN, text.clone()), (PAGE, self.page(&text))] {
            let what = if self.is(name, &text)? {
                "is there  "
            } else {
                "write     "
            };
            lines.push(format!("{what} {}", self.store.address(name)));
        }
        let moves = self.moves()?;
        lines.extend(
            moves
                .iter()
                .map(|(from, to)| format!("put away   {} → {}", from.display(), to.display())),
        );
        Ok(lines)
    }

    fn run(&self, say: &mut dyn FnMut(&str)) -> Result<String, ActionError> {
        let text = self.wanted()?;
        for (name, text) in [(MARKDOWN, text.clone()), (PAGE, self.page(&text))] {
            if !self.is(name, &text)? {
                say(&self.store.address(name));
                self.store
                    .put(name, Content::Bytes(text.as_bytes()), Put::Replace)?;
            }
        }
        for (from, to) in self.moves()? {
            let put_away = || {
                fs_err::create_dir_all(to.parent().unwrap_or(&to))?;
                fs_err::rename(&from, &to)
            };
            put_away().map_err(ActionError::write(&to))?;
        }
        Ok(self.store.address(PAGE))
    }

    fn undo(&self) -> Result<String, ActionError> {
        let text = changelog::remove(&self.job.changelog()?, self.job.version);
        for (name, text) in [(MARKDOWN, text.clone()), (PAGE, self.page(&text))] {
            self.store
                .put(name, Content::Bytes(text.as_bytes()), Put::Replace)?;
        }
        let folder = self.job.project.join(&self.job.product().fragments);
        let released = folder.join("released").join(self.job.version);
        for fragment in changelog::read_folder(&released, None)? {
            let file = format!("{}.md", fragment.name);
            let back = folder.join(&file);
            fs_err::rename(released.join(&file), &back).map_err(ActionError::write(&back))?;
        }
        Ok(format!(
            "{} is without {} again",
            self.store.address(PAGE),
            self.job.version
        ))
    }
}
