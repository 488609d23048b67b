//! Which events count. An event that breaks a rule stays in the journal and changes nothing.

mod course;
mod decision;
mod proof;
mod refusal;
mod work;

use content_digest::Sha256Digest;

use super::{End, Proof, Run, StepState};
use crate::journal::{Event, What};
use crate::template::{Kind, Step};

pub use refusal::Refusal;

impl Run<'_> {
    /// Lets an event count, or says why it does not. Also asked before an event is written.
    pub fn apply(&mut self, event: &Event) -> Result<(), Refusal> {
        if let What::RunStarted { kind, template } = &event.what {
            if self.kind.is_some() {
                return Err(Refusal::Begin);
            }
            if *template != self.template.digest {
                return Err(Refusal::Template {
                    expected: *template,
                    found: self.template.digest,
                });
            }
            self.known(&event.actor)?;
            self.kind = Some(*kind);
            return Ok(());
        }
        if self.kind.is_none() {
            return Err(Refusal::Begin);
        }
        self.known(&event.actor)?;
        match (&self.end, &event.what) {
            (None, _) | (Some(End::Aborted(_)), What::RetroNoted { .. } | What::Closed {}) => {}
            (Some(_), _) => return Err(Refusal::Over),
        }
        match &event.what {
            What::RunStarted { .. } => Err(Refusal::Begin),
            What::CandidateAdded { .. } => self.add_candidate(event),
            What::StepClaimed { .. }
            | What::StepReleased { .. }
            | What::StepDone { .. }
            | What::StepConfirmed { .. }
            | What::StepWaived { .. }
            | What::StepUndone { .. } => self.work_on_step(event),
            What::RoleDelegated { role, to, reason } => {
                self.delegate(&event.actor, role, to, reason)
            }
            What::AttemptStarted { .. } | What::AttemptFinished { .. } => self.attempt(event),
            What::EvidenceAdded { .. } | What::ReviewGiven { .. } => self.prove(event),
            What::FindingAdded { .. } | What::InputGiven { .. } | What::DecisionMade { .. } => {
                self.decide(event)
            }
            What::CheckedIn { .. } | What::WaitExtended { .. } | What::HandoffAnswered { .. } => {
                self.watch(event)
            }
            What::Yanked { .. }
            | What::Aborted { .. }
            | What::RetroNoted { .. }
            | What::Closed {} => self.finish(event),
        }
    }

    fn known(&self, actor: &str) -> Result<(), Refusal> {
        if self.template.people.people.contains_key(actor) {
            return Ok(());
        }
        Err(Refusal::Unknown {
            actor: actor.to_owned(),
        })
    }

    fn needs_role(&self, actor: &str, role: &str) -> Result<(), Refusal> {
        if self.has_role(actor, role) {
            return Ok(());
        }
        Err(Refusal::Role {
            actor: actor.to_owned(),
            role: role.to_owned(),
        })
    }

    fn delegate(&mut self, actor: &str, role: &str, to: &str, reason: &str) -> Result<(), Refusal> {
        // A delegate cannot delegate: whose word it is must stay clear.
        if !self.template.has_role(actor, role) {
            return Err(Refusal::Role {
                actor: actor.to_owned(),
                role: role.to_owned(),
            });
        }
        self.known(to)?;
        needs_reason(reason)?;
        let roles = self.delegates.entry(to.to_owned()).or_default();
        if !roles.iter().any(|known| known == role) {
            roles.push(role.to_owned());
        }
        Ok(())
    }

    fn needs_waiver(&self, actor: &str, reason: &str) -> Result<(), Refusal> {
        if !self.template.may_waive(actor) {
            return Err(Refusal::Role {
                actor: actor.to_owned(),
                role: "somebody who may leave out steps".into(),
            });
        }
        needs_reason(reason)
    }

    fn find_step(&self, name: &str, kinds: &[Kind]) -> Result<Step, Refusal> {
        let step = self.template.step(name);
        let step = step.filter(|step| kinds.is_empty() || kinds.contains(&step.written.kind));
        step.cloned().ok_or_else(|| Refusal::Step {
            step: name.to_owned(),
        })
    }

    fn state(&mut self, step: &Step) -> &mut StepState {
        self.steps
            .get_mut(&step.name)
            .expect("made from the template")
    }

    fn is_current(&self, candidate: Option<Sha256Digest>) -> Result<(), Refusal> {
        if candidate == self.candidate().map(|now| now.digest) {
            return Ok(());
        }
        Err(Refusal::OtherCandidate)
    }

    fn is_ready(&self, step: &Step) -> Result<(), Refusal> {
        let name = step.name.clone();
        if self.is_settled(step) {
            return Err(Refusal::Settled { step: name });
        }
        let by = self.blockers(step);
        if by.is_empty() && self.applies(step).is_some() {
            return Ok(());
        }
        Err(Refusal::Blocked { step: name, by })
    }

    fn is_free(&self, step: &Step, actor: &str) -> Result<(), Refusal> {
        match &self.steps[&step.name].claimed_by {
            Some(by) if by != actor => Err(Refusal::Claimed {
                step: step.name.clone(),
                by: by.clone(),
            }),
            _ => Ok(()),
        }
    }

    fn settle(&mut self, step: &Step, event: &Event, note: &str, waived: bool) {
        let candidate = self.candidate().map(|now| now.digest);
        let state = self.state(step);
        state.claimed_by = None;
        state.proof = Some(Proof {
            candidate,
            by: event.actor.clone(),
            time: event.time,
            note: note.to_owned(),
            waived,
        });
    }
}

fn needs_reason(reason: &str) -> Result<(), Refusal> {
    if reason.trim().is_empty() {
        return Err(Refusal::Reason);
    }
    Ok(())
}
