//! One attempt of an automated step: nothing is done twice, and whatever happens is recorded.

use std::error::Error;

use content_digest::Sha256Digest;
use release::journal::{Outcome, What};

use crate::actions::{Action, Probe};
use crate::error::ActionError;
use crate::job::Secrets;

/// An attempt did not come to its end.
#[derive(Debug, thiserror::Error)]
pub enum AttemptError<E: Error + 'static> {
    /// The action failed. It was recorded, if anything had begun.
    #[error(transparent)]
    Action(ActionError),
    /// The world is neither as it should be nor as it was.
    #[error("{0}")]
    Conflict(String),
    /// The journal could not be written.
    #[error(transparent)]
    Journal(E),
}

/// Carries a step out. `is_open` says that an attempt began before and nobody knows how it ended.
///
/// The world is asked first: what is done already is only recorded; where it contradicts, nothing is touched.
/// After the action it is asked again, and only its answer counts.
pub fn carry_out<E: Error + 'static>(
    action: &dyn Action,
    step: &str,
    candidate: Option<Sha256Digest>,
    is_open: bool,
    secrets: &Secrets<'_>,
    record: &mut dyn FnMut(What) -> Result<(), E>,
    say: &mut dyn FnMut(&str),
) -> Result<String, AttemptError<E>> {
    let step = step.to_owned();
    let started = || What::AttemptStarted {
        step: step.clone(),
        candidate,
    };
    let finished = |outcome, note: &str| What::AttemptFinished {
        step: step.clone(),
        candidate,
        outcome,
        note: secrets.redact(note),
    };
    match action.probe().map_err(AttemptError::Action)? {
        Probe::Satisfied(note) => {
            if !is_open {
                record(started()).map_err(AttemptError::Journal)?;
            }
            record(finished(Outcome::Done, &note)).map_err(AttemptError::Journal)?;
            return Ok(note);
        }
        Probe::Conflict(why) => {
            // Who must look cannot look at an attempt that seems to run.
            if is_open && action.can_probe() {
                record(finished(Outcome::Failed, &why)).map_err(AttemptError::Journal)?;
            }
            return Err(AttemptError::Conflict(why));
        }
        Probe::Absent => {}
    }
    if !is_open {
        record(started()).map_err(AttemptError::Journal)?;
    }
    let done = action.run(say).and_then(|note| {
        if !action.can_probe() {
            return Ok(note);
        }
        match action.probe()? {
            Probe::Satisfied(_) => Ok(note),
            Probe::Absent => Err(ActionError::Refused(
                "it was done, but the world does not show it".into(),
            )),
            Probe::Conflict(why) => Err(ActionError::Refused(why)),
        }
    });
    match done {
        Ok(note) => {
            record(finished(Outcome::Done, &note)).map_err(AttemptError::Journal)?;
            Ok(note)
        }
        Err(error) => {
            record(finished(Outcome::Failed, &chain(&error))).map_err(AttemptError::Journal)?;
            Err(AttemptError::Action(error))
        }
    }
}

/// An error with its causes, in one line.
fn chain(error: &ActionError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(&format!(": {error}"));
        cause = error.source();
    }
    text
}
