//! What can happen to a release. Events are only ever added; the checklist is what replay makes of
//! them.

use content_digest::Sha256Digest;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// The form of events that this program writes and reads.
pub const SCHEMA: u32 = 1;

/// One event, as it is signed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Event {
    /// Form of the event.
    pub schema: u32,
    /// Version that is released, such as `2.7.0`.
    pub run: String,
    /// ULID: names the event and orders those that nothing else orders.
    pub id: String,
    /// When the author's clock says that it was.
    pub time: Timestamp,
    /// Who did it, by the name in the template's people.
    pub actor: String,
    /// The server that wrote it for the actor, if one did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub via: Option<String>,
    /// Digests of the newest events that the author saw, rising.
    pub after: Vec<Sha256Digest>,
    /// What happened.
    pub what: What,
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "kebab-case", deny_unknown_fields)]
pub enum What {
    /// A release began. Always the first event.
    RunStarted {
        /// Kind of release.
        kind: RunKind,
        /// Digest of the template's files, of which a copy lies beside the events.
        template: Sha256Digest,
    },
    /// A build was made the candidate. Everything proven about another one is stale from here.
    CandidateAdded {
        /// Digest of the manifest: the candidate's name.
        candidate: Sha256Digest,
        /// What people call it, such as `rc1`.
        label: String,
        /// Digest of the image as it is downloaded: what those outside compute.
        image: Sha256Digest,
        /// Conditions that hold for it, such as `has-security-fix`.
        facts: Vec<String>,
        /// Developers of changed behaviour, who must see the footage.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        owners: Vec<String>,
    },
    /// Somebody began a step.
    StepClaimed {
        /// The step.
        step: String,
    },
    /// Somebody gave a step back.
    StepReleased {
        /// The step.
        step: String,
    },
    /// A step is done.
    StepDone {
        /// The step.
        step: String,
        /// The candidate that it was done for; none for steps before there is one.
        candidate: Option<Sha256Digest>,
        /// What is worth knowing.
        note: String,
    },
    /// What was done for an earlier candidate holds for this one too.
    StepConfirmed {
        /// The step.
        step: String,
        /// The candidate that it holds for.
        candidate: Sha256Digest,
        /// Why it holds.
        reason: String,
    },
    /// A step is left out by who may do so.
    StepWaived {
        /// The step.
        step: String,
        /// Why.
        reason: String,
    },
    /// What a step did was taken back: it is open again.
    StepUndone {
        /// The step.
        step: String,
        /// What was taken back, and why.
        note: String,
    },
    /// Somebody may stand in for the role of the one who says so, in this release.
    RoleDelegated {
        /// The role.
        role: String,
        /// Who stands in.
        to: String,
        /// Why.
        reason: String,
    },
    /// An automated step is about to change the world.
    AttemptStarted {
        /// The step.
        step: String,
        /// The candidate.
        candidate: Option<Sha256Digest>,
    },
    /// An automated step ended.
    AttemptFinished {
        /// The step.
        step: String,
        /// The candidate.
        candidate: Option<Sha256Digest>,
        /// How it ended.
        outcome: Outcome,
        /// What it said: addresses, digests, errors. Never a secret.
        note: String,
    },
    /// A file proves something.
    EvidenceAdded {
        /// The step that it belongs to.
        step: String,
        /// The candidate that it shows.
        candidate: Sha256Digest,
        /// The file.
        file: EvidenceFile,
    },
    /// Somebody looked at the evidence of a step.
    ReviewGiven {
        /// The step with the review.
        step: String,
        /// The candidate.
        candidate: Sha256Digest,
        /// The evidence that was looked at.
        evidence: Vec<Sha256Digest>,
        /// Whether the reviewer approves.
        approves: bool,
        /// What was seen.
        note: String,
    },
    /// Something is wrong, or may be.
    FindingAdded {
        /// Name of the finding, unique in the run.
        finding: String,
        /// One sentence.
        title: String,
        /// Where it shows: evidence and the second in it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<Place>,
    },
    /// One of the questions about a finding was answered.
    InputGiven {
        /// The finding.
        finding: String,
        /// The question's name in the template.
        question: String,
        /// The answer; none says “unknown”.
        answer: Option<String>,
    },
    /// The product owner decided.
    DecisionMade {
        /// The step with the decision.
        step: String,
        /// The candidate.
        candidate: Sha256Digest,
        /// Go or not.
        verdict: Verdict,
        /// What is done about each finding.
        findings: std::collections::BTreeMap<String, Disposition>,
        /// Why, and which unknowns were taken into account.
        reason: String,
    },
    /// Somebody looked, during a wait.
    CheckedIn {
        /// The step with the wait.
        step: String,
        /// Reports seen since the last look.
        reports: u32,
        /// What was seen.
        note: String,
    },
    /// A wait takes longer.
    WaitExtended {
        /// The step with the wait.
        step: String,
        /// Hours more.
        hours: u32,
        /// Why.
        reason: String,
    },
    /// A bundle was handed to somebody outside, or they answered.
    HandoffAnswered {
        /// The step.
        step: String,
        /// The candidate.
        candidate: Sha256Digest,
        /// The digest of the image that the receiver computed.
        image: Sha256Digest,
        /// What they wrote.
        note: String,
    },
    /// What was published is taken back.
    Yanked {
        /// Why.
        reason: String,
    },
    /// The release was given up before its point of no return.
    Aborted {
        /// Why.
        reason: String,
    },
    /// What the team learned.
    RetroNoted {
        /// A sentence.
        note: String,
    },
    /// Nothing more will happen.
    Closed {},
}

/// Kind of release.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RunKind {
    /// New behaviour.
    Feature,
    /// Repairs.
    Patch,
    /// Repairs of vulnerabilities.
    Security,
}

/// How an automated step ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The world is as it should be.
    Done,
    /// It is not.
    Failed,
}

/// A decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Verdict {
    /// Publish this candidate.
    Go,
    /// Another candidate is needed.
    NoGo,
}

/// What is done about a finding.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Disposition {
    /// To be repaired in the next candidate.
    FixNow,
    /// Repaired in this candidate.
    Fixed,
    /// Published with it; the release notes say so.
    KnownIssue,
    /// For a later release.
    Defer,
    /// It is as it should be.
    NotABug,
}

/// A file of evidence. The file itself lies elsewhere, under its digest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct EvidenceFile {
    /// Digest.
    pub sha256: Sha256Digest,
    /// Size in bytes.
    pub size: u64,
    /// Name that it was added under.
    pub name: String,
    /// Media type (RFC 6838).
    pub media_type: String,
    /// Length of a recording in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seconds: Option<u64>,
    /// Serial number of the device that it shows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
}

/// A place in a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub struct Place {
    /// The evidence.
    pub evidence: Sha256Digest,
    /// Seconds from its beginning.
    pub second: u64,
}
