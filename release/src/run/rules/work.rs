//! Candidates, and what people and programs do for them.

use super::{Refusal, needs_reason};
use crate::journal::{Event, Outcome, What};
use crate::run::{Attempt, Candidate, Run};
use crate::template::{Action, Chore, Effect, Kind, Step};

impl Run<'_> {
    pub(super) fn add_candidate(&mut self, event: &Event) -> Result<(), Refusal> {
        let What::CandidateAdded {
            candidate,
            label,
            image,
            facts,
            owners,
        } = &event.what
        else {
            return Ok(());
        };
        let is_builder = |step: &&Step| step.written.action == Some(Action::Candidate {});
        let builder = self.template.steps.iter().find(is_builder).cloned();
        if let Some(step) = &builder {
            self.needs_role(&event.actor, &step.written.role)?;
        }
        if self.is_past_return() {
            return Err(Refusal::PastReturn);
        }
        let taken = |known: &Candidate| known.digest == *candidate || known.label == *label;
        if self.candidates.iter().any(taken) {
            return Err(Refusal::Candidate {
                why: "it was a candidate before, or another one has its label",
            });
        }
        self.candidates.push(Candidate {
            digest: *candidate,
            label: label.clone(),
            image: *image,
            facts: facts.clone(),
            owners: owners.clone(),
            time: event.time,
        });
        // Whoever was at something was at it for another candidate.
        for state in self.steps.values_mut() {
            state.claimed_by = None;
        }
        if let Some(step) = builder {
            self.settle(&step, event, label, false);
        }
        Ok(())
    }

    pub(super) fn work_on_step(&mut self, event: &Event) -> Result<(), Refusal> {
        let actor = &event.actor;
        match &event.what {
            What::StepClaimed { step } => {
                let step = self.find_step(step, &[])?;
                if !self.may_work_on(actor, &step) {
                    return Err(Refusal::Role {
                        actor: actor.clone(),
                        role: step.written.role,
                    });
                }
                self.is_ready(&step)?;
                self.is_free(&step, actor)?;
                let state = self.state(&step);
                state.claimed_by = Some(actor.clone());
                state.claimed_at = Some(event.time);
            }
            What::StepReleased { step } => {
                let step = self.find_step(step, &[])?;
                if !self.template.may_waive(actor) {
                    self.is_free(&step, actor)?;
                }
                self.state(&step).claimed_by = None;
            }
            What::StepDone {
                step,
                candidate,
                note,
            } => {
                let kinds = [Kind::Manual, Kind::Form, Kind::Approval, Kind::Wait];
                let step = self.find_step(step, &kinds)?;
                self.needs_role(actor, &step.written.role)?;
                self.is_current(*candidate)?;
                self.is_ready(&step)?;
                self.is_free(&step, actor)?;
                self.has_evidence(&step)?;
                if step.written.kind == Kind::Wait {
                    let over = self.wait(&step, event.time);
                    if !over.is_some_and(|(until, due)| until <= event.time && due.is_empty()) {
                        return Err(Refusal::Waiting { step: step.name });
                    }
                }
                self.settle(&step, event, note, false);
            }
            What::StepConfirmed {
                step,
                candidate,
                reason,
            } => {
                // What people judged must be judged anew.
                let step = self.find_step(step, &[Kind::Manual, Kind::Form, Kind::Command])?;
                self.needs_role(actor, &step.written.role)?;
                self.is_current(Some(*candidate))?;
                self.is_ready(&step)?;
                needs_reason(reason)?;
                // What was left out was not done, and is left out anew or not.
                let proof = self.steps[&step.name].proof.as_ref();
                let was_done = proof.is_some_and(|proof| !proof.waived);
                if !was_done || step.written.effect == Effect::Irreversible {
                    return Err(Refusal::Step { step: step.name });
                }
                self.settle(&step, event, reason, false);
            }
            What::StepWaived { step, reason } => {
                let step = self.find_step(step, &[])?;
                self.needs_waiver(actor, reason)?;
                if step.written.kind == Kind::Decision {
                    return Err(Refusal::Step { step: step.name });
                }
                if self.is_settled(&step) {
                    return Err(Refusal::Settled { step: step.name });
                }
                self.settle(&step, event, reason, true);
            }
            What::StepUndone { step, note } => self.take_back(actor, step, note)?,
            _ => {}
        }
        Ok(())
    }

    fn take_back(&mut self, actor: &str, step: &str, note: &str) -> Result<(), Refusal> {
        let step = self.find_step(step, &[Kind::Command])?;
        self.needs_role(actor, &step.written.role)?;
        needs_reason(note)?;
        if step.written.effect == Effect::Irreversible {
            return Err(Refusal::PastReturn);
        }
        // What later steps stand on is not pulled away from under them.
        let stands_on = |later: &&Step| {
            later.written.after.contains(&step.name)
                && self.steps[&later.name].proof.is_some()
                && self.is_settled(later)
        };
        let by: Vec<String> = self
            .template
            .steps
            .iter()
            .filter(stands_on)
            .map(|later| later.name.clone())
            .collect();
        if !by.is_empty() {
            return Err(Refusal::Followed {
                step: step.name,
                by,
            });
        }
        let state = self.state(&step);
        state.proof = None;
        state.claimed_by = None;
        Ok(())
    }

    pub(super) fn has_evidence(&self, step: &Step) -> Result<(), Refusal> {
        let (needed, found) = (step.written.evidence, self.evidence_of(step).len());
        if found >= needed {
            return Ok(());
        }
        Err(Refusal::Evidence {
            step: step.name.clone(),
            needed,
            found,
        })
    }

    pub(super) fn attempt(&mut self, event: &Event) -> Result<(), Refusal> {
        match &event.what {
            What::AttemptStarted { step, candidate } => {
                let step = self.find_step(step, &[Kind::Command])?;
                self.needs_role(&event.actor, &step.written.role)?;
                self.is_current(*candidate)?;
                self.is_ready(&step)?;
                self.is_free(&step, &event.actor)?;
                if step.written.action.as_ref().map(Action::chore) != Some(Chore::Whole) {
                    return Err(Refusal::Step { step: step.name });
                }
                let last = self.steps[&step.name].attempts.last();
                if last.is_some_and(|attempt| attempt.outcome.is_none()) {
                    return Err(Refusal::Attempt {
                        step: step.name,
                        why: "an attempt is open: probe what it did first",
                    });
                }
                self.state(&step).attempts.push(Attempt {
                    candidate: *candidate,
                    time: event.time,
                    outcome: None,
                    note: String::new(),
                });
            }
            What::AttemptFinished {
                step,
                candidate,
                outcome,
                note,
            } => {
                let step = self.find_step(step, &[Kind::Command])?;
                self.needs_role(&event.actor, &step.written.role)?;
                let open = self.state(&step).attempts.last_mut();
                let open = open.filter(|a| a.outcome.is_none() && a.candidate == *candidate);
                let Some(open) = open else {
                    return Err(Refusal::Attempt {
                        step: step.name,
                        why: "no attempt for this candidate is open",
                    });
                };
                open.outcome = Some(*outcome);
                open.note.clone_from(note);
                if *outcome == Outcome::Done && self.is_current(*candidate).is_ok() {
                    self.settle(&step, event, note, false);
                }
            }
            _ => {}
        }
        Ok(())
    }
}
