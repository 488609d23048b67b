//! Writes the changelog's entry from fragments, with the image hashes.

use std::path::PathBuf;

use release::changelog::{self, Fragment, hash_block};

use super::{Action, Probe};
use crate::error::ActionError;
use crate::job::{Job, write_whole};

pub(super) struct Changelog<'a> {
    pub(super) job: &'a Job<'a>,
}

impl Changelog<'_> {
    fn file(&self) -> PathBuf {
        self.job.project.join(&self.job.product().changelog)
    }

    /// Fragments that wait, and those that were moved away when this version was published.
    fn fragments(&self) -> Result<Vec<Fragment>, ActionError> {
        let folder = self.job.project.join(&self.job.product().fragments);
        let template = Some(self.job.run.template());
        let mut fragments = changelog::read_folder(&folder, template)?;
        let released = folder.join("released").join(self.job.version);
        fragments.extend(changelog::read_folder(&released, template)?);
        if fragments.is_empty() {
            return Err(ActionError::Refused(format!(
                "there is no fragment in {}: a release without a change needs none",
                folder.display()
            )));
        }
        Ok(fragments)
    }

    fn wanted(&self, before: &str) -> Result<String, ActionError> {
        let date = self.job.candidate()?.time.strftime("%Y-%m-%d").to_string();
        let body = changelog::body(&self.fragments()?);
        let text = changelog::insert(before, self.job.version, &date, &body);
        let build = self.job.build()?;
        let key = self.job.product().minisign.as_deref();
        hash_block::update(&text, self.job.version, &build.manifest, build.digest, key)
            .map_err(ActionError::HashBlock)
    }
}

impl Action for Changelog<'_> {
    fn probe(&self) -> Result<Probe, ActionError> {
        let before = self.job.changelog()?;
        if self.wanted(&before)? == before {
            let file = self.file();
            return Ok(Probe::Satisfied(format!(
                "{} is up to date",
                file.display()
            )));
        }
        Ok(Probe::Absent)
    }

    fn plan(&self) -> Result<Vec<String>, ActionError> {
        let before = self.job.changelog()?;
        let after = self.wanted(&before)?;
        let mut lines = vec![format!("write {}:", self.file().display())];
        let old = changelog::find(&before, self.job.version).map_or(String::new(), |e| e.text);
        let new = changelog::find(&after, self.job.version).map_or(String::new(), |e| e.text);
        let gone = old
            .lines()
            .filter(|line| !new.lines().any(|other| other == *line));
        lines.extend(gone.map(|line| format!("- {line}")));
        lines.extend(new.lines().map(|line| {
            let is_old = old.lines().any(|other| other == line);
            format!("{} {line}", if is_old { " " } else { "+" })
        }));
        Ok(lines)
    }

    fn run(&self, _say: &mut dyn FnMut(&str)) -> Result<String, ActionError> {
        let after = self.wanted(&self.job.changelog()?)?;
        write_whole(&self.file(), after.as_bytes())?;
        let count = self.fragments()?.len();
        Ok(format!("{count} fragments in {}", self.file().display()))
    }

    fn undo(&self) -> Result<String, ActionError> {
        let before = self.job.changelog()?;
        let after = changelog::remove(&before, self.job.version);
        write_whole(&self.file(), after.as_bytes())?;
        Ok(format!("the entry of {} is out again", self.job.version))
    }
}
