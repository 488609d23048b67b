//! The actions, one a module. Each asks, plans, does, and takes back where it can.

mod changelog;
mod check_hashes;
mod check_links;
mod check_page;
mod draft;
mod message;
mod program;
mod publish;
mod publish_advisories;
mod publish_changelog;
mod publish_page;
mod publish_release;

use release::template::{Action as Written, TargetToml};

use crate::error::ActionError;
use crate::job::Job;
use crate::stores;

/// How the world is, compared to how it should be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Probe {
    /// It is as it should be. What was found, for the journal.
    Satisfied(String),
    /// It is not yet: the action may go on, also from the middle.
    Absent,
    /// It is otherwise. A person must look.
    Conflict(String),
}

/// Something that a program does to the world.
pub trait Action {
    /// Asks how the world is. Changes nothing.
    fn probe(&self) -> Result<Probe, ActionError>;

    /// Says what it would do, a line each. Changes nothing.
    fn plan(&self) -> Result<Vec<String>, ActionError>;

    /// Does what is missing. May be called again after any interruption.
    fn run(&self, say: &mut dyn FnMut(&str)) -> Result<String, ActionError>;

    /// Takes it back.
    fn undo(&self) -> Result<String, ActionError> {
        Err(ActionError::NoUndo(""))
    }

    /// Whether the world can be asked if it was done. A message that was sent cannot be seen.
    fn can_probe(&self) -> bool {
        true
    }
}

/// Returns the action of the job's step.
pub fn of_step<'a>(job: &'a Job<'a>) -> Result<Box<dyn Action + 'a>, ActionError> {
    let Some(action) = &job.step.written.action else {
        return Err(ActionError::Refused(format!(
            "{} has no action: a person does it, with the playbook",
            job.step.name
        )));
    };
    let store = |target: &str| stores::open(job.target(target), job.project, job.secrets);
    Ok(match action {
        Written::Candidate {} => {
            return Err(ActionError::Refused(
                "build the image and run “bakelite release candidate add MANIFEST”".into(),
            ));
        }
        Written::Changelog {} => Box::new(changelog::Changelog { job }),
        Written::Draft { text, file } => Box::new(draft::Draft { job, text, file }),
        Written::DraftAdvisories {} => Box::new(draft::Advisories { job }),
        Written::Program { run, probe, undo } => Box::new(program::Program {
            job,
            run,
            probe,
            undo,
        }),
        Written::PublishChangelog { target } => Box::new(publish_changelog::PublishChangelog {
            job,
            store: store(target)?,
        }),
        Written::Publish {
            target,
            imager_list,
        } => match job.target(target) {
            TargetToml::Github {
                repository,
                api,
                tag,
            } => Box::new(publish_release::PublishRelease::new(
                job,
                repository,
                api.as_deref(),
                tag,
            )?),
            _ => Box::new(publish::Publish {
                job,
                store: store(target)?,
                imager_list: *imager_list,
            }),
        },
        Written::PublishAdvisories { target } => Box::new(publish_advisories::PublishAdvisories {
            job,
            store: store(target)?,
        }),
        Written::PublishPage { target, file, page } => Box::new(publish_page::PublishPage {
            job,
            store: store(target)?,
            file,
            page,
        }),
        Written::CheckPage { address } => Box::new(check_page::CheckPage { job, address }),
        Written::CheckHashes { changelog, files } => Box::new(check_hashes::CheckHashes {
            job,
            changelog,
            files,
        }),
        Written::CheckLinks { files } => Box::new(check_links::CheckLinks { job, files }),
        Written::Mail { to, text } => Box::new(message::Mail { job, to, text }),
        Written::Webhook { address_from, text } => Box::new(message::Webhook {
            job,
            address_from,
            text,
        }),
    })
}
