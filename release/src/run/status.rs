//! How steps stand, and what a person can do now.

use content_digest::Sha256Digest;
use jiff::{SignedDuration, Timestamp};

use super::{Evidence, Run};
use crate::journal::{Outcome, Verdict};
use crate::template::{Kind, Step};

/// How a step stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Status {
    /// It does not apply to this candidate.
    NotApplicable,
    /// Others must be done before.
    Blocked {
        /// Names of those steps; “a candidate” where there is none yet.
        by: Vec<String>,
    },
    /// Somebody with the role can begin.
    Ready,
    /// Somebody is at it.
    Claimed {
        /// Who.
        by: String,
    },
    /// Time must pass.
    Waiting {
        /// When it is over.
        until: Timestamp,
        /// Hours of the check-ins that are due and were not made.
        due: Vec<u32>,
    },
    /// An attempt began and never ended: the world must be probed.
    Interrupted,
    /// The last attempt failed.
    Failed {
        /// What it said.
        note: String,
    },
    /// It was done for an earlier candidate.
    Stale {
        /// That candidate's label.
        was_for: String,
    },
    /// Done.
    Done,
    /// Left out.
    Waived,
}

impl Status {
    /// Returns whether steps after it can go on.
    pub fn is_settled(&self) -> bool {
        matches!(self, Self::NotApplicable | Self::Done | Self::Waived)
    }
}

/// A step that a person can do something about now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mine {
    /// The step.
    pub step: String,
    /// How it stands.
    pub status: Status,
}

impl Run<'_> {
    /// Returns how a step stands at a time.
    pub fn status(&self, step: &Step, now: Timestamp) -> Status {
        let state = &self.steps[&step.name];
        let proof = state.proof.as_ref();
        if let Some(proof) = proof
            && self.is_settled(step)
        {
            return if proof.waived {
                Status::Waived
            } else {
                Status::Done
            };
        }
        match self.applies(step) {
            Some(true) => {}
            Some(false) => return Status::NotApplicable,
            None => {
                return Status::Blocked {
                    by: vec!["a candidate".into()],
                };
            }
        }
        if let Some(attempt) = state.attempts.last() {
            match attempt.outcome {
                None => return Status::Interrupted,
                Some(Outcome::Failed) if self.holds(step, attempt.candidate) => {
                    return Status::Failed {
                        note: attempt.note.clone(),
                    };
                }
                Some(_) => {}
            }
        }
        let by = self.blockers(step);
        if !by.is_empty() {
            return Status::Blocked { by };
        }
        if let Some(by) = &state.claimed_by {
            return Status::Claimed { by: by.clone() };
        }
        if step.written.kind == Kind::Wait
            && let Some((until, due)) = self.wait(step, now)
            && (now < until || !due.is_empty())
        {
            return Status::Waiting { until, due };
        }
        match proof.filter(|proof| !self.holds(step, proof.candidate)) {
            Some(proof) => Status::Stale {
                was_for: self.label(proof.candidate),
            },
            None => Status::Ready,
        }
    }

    /// Returns the steps that a person can do something about now.
    pub fn next_for(&self, person: &str, now: Timestamp) -> Vec<Mine> {
        if self.end.is_some() {
            return Vec::new();
        }
        let mut mine = Vec::new();
        for step in &self.template().steps {
            let status = self.status(step, now);
            let can_act = match &status {
                Status::Ready
                | Status::Stale { .. }
                | Status::Interrupted
                | Status::Failed { .. } => true,
                Status::Claimed { by } => by == person,
                Status::Waiting { due, .. } => !due.is_empty(),
                _ => false,
            };
            if can_act && self.may_work_on(person, step) && !self.has_reviewed(person, step) {
                let step = step.name.clone();
                mine.push(Mine { step, status });
            }
        }
        mine
    }

    /// Returns whether a person said their word about the candidate of now.
    fn has_reviewed(&self, person: &str, step: &Step) -> bool {
        let now = self.candidate().map(|candidate| candidate.digest);
        let reviews = &self.steps[&step.name].reviews;
        step.written.kind == Kind::Review
            && reviews
                .iter()
                .any(|review| review.by == person && Some(review.candidate) == now)
    }

    /// Returns whether a person has a role for a step: its own, or a reviewer's.
    pub fn may_work_on(&self, person: &str, step: &Step) -> bool {
        self.has_role(person, &step.written.role)
            || (step.written.kind == Kind::Review && self.may_review(person, step))
    }

    /// Returns whether a person's review is asked for: by role, or as an owner of changed behaviour.
    pub fn may_review(&self, person: &str, step: &Step) -> bool {
        let mut roles = crate::template::reviewers(step).into_iter();
        roles.any(|role| self.has_role(person, role))
            || self.owners(step).iter().any(|owner| owner == person)
    }

    /// Returns the owners of changed behaviour who must approve in a review.
    pub fn owners(&self, step: &Step) -> &[String] {
        match self.candidate() {
            Some(candidate) if step.written.owners_review => &candidate.owners,
            _ => &[],
        }
    }

    /// Returns whether a proof for `candidate` counts for the candidate of now.
    pub(super) fn holds(&self, step: &Step, candidate: Option<Sha256Digest>) -> bool {
        if step.written.carries_over {
            return true;
        }
        match (candidate, self.candidate()) {
            (Some(of), Some(now)) => of == now.digest,
            // Done before there was one: it counts for the first.
            (None, _) => self.candidates.len() <= 1,
            (Some(_), None) => false,
        }
    }

    /// Returns whether a step applies; none while nobody can know.
    pub(super) fn applies(&self, step: &Step) -> Option<bool> {
        let Some(condition) = &step.written.condition else {
            return Some(true);
        };
        let kind = self.kind.map(|kind| match kind {
            crate::journal::RunKind::Feature => "feature",
            crate::journal::RunKind::Patch => "patch",
            crate::journal::RunKind::Security => "security",
        });
        if kind == Some(condition.as_str()) {
            return Some(true);
        }
        self.candidate()
            .map(|candidate| candidate.facts.contains(condition))
    }

    /// Returns the steps before this one that are not settled.
    pub(super) fn blockers(&self, step: &Step) -> Vec<String> {
        let open = |name: &&String| {
            let step = self.template().step(name);
            step.is_some_and(|step| !self.is_settled(step))
        };
        step.written.after.iter().filter(open).cloned().collect()
    }

    /// Returns whether steps after this one can go on: [`Status::is_settled`], without the details.
    pub(super) fn is_settled(&self, step: &Step) -> bool {
        let proof = self.steps[&step.name].proof.as_ref();
        match proof.filter(|proof| self.holds(step, proof.candidate)) {
            Some(proof) => {
                proof.waived || step.written.kind != Kind::Decision || self.is_decided(step)
            }
            None => self.applies(step) == Some(false),
        }
    }

    /// Returns whether the last decision is a go for this candidate that knew every finding.
    pub(super) fn is_decided(&self, step: &Step) -> bool {
        self.steps[&step.name]
            .decisions
            .last()
            .is_some_and(|decision| {
                decision.verdict == Verdict::Go
                    && self
                        .candidate()
                        .is_some_and(|candidate| candidate.digest == decision.candidate)
                    && self
                        .findings
                        .keys()
                        .all(|name| decision.findings.contains_key(name))
            })
    }

    /// Returns the pieces of evidence of a step that count for the candidate of now: its own, and those of the
    /// candidate that the step was confirmed from.
    pub fn evidence_of(&self, step: &Step) -> Vec<&Evidence> {
        let state = &self.steps[&step.name];
        let confirmed = self.is_settled(step);
        let now = self.candidate().map(|candidate| candidate.digest);
        let own = state.evidence.iter().filter(|e| Some(e.candidate) == now);
        let own: Vec<&Evidence> = own.collect();
        if own.is_empty() && confirmed {
            let last = state.evidence.last().map(|evidence| evidence.candidate);
            let of_last = |evidence: &&Evidence| Some(evidence.candidate) == last;
            return state.evidence.iter().filter(of_last).collect();
        }
        own
    }

    /// Returns when a wait is over, and the hours of check-ins that are due and were not made. None
    /// while it has not begun.
    pub fn wait(&self, step: &Step, now: Timestamp) -> Option<(Timestamp, Vec<u32>)> {
        let state = &self.steps[&step.name];
        let before = step.written.after.iter();
        let begun = before
            .filter_map(|name| self.steps.get(name)?.proof.as_ref())
            .map(|proof| proof.time)
            .max()?;
        let hours = |count: u32| SignedDuration::from_hours(i64::from(count));
        let until = begun + hours(step.written.hours + state.more_hours);
        let mut due = step.written.check_ins.clone();
        due.retain(|hour| begun + hours(*hour) <= now);
        due.retain(|hour| {
            let at = begun + hours(*hour);
            !state.check_ins.iter().any(|check_in| check_in.time >= at)
        });
        Some((until, due))
    }

    fn label(&self, candidate: Option<Sha256Digest>) -> String {
        let known = self.candidates.iter().find(|c| Some(c.digest) == candidate);
        known.map_or_else(|| "no candidate".into(), |c| c.label.clone())
    }
}
