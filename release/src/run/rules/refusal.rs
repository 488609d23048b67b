//! Why an event does not count.

use content_digest::Sha256Digest;

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
    /// Later steps stand on what is to be taken back.
    #[error("{} came after {step}: take that back first, or go on", by.join(", "))]
    Followed {
        /// The step.
        step: String,
        /// Later steps that are done.
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
