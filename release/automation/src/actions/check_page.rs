//! Looks whether a page that somebody put online names the version.

use super::{Action, Probe};
use crate::error::ActionError;
use crate::http;
use crate::job::Job;

pub(super) struct CheckPage<'a> {
    pub(super) job: &'a Job<'a>,
    pub(super) address: &'a str,
}

impl Action for CheckPage<'_> {
    fn probe(&self) -> Result<Probe, ActionError> {
        let address = self.job.named(self.address);
        let text = http::page(&http::client()?, &address)?;
        Ok(match text {
            Some(text) if text.contains(self.job.version) => {
                Probe::Satisfied(format!("{address} names {}", self.job.version))
            }
            _ => Probe::Absent,
        })
    }

    fn plan(&self) -> Result<Vec<String>, ActionError> {
        let address = self.job.named(self.address);
        Ok(vec![format!(
            "read {address} and look for {}",
            self.job.version
        )])
    }

    fn run(&self, _say: &mut dyn FnMut(&str)) -> Result<String, ActionError> {
        Err(ActionError::Refused(format!(
            "{} is not there, or does not name {}: put it online first",
            self.job.named(self.address),
            self.job.version
        )))
    }
}
