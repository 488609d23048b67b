//! What comes after publishing, and how a release ends.

use super::{Refusal, needs_reason};
use crate::journal::{Event, What};
use crate::run::{CheckIn, End, Run};
use crate::template::{Action, Kind, Step};

impl Run<'_> {
    pub(super) fn watch(&mut self, event: &Event) -> Result<(), Refusal> {
        match &event.what {
            What::CheckedIn {
                step,
                reports,
                note,
            } => {
                let step = self.find_step(step, &[Kind::Wait])?;
                self.needs_role(&event.actor, &step.written.role)?;
                self.is_ready(&step)?;
                self.state(&step).check_ins.push(CheckIn {
                    by: event.actor.clone(),
                    time: event.time,
                    reports: *reports,
                    note: note.clone(),
                });
            }
            What::WaitExtended {
                step,
                hours,
                reason,
            } => {
                let step = self.find_step(step, &[Kind::Wait])?;
                self.needs_role(&event.actor, &step.written.role)?;
                self.is_ready(&step)?;
                needs_reason(reason)?;
                let state = self.state(&step);
                state.more_hours = state.more_hours.saturating_add(*hours);
            }
            What::HandoffAnswered {
                step,
                candidate,
                image,
                note,
            } => {
                let step = self.find_step(step, &[Kind::Handoff])?;
                self.needs_role(&event.actor, &step.written.role)?;
                self.is_current(Some(*candidate))?;
                self.is_ready(&step)?;
                let expected = self.candidate().map(|candidate| candidate.image);
                self.state(&step).answers.push((*image, note.clone()));
                // A wrong digest is worth keeping, and settles nothing.
                if expected == Some(*image) {
                    self.settle(&step, event, note, false);
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// The public changelog must say that the version was taken back: it is published once more.
    fn reopen_changelogs(&mut self) {
        for step in &self.template.steps {
            if let Some(Action::PublishChangelog { .. }) = &step.written.action {
                let state = self.steps.get_mut(&step.name);
                state.expect("made from the template").proof = None;
            }
        }
    }

    pub(super) fn finish(&mut self, event: &Event) -> Result<(), Refusal> {
        match &event.what {
            What::Yanked { reason } => {
                self.needs_waiver(&event.actor, reason)?;
                if !self.is_past_return() {
                    return Err(Refusal::NothingPublished);
                }
                self.yanked = Some(reason.clone());
                self.reopen_changelogs();
            }
            What::Aborted { reason } => {
                self.needs_waiver(&event.actor, reason)?;
                if self.is_past_return() {
                    return Err(Refusal::PastReturn);
                }
                self.end = Some(End::Aborted(reason.clone()));
            }
            What::RetroNoted { note } => self.retro.push(note.clone()),
            What::Closed {} => {
                let open = |step: &&Step| !self.is_settled(step);
                let steps = self.template.steps.iter().filter(open);
                let by: Vec<String> = steps.map(|step| step.name.clone()).collect();
                let is_given_up = self.yanked.is_some() || self.end.is_some();
                if !by.is_empty() && !is_given_up {
                    return Err(Refusal::Open { by });
                }
                self.end = Some(End::Closed);
            }
            _ => {}
        }
        Ok(())
    }
}
