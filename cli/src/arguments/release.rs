//! `bakelite release …`

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use content_digest::Sha256Digest;

#[derive(Debug, Args)]
pub(crate) struct ReleaseArguments {
    /// Folder of the release: template/, journal/ and evidence/ lie in it
    #[arg(long, value_name = "FOLDER", default_value = "release", global = true)]
    pub(crate) folder: PathBuf,
    /// Version of the release; the open one if there is only one
    #[arg(long = "run", value_name = "VERSION", global = true)]
    pub(crate) run: Option<String>,
    /// Your SSH key; the first of ~/.ssh/id_* whose public half is in people.toml if absent
    #[arg(long, value_name = "FILE", env = "BAKELITE_RELEASE_KEY", global = true)]
    pub(crate) key: Option<PathBuf>,
    #[command(subcommand)]
    pub(crate) command: ReleaseCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ReleaseCommand {
    /// Copy the checklist that comes with bakelite into your repository
    Init,
    /// Look for what the checklist costs, lacks or leaves in one person's hands
    Lint,
    /// Begin a release
    Start {
        /// Its version
        version: String,
        /// What kind of release it is
        #[arg(long)]
        kind: Kind,
    },
    /// Builds that may become the release
    #[command(subcommand)]
    Candidate(CandidateCommand),
    /// Show how every step stands
    Status,
    /// Show what you can do now, and who is waited for
    Next,
    /// Say that you are at a step
    Claim {
        /// The step
        step: String,
    },
    /// Give a step back that you are at
    GiveBack {
        /// The step
        step: String,
    },
    /// Say that a step is done
    Done {
        /// The step
        step: String,
        /// What is worth knowing
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Say that what was done for an earlier candidate holds for this one
    Confirm {
        /// The step
        step: String,
        /// Why it holds
        #[arg(long)]
        reason: String,
    },
    /// Leave out a step
    #[command(visible_alias = "skip")]
    Waive {
        /// The step
        step: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Films, logs and records that prove something
    #[command(subcommand)]
    Evidence(EvidenceCommand),
    /// Approve or refuse what others did; without a verdict, list what is to be looked at
    Review {
        /// The step with the review
        step: String,
        /// It is as it should be
        #[arg(long, conflicts_with = "refuse")]
        approve: bool,
        /// It is not
        #[arg(long)]
        refuse: bool,
        /// What was seen
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Note that something is wrong, or may be
    Finding {
        /// A short name, such as `flicker`
        name: String,
        /// One sentence
        title: String,
        /// Evidence that shows it: SHA-256@SECOND
        #[arg(long, value_name = "SHA256@SECOND")]
        at: Option<String>,
    },
    /// Answer a question about a finding
    Input {
        /// The finding
        finding: String,
        /// The question's name
        question: String,
        /// The answer; leave it out for “unknown”
        answer: Option<String>,
    },
    /// Decide on the candidate
    Decide {
        /// Go or not
        verdict: Verdict,
        /// What is done about a finding: NAME=fix-now, fixed, known-issue, defer or not-a-bug
        #[arg(long = "finding", value_name = "NAME=WHAT")]
        findings: Vec<String>,
        /// Why
        #[arg(long, default_value = "")]
        reason: String,
    },
    /// Say what you saw during a wait
    CheckIn {
        /// The step with the wait
        step: String,
        /// Reports since the last look
        #[arg(long)]
        reports: u32,
        /// What they are about
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Make a wait longer
    Extend {
        /// The step with the wait
        step: String,
        /// Hours more
        #[arg(long)]
        hours: u32,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Enter the hash that somebody outside computed
    Handoff {
        /// The step
        step: String,
        /// SHA-256 of the image that they downloaded
        #[arg(long, value_name = "SHA256")]
        answer: Sha256Digest,
        /// What they wrote
        #[arg(long, default_value = "")]
        note: String,
    },
    /// Take back what was published
    Yank {
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Give up the release, before anything was published
    Abort {
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// Note what the team learned
    Retro {
        /// A sentence
        note: String,
    },
    /// End the release
    Close,
    /// Show every event
    Log,
    /// Check every signature and link of the journal
    Verify,
}

#[derive(Debug, Subcommand)]
pub(crate) enum CandidateCommand {
    /// Hash a build's files again and make it the candidate
    Add {
        /// The build's manifest.json, or its folder
        manifest: PathBuf,
        /// What people call it; rc1, rc2, … if absent
        #[arg(long)]
        label: Option<String>,
        /// A condition that holds for it, such as has-security-fix
        #[arg(long = "fact", value_name = "FACT")]
        facts: Vec<String>,
    },
}

#[derive(Debug, Subcommand)]
pub(crate) enum EvidenceCommand {
    /// Add a file to a step
    Add {
        /// The step
        step: String,
        /// The file
        file: PathBuf,
        /// Length of a film in seconds
        #[arg(long)]
        seconds: Option<u64>,
        /// Serial number of the device that it shows
        #[arg(long)]
        serial: Option<String>,
    },
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Kind {
    /// New behaviour
    Feature,
    /// Repairs
    Patch,
    /// Repairs of vulnerabilities
    Security,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Verdict {
    /// Publish this candidate
    Go,
    /// Another candidate is needed
    NoGo,
}
