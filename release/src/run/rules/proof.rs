//! Evidence, and who looks at it.

use std::collections::{BTreeMap, BTreeSet};

use content_digest::Sha256Digest;

use super::Refusal;
use crate::journal::{Event, What};
use crate::run::{Evidence, Review, Run};
use crate::template::{Kind, Step, reviewers};

impl Run<'_> {
    pub(super) fn prove(&mut self, event: &Event) -> Result<(), Refusal> {
        match &event.what {
            What::EvidenceAdded {
                step,
                candidate,
                file,
            } => {
                let step = self.find_step(step, &[])?;
                self.needs_role(&event.actor, &step.written.role)?;
                self.is_current(Some(*candidate))?;
                self.state(&step).evidence.push(Evidence {
                    candidate: *candidate,
                    by: event.actor.clone(),
                    file: file.clone(),
                });
            }
            What::ReviewGiven {
                step,
                candidate,
                evidence,
                approves,
                note,
            } => {
                let step = self.find_step(step, &[Kind::Review])?;
                self.check_review(event, &step, *candidate, evidence)?;
                self.state(&step).reviews.push(Review {
                    candidate: *candidate,
                    by: event.actor.clone(),
                    time: event.time,
                    evidence: evidence.clone(),
                    approves: *approves,
                    note: note.clone(),
                });
                if self.is_approved(&step) {
                    self.settle(&step, event, note, false);
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn check_review(
        &self,
        event: &Event,
        step: &Step,
        candidate: Sha256Digest,
        seen: &[Sha256Digest],
    ) -> Result<(), Refusal> {
        let actor = &event.actor;
        if !self.may_review(actor, step) {
            return Err(Refusal::Role {
                actor: actor.clone(),
                role: step.written.role.clone(),
            });
        }
        self.is_current(Some(candidate))?;
        self.is_ready(step)?;
        let mut missing = 0;
        for name in &step.written.reviews {
            let reviewed = self.find_step(name, &[])?;
            let performer = self.steps[name].proof.as_ref().map(|proof| &proof.by);
            let evidence = self.evidence_of(&reviewed);
            if performer == Some(actor) || evidence.iter().any(|e| e.by == *actor) {
                return Err(Refusal::OwnWork {
                    actor: actor.clone(),
                    step: name.clone(),
                });
            }
            missing += evidence
                .iter()
                .filter(|e| !seen.contains(&e.file.sha256))
                .count();
        }
        if missing > 0 {
            return Err(Refusal::NotLookedAt { missing });
        }
        Ok(())
    }

    /// Whether somebody of every reviewing role approves, every owner of changed behaviour does, and
    /// nobody's last word is no.
    pub(super) fn is_approved(&self, step: &Step) -> bool {
        let now = self.candidate().map(|candidate| candidate.digest);
        let mut last = BTreeMap::new();
        for review in &self.steps[&step.name].reviews {
            if Some(review.candidate) == now {
                last.insert(review.by.as_str(), review.approves);
            }
        }
        let approving: BTreeSet<&str> = last
            .iter()
            .filter(|(_, yes)| **yes)
            .map(|(name, _)| *name)
            .collect();
        approving.len() == last.len()
            && reviewers(step)
                .into_iter()
                .all(|role| approving.iter().any(|name| self.has_role(name, role)))
            && self
                .owners(step)
                .iter()
                .all(|owner| approving.contains(owner.as_str()))
    }
}
