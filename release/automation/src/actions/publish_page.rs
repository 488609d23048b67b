//! Publishes a draft as Markdown and as a page.

use super::{Action, Probe};
use crate::error::ActionError;
use crate::job::Job;
use crate::stores::{Content, Put, Store};
use crate::{pages, texts};

pub(super) struct PublishPage<'a> {
    pub(super) job: &'a Job<'a>,
    pub(super) store: Box<dyn Store>,
    pub(super) file: &'a str,
    pub(super) page: &'a str,
}

impl PublishPage<'_> {
    /// Both forms: name and text.
    fn wanted(&self) -> Result<[(String, String); 2], ActionError> {
        let file = self.job.path(self.file);
        let text = fs_err::read_to_string(&file).map_err(ActionError::read(&file))?;
        let text = texts::strip_comments(&text) + "\n";
        if !text.contains(self.job.version) {
            return Err(ActionError::Refused(format!(
                "{} does not name {}: is it the right draft?",
                file.display(),
                self.job.version
            )));
        }
        let title = format!("{} {}", self.job.product().name, self.job.version);
        let page = pages::page(&title, &text);
        let name = self.job.named(self.page);
        Ok([(format!("{name}.md"), text), (format!("{name}.html"), page)])
    }

    fn is(&self, name: &str, text: &str) -> Result<bool, ActionError> {
        Ok(self.store.read(name)?.as_deref() == Some(text.as_bytes()))
    }
}

impl Action for PublishPage<'_> {
    fn probe(&self) -> Result<Probe, ActionError> {
        let [markdown, page] = self.wanted()?;
        let is_public = self.is(&markdown.0, &markdown.1)? && self.is(&page.0, &page.1)?;
        Ok(if is_public {
            Probe::Satisfied(self.store.address(&page.0))
        } else {
            Probe::Absent
        })
    }

    fn plan(&self) -> Result<Vec<String>, ActionError> {
        let wanted = self.wanted()?;
        let mut lines: Vec<String> = wanted
            .iter()
            .map(|(name, _)| format!("write {}", self.store.address(name)))
            .collect();
        lines.extend(wanted[0].1.lines().map(|line| format!("  {line}")));
        Ok(lines)
    }

    fn run(&self, say: &mut dyn FnMut(&str)) -> Result<String, ActionError> {
        let wanted = self.wanted()?;
        for (name, text) in &wanted {
            if !self.is(name, text)? {
                say(&self.store.address(name));
                self.store
                    .put(name, Content::Bytes(text.as_bytes()), Put::Replace)?;
            }
        }
        Ok(self.store.address(&wanted[1].0))
    }

    fn undo(&self) -> Result<String, ActionError> {
        let name = self.job.named(self.page);
        for extension in ["md", "html"] {
            self.store.delete(&format!("{name}.{extension}"))?;
        }
        Ok(format!("{} is gone", self.store.address(&name)))
    }
}
