//! A release under way: what replay of the journal makes of it. A pure function of template and
//! events; who asks, and when, changes nothing but which waits are over.

mod forecast;
mod rules;
mod status;

use std::collections::BTreeMap;

use content_digest::Sha256Digest;
use jiff::Timestamp;

use crate::journal::{Disposition, EvidenceFile, Outcome, Place, RunKind, Verdict, VerifiedEvent};
use crate::template::Template;

pub use forecast::Forecast;
pub use rules::Refusal;
pub use status::{Mine, Status};

/// A build that may become the release.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// Digest of its manifest.
    pub digest: Sha256Digest,
    /// What people call it.
    pub label: String,
    /// Digest of its image as downloaded.
    pub image: Sha256Digest,
    /// Conditions that hold for it.
    pub facts: Vec<String>,
    /// Developers of changed behaviour.
    pub owners: Vec<String>,
    /// When it was added.
    pub time: Timestamp,
}

/// That a step was done: by whom, when, and for which candidate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proof {
    /// The candidate; none if there was none yet.
    pub candidate: Option<Sha256Digest>,
    /// Who.
    pub by: String,
    /// When.
    pub time: Timestamp,
    /// A note, or the reason.
    pub note: String,
    /// Left out rather than done.
    pub waived: bool,
}

/// A piece of evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The candidate that it shows.
    pub candidate: Sha256Digest,
    /// Who added it.
    pub by: String,
    /// The file.
    pub file: EvidenceFile,
}

/// A review.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Review {
    /// The candidate.
    pub candidate: Sha256Digest,
    /// Who.
    pub by: String,
    /// When.
    pub time: Timestamp,
    /// Evidence that was looked at.
    pub evidence: Vec<Sha256Digest>,
    /// Whether it is approved.
    pub approves: bool,
    /// What was seen.
    pub note: String,
}

/// An attempt of an automated step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The candidate.
    pub candidate: Option<Sha256Digest>,
    /// When it began.
    pub time: Timestamp,
    /// How it ended; none while it runs, or if it was interrupted.
    pub outcome: Option<Outcome>,
    /// What it said.
    pub note: String,
}

/// A look, during a wait.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CheckIn {
    /// Who.
    pub by: String,
    /// When.
    pub time: Timestamp,
    /// Reports seen.
    pub reports: u32,
    /// What was seen.
    pub note: String,
}

/// A decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// The candidate.
    pub candidate: Sha256Digest,
    /// Who.
    pub by: String,
    /// When.
    pub time: Timestamp,
    /// Go or not.
    pub verdict: Verdict,
    /// What is done about each finding.
    pub findings: BTreeMap<String, Disposition>,
    /// Inputs that were unknown, as `finding/question`.
    pub unknown: Vec<String>,
    /// Why.
    pub reason: String,
}

/// Everything about one step.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StepState {
    /// Who works on it.
    pub claimed_by: Option<String>,
    /// When it was claimed.
    pub claimed_at: Option<Timestamp>,
    /// That it was done: the newest proof.
    pub proof: Option<Proof>,
    /// Evidence, oldest first.
    pub evidence: Vec<Evidence>,
    /// Reviews, oldest first.
    pub reviews: Vec<Review>,
    /// Attempts, oldest first.
    pub attempts: Vec<Attempt>,
    /// Decisions, oldest first.
    pub decisions: Vec<Decision>,
    /// Looks during a wait.
    pub check_ins: Vec<CheckIn>,
    /// Hours that a wait takes longer.
    pub more_hours: u32,
    /// What somebody outside answered: image digest, note.
    pub answers: Vec<(Sha256Digest, String)>,
}

/// Something that is wrong, or may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// One sentence.
    pub title: String,
    /// Who found it.
    pub by: String,
    /// Where it shows.
    pub at: Option<Place>,
    /// Answers by question: who, and what (none says “unknown”).
    pub inputs: BTreeMap<String, (String, Option<String>)>,
}

/// An event that does not count, and why. It stays in the journal, and is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ignored {
    /// The event.
    pub event: Sha256Digest,
    /// Who wrote it.
    pub actor: String,
    /// Why it does not count.
    pub refusal: Refusal,
}

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum End {
    /// Given up, with the reason.
    Aborted(String),
    /// Everything is done.
    Closed,
}

/// A release under way.
#[derive(Debug, Clone)]
pub struct Run<'t> {
    template: &'t Template,
    /// Kind of release; none before it began.
    pub kind: Option<RunKind>,
    /// Candidates, oldest first.
    pub candidates: Vec<Candidate>,
    /// Steps by name.
    pub steps: BTreeMap<String, StepState>,
    /// Findings by name.
    pub findings: BTreeMap<String, Finding>,
    /// Why what was published was taken back.
    pub yanked: Option<String>,
    /// How it ended.
    pub end: Option<End>,
    /// Who stands in for which role, by person.
    pub delegates: BTreeMap<String, Vec<String>>,
    /// What the team learned.
    pub retro: Vec<String>,
    /// Events that do not count.
    pub ignored: Vec<Ignored>,
}

impl<'t> Run<'t> {
    /// Replays events in the order of a verified journal.
    pub fn replay<'e>(
        template: &'t Template,
        events: impl IntoIterator<Item = &'e VerifiedEvent>,
    ) -> Self {
        let names = template.steps.iter().map(|step| step.name.clone());
        let mut run = Self {
            template,
            kind: None,
            candidates: Vec::new(),
            steps: names.map(|name| (name, StepState::default())).collect(),
            findings: BTreeMap::new(),
            yanked: None,
            end: None,
            delegates: BTreeMap::new(),
            retro: Vec::new(),
            ignored: Vec::new(),
        };
        for event in events {
            if let Err(refusal) = run.apply(event.event()) {
                run.ignored.push(Ignored {
                    event: event.digest(),
                    actor: event.event().actor.clone(),
                    refusal,
                });
            }
        }
        run
    }

    /// Returns the template.
    pub fn template(&self) -> &'t Template {
        self.template
    }

    /// Returns whether a person has a role, by the template or as somebody's delegate.
    pub fn has_role(&self, person: &str, role: &str) -> bool {
        let stands_in = |roles: &Vec<String>| roles.iter().any(|known| known == role);
        self.template.has_role(person, role) || self.delegates.get(person).is_some_and(stands_in)
    }

    /// Returns the candidate that everything is about now.
    pub fn candidate(&self) -> Option<&Candidate> {
        self.candidates.last()
    }

    /// Returns whether something was done that cannot be undone: from here there is only forward.
    pub fn is_past_return(&self) -> bool {
        self.template.steps.iter().any(|step| {
            step.written.effect == crate::template::Effect::Irreversible
                && !self.steps[&step.name].attempts.is_empty()
        })
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
