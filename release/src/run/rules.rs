//! Which events count. An event that breaks a rule stays in the journal and changes nothing.

use std::collections::BTreeSet;

use content_digest::Sha256Digest;

use super::{
    Attempt, Candidate, CheckIn, Decision, End, Evidence, Finding, Proof, Review, Run, StepState,
};
use crate::journal::{Disposition, Event, Outcome, Verdict, What};
use crate::template::{Effect, Kind, Step, reviewers};

/// The action of the step that brings candidates.
pub const CANDIDATE_ACTION: &str = "candidate";

/// Why an event does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The first event must begin the run, and no other may.
    #[error("a release begins once, with its first event")]
    Begin,
    /// The run was begun with another template.
    #[error("the release was begun with the template {expected}, not with this one ({found})")]
    Template {
        /// Digest that was pinned.
        expected: Sha256Digest,
        /// Digest of the template at hand.
        found: Sha256Digest,
    },
    /// The run is over.
    #[error("the release is over")]
    Over,
    /// The actor is nobody of the team.
    #[error("{actor} is not among the release's people")]
    Unknown {
        /// The actor.
        actor: String,
    },
    /// The actor has not the role.
    #[error("this is for {role}, which {actor} is not")]
    Role {
        /// The actor.
        actor: String,
        /// The role, or what else is needed.
        role: String,
    },
    /// There is no such step, or it is of another kind.
    #[error("{step} is no step that this can be said of")]
    Step {
        /// The step.
        step: String,
    },
    /// It is about another candidate than the one of now.
    #[error("this is about another candidate than the one of now")]
    OtherCandidate,
    /// There is no candidate yet, or it was one before.
    #[error("{why}")]
    Candidate {
        /// What is wrong.
        why: &'static str,
    },
    /// Steps before it are open.
    #[error("{step} waits for {}", by.join(", "))]
    Blocked {
        /// The step.
        step: String,
        /// Open steps.
        by: Vec<String>,
    },
    /// Somebody else is at it.
    #[error("{by} is at {step}")]
    Claimed {
        /// The step.
        step: String,
        /// Who.
        by: String,
    },
    /// It is settled already.
    #[error("{step} is settled already")]
    Settled {
        /// The step.
        step: String,
    },
    /// Evidence is missing.
    #[error("{step} needs {needed} pieces of evidence; there are {found}")]
    Evidence {
        /// The step.
        step: String,
        /// How many.
        needed: usize,
        /// How many there are.
        found: usize,
    },
    /// A reviewer reviewed their own work.
    #[error("{actor} did {step} and cannot review it")]
    OwnWork {
        /// The actor.
        actor: String,
        /// The step.
        step: String,
    },
    /// Not all evidence was looked at.
    #[error("{missing} pieces of evidence were not looked at")]
    NotLookedAt {
        /// How many.
        missing: usize,
    },
    /// A finding has no disposition, or a go would publish one that is to be fixed.
    #[error("finding {finding}: {why}")]
    Finding {
        /// The finding.
        finding: String,
        /// What is wrong.
        why: &'static str,
    },
    /// A reason is missing.
    #[error("this needs a reason")]
    Reason,
    /// The wait is not over.
    #[error("{step}: the wait is not over, or a check-in is due")]
    Waiting {
        /// The step.
        step: String,
    },
    /// An attempt is open, or none is.
    #[error("{step}: {why}")]
    Attempt {
        /// The step.
        step: String,
        /// What is wrong.
        why: &'static str,
    },
    /// What was done cannot be undone.
    #[error(
        "something was published: there is only forward, by a new release or by taking it back"
    )]
    PastReturn,
    /// Nothing was published yet.
    #[error("nothing was published that could be taken back")]
    NothingPublished,
    /// Steps are open.
    #[error("steps are open: {}", by.join(", "))]
    Open {
        /// Their names.
        by: Vec<String>,
    },
}

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
            | What::StepWaived { .. } => self.work_on_step(event),
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
        if self.template.has_role(actor, role) {
            return Ok(());
        }
        Err(Refusal::Role {
            actor: actor.to_owned(),
            role: role.to_owned(),
        })
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

    fn add_candidate(&mut self, event: &Event) -> Result<(), Refusal> {
        let What::CandidateAdded {
            candidate,
            label,
            image,
            facts,
        } = &event.what
        else {
            return Ok(());
        };
        let is_builder = |step: &&Step| step.written.action.as_deref() == Some(CANDIDATE_ACTION);
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

    fn work_on_step(&mut self, event: &Event) -> Result<(), Refusal> {
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
                let was_done = self.steps[&step.name].proof.is_some();
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
            _ => {}
        }
        Ok(())
    }

    fn has_evidence(&self, step: &Step) -> Result<(), Refusal> {
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

    fn attempt(&mut self, event: &Event) -> Result<(), Refusal> {
        match &event.what {
            What::AttemptStarted { step, candidate } => {
                let step = self.find_step(step, &[Kind::Command])?;
                self.needs_role(&event.actor, &step.written.role)?;
                self.is_current(*candidate)?;
                self.is_ready(&step)?;
                self.is_free(&step, &event.actor)?;
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

    fn prove(&mut self, event: &Event) -> Result<(), Refusal> {
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
                self.may_review(event, &step, *candidate, evidence)?;
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

    fn may_review(
        &self,
        event: &Event,
        step: &Step,
        candidate: Sha256Digest,
        seen: &[Sha256Digest],
    ) -> Result<(), Refusal> {
        let actor = &event.actor;
        if !reviewers(step)
            .into_iter()
            .any(|role| self.template.has_role(actor, role))
        {
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

    /// Whether somebody of every reviewing role approves, and nobody's last word is no.
    fn is_approved(&self, step: &Step) -> bool {
        let now = self.candidate().map(|candidate| candidate.digest);
        let mut last = std::collections::BTreeMap::new();
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
            && reviewers(step).into_iter().all(|role| {
                approving
                    .iter()
                    .any(|name| self.template.has_role(name, role))
            })
    }

    fn decide(&mut self, event: &Event) -> Result<(), Refusal> {
        match &event.what {
            What::FindingAdded { finding, title, at } => {
                if self.findings.contains_key(finding) || finding.is_empty() {
                    return Err(Refusal::Finding {
                        finding: finding.clone(),
                        why: "another finding has this name",
                    });
                }
                let new = Finding {
                    title: title.clone(),
                    by: event.actor.clone(),
                    at: at.clone(),
                    inputs: std::collections::BTreeMap::new(),
                };
                self.findings.insert(finding.clone(), new);
            }
            What::InputGiven {
                finding,
                question,
                answer,
            } => {
                let unknown = |why| Refusal::Finding {
                    finding: finding.clone(),
                    why,
                };
                let asked = self.template.release.questions.get(question);
                let asked = asked.ok_or_else(|| unknown("the template has no such question"))?;
                self.needs_role(&event.actor, &asked.role)?;
                let known = self.findings.get_mut(finding);
                let known = known.ok_or_else(|| unknown("there is no such finding"))?;
                let input = (event.actor.clone(), answer.clone());
                known.inputs.insert(question.clone(), input);
            }
            What::DecisionMade { step, .. } => {
                let step = self.find_step(step, &[Kind::Decision])?;
                self.needs_role(&event.actor, &step.written.role)?;
                self.make_decision(event, &step)?;
            }
            _ => {}
        }
        Ok(())
    }

    fn make_decision(&mut self, event: &Event, step: &Step) -> Result<(), Refusal> {
        let What::DecisionMade {
            candidate,
            verdict,
            findings,
            reason,
            ..
        } = &event.what
        else {
            return Ok(());
        };
        self.is_current(Some(*candidate))?;
        let unknown: Vec<String> = self
            .findings
            .iter()
            .flat_map(|(name, finding)| {
                let questions = self.template.release.questions.keys();
                questions
                    .filter(|question| !matches!(finding.inputs.get(*question), Some((_, Some(_)))))
                    .map(move |question| format!("{name}/{question}"))
            })
            .collect();
        if *verdict == Verdict::Go {
            self.is_ready(step)?;
            for finding in self.findings.keys() {
                let why = match findings.get(finding) {
                    None => "nothing was decided about it",
                    Some(Disposition::FixNow) => "it is to be fixed, so this candidate cannot go",
                    Some(_) => continue,
                };
                return Err(Refusal::Finding {
                    finding: finding.clone(),
                    why,
                });
            }
            if !unknown.is_empty() {
                needs_reason(reason)?;
            }
        } else {
            // A no may come at any time before something was published.
            if self.is_past_return() {
                return Err(Refusal::PastReturn);
            }
            needs_reason(reason)?;
        }
        self.state(step).decisions.push(Decision {
            candidate: *candidate,
            by: event.actor.clone(),
            time: event.time,
            verdict: *verdict,
            findings: findings.clone(),
            unknown,
            reason: reason.clone(),
        });
        if *verdict == Verdict::Go {
            self.settle(step, event, reason, false);
        } else {
            self.state(step).proof = None;
        }
        Ok(())
    }

    fn watch(&mut self, event: &Event) -> Result<(), Refusal> {
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

    fn finish(&mut self, event: &Event) -> Result<(), Refusal> {
        match &event.what {
            What::Yanked { reason } => {
                self.needs_waiver(&event.actor, reason)?;
                if !self.is_past_return() {
                    return Err(Refusal::NothingPublished);
                }
                self.yanked = Some(reason.clone());
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

fn needs_reason(reason: &str) -> Result<(), Refusal> {
    if reason.trim().is_empty() {
        return Err(Refusal::Reason);
    }
    Ok(())
}
