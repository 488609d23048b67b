//! Drafts: what a person goes on with. A draft that is there is never touched.

use std::path::PathBuf;

use release::advisory;
use release::changelog::{self, ChangeKind, Fragment};

use super::{Action, Probe};
use crate::error::ActionError;
use crate::job::{Job, write_whole};
use crate::texts;

/// A text of the template.
pub(super) struct Draft<'a> {
    pub(super) job: &'a Job<'a>,
    pub(super) text: &'a str,
    pub(super) file: &'a str,
}

impl Action for Draft<'_> {
    fn probe(&self) -> Result<Probe, ActionError> {
        let file = self.job.path(self.file);
        if file.exists() {
            return Ok(Probe::Satisfied(format!("{} is there", file.display())));
        }
        Ok(Probe::Absent)
    }

    fn plan(&self) -> Result<Vec<String>, ActionError> {
        let text = texts::render(self.job, self.text)?;
        let mut lines = vec![format!("write {}:", self.job.path(self.file).display())];
        lines.extend(text.lines().map(|line| format!("+ {line}")));
        Ok(lines)
    }

    fn run(&self, _say: &mut dyn FnMut(&str)) -> Result<String, ActionError> {
        let file = self.job.path(self.file);
        let text = texts::render(self.job, self.text)?;
        write_whole(&file, (text + "\n").as_bytes())?;
        Ok(format!("{} waits for your words", file.display()))
    }
}

/// A draft of an advisory for every security fragment.
pub(super) struct Advisories<'a> {
    pub(super) job: &'a Job<'a>,
}

impl Advisories<'_> {
    /// Drafts that are missing: their files and what is to be in them.
    fn missing(&self) -> Result<Vec<(PathBuf, String)>, ActionError> {
        let product = self.job.product();
        let folder = self.job.project.join(&product.advisories);
        let fragments = self.job.project.join(&product.fragments);
        let fragments = changelog::read_folder(&fragments, Some(self.job.run.template()))?;
        let is_security = |fragment: &&Fragment| fragment.kind == ChangeKind::Security;
        let year = self.job.time.strftime("%Y").to_string();
        let prefix: String = product
            .publisher
            .to_uppercase()
            .chars()
            .filter(char::is_ascii_alphanumeric)
            .collect();
        let mut number = count_toml(&folder);
        let mut missing = Vec::new();
        for fragment in fragments.iter().filter(is_security) {
            let file = folder.join(format!("{}.toml", fragment.name));
            if !file.exists() {
                number += 1;
                let id = format!("{prefix}-{year}-{number:03}");
                missing.push((file, advisory::draft_for(fragment, &id)));
            }
        }
        Ok(missing)
    }
}

/// Counts drafts, those that were published too: numbers go on.
fn count_toml(folder: &std::path::Path) -> usize {
    let entries = fs_err::read_dir(folder).into_iter().flatten().flatten();
    entries
        .map(|entry| entry.path())
        .map(|path| match path.extension() {
            Some(extension) if extension == "toml" => 1,
            _ if path.is_dir() => count_toml(&path),
            _ => 0,
        })
        .sum()
}

impl Action for Advisories<'_> {
    fn probe(&self) -> Result<Probe, ActionError> {
        Ok(match self.missing()?.as_slice() {
            [] => Probe::Satisfied("every security fragment has its draft".into()),
            _ => Probe::Absent,
        })
    }

    fn plan(&self) -> Result<Vec<String>, ActionError> {
        let missing = self.missing()?;
        Ok(missing
            .into_iter()
            .map(|(file, _)| format!("write {}", file.display()))
            .collect())
    }

    fn run(&self, say: &mut dyn FnMut(&str)) -> Result<String, ActionError> {
        let missing = self.missing()?;
        for (file, text) in &missing {
            say(&file.display().to_string());
            write_whole(file, text.as_bytes())?;
        }
        Ok(format!("{} drafts wait for your words", missing.len()))
    }
}
