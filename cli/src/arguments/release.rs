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
        /// What kind of release it is; asked for if absent
        #[arg(long)]
        kind: Option<Kind>,
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
    /// Print the sheets of all decisions as Markdown, to be read years later
    Sheet,
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
    /// Make the bundle for somebody outside, or enter the hash that they computed
    Handoff {
        /// The step
        step: String,
        /// SHA-256 of the image that they downloaded; without it, the bundle is made
        #[arg(long, value_name = "SHA256")]
        answer: Option<Sha256Digest>,
        /// What they wrote
        #[arg(long, default_value = "")]
        note: String,
        /// Folder of the candidate's files, if it is not where it was added from
        #[arg(long, value_name = "FOLDER")]
        build: Option<PathBuf>,
    },
    /// Show what an automated step would do, or do it
    Run {
        /// The step
        step: String,
        /// Do it
        #[arg(long = "do", conflicts_with = "undo")]
        do_it: bool,
        /// Take it back
        #[arg(long, requires = "reason")]
        undo: bool,
        /// Why it is taken back
        #[arg(long)]
        reason: Option<String>,
        /// Folder of the candidate's files, if it is not where it was added from
        #[arg(long, value_name = "FOLDER")]
        build: Option<PathBuf>,
    },
    /// Say what became of an attempt that was interrupted and that no program can ask about
    Settle {
        /// The step
        step: String,
        /// What became of it
        outcome: Settled,
        /// How you know
        #[arg(long)]
        note: String,
    },
    /// Let somebody stand in for a role of yours, in this release
    Delegate {
        /// The role
        role: String,
        /// Who stands in
        #[arg(long)]
        to: String,
        /// Why
        #[arg(long)]
        reason: String,
    },
    /// List the changes that wait for a release, with their owners and tests
    Changes,
    /// Carry the journal between people: fetch, verify, merge, push
    Sync {
        /// Address of the git repository; the product's own “origin” if absent
        #[arg(long, value_name = "ADDRESS")]
        remote: Option<String>,
    },
    /// Show what releases cost, and whether automating a step pays
    Cost(CostArguments),
    /// Serve the release as a web page, for those who do not use git
    Serve {
        /// Address and port to listen on
        #[arg(long, default_value = "127.0.0.1:8620", value_name = "ADDRESS:PORT")]
        listen: std::net::SocketAddr,
        /// Address that browsers use, if a proxy with TLS stands in front
        #[arg(long, value_name = "URL")]
        public: Option<String>,
        /// Carry the journal by git every minute, and after every event
        #[arg(long)]
        sync: bool,
        /// Address of the git repository, for --sync; the product's own “origin” if absent
        #[arg(long, value_name = "ADDRESS")]
        remote: Option<String>,
    },
    /// Make a link with which somebody signs in to the web page, once
    Invite {
        /// Who, by the name in people.toml
        name: String,
        /// Address that browsers use
        #[arg(long, default_value = "http://127.0.0.1:8620", value_name = "URL")]
        public: String,
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
        /// The file; one that `bakelite flash --record` wrote must say that this candidate was written and read back
        file: PathBuf,
        /// Length of a film in seconds
        #[arg(long)]
        seconds: Option<u64>,
        /// Serial number of the device that it shows
        #[arg(long)]
        serial: Option<String>,
    },
}

#[derive(Debug, Args)]
pub(crate) struct CostArguments {
    /// Releases a year
    #[arg(long, default_value_t = 6.0, value_name = "NUMBER")]
    pub(crate) a_year: f64,
    /// Step that one thinks of automating
    #[arg(long, value_name = "STEP")]
    pub(crate) automate: Option<String>,
    /// Hours to build the automation
    #[arg(long, default_value_t = 8.0, value_name = "HOURS")]
    pub(crate) build_hours: f64,
    /// Minutes that the step would still take
    #[arg(long, default_value_t = 0.0, value_name = "MINUTES")]
    pub(crate) minutes_then: f64,
    /// Hours a year to keep the automation alive
    #[arg(long, default_value_t = 0.0, value_name = "HOURS")]
    pub(crate) upkeep: f64,
    /// How often the step goes wrong by hand, 0 to 1
    #[arg(long, default_value_t = 0.0, value_name = "SHARE")]
    pub(crate) errors: f64,
    /// Hours that one such error costs
    #[arg(long, default_value_t = 0.0, value_name = "HOURS")]
    pub(crate) hours_an_error: f64,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Settled {
    /// It was done
    Done,
    /// It was not done
    Failed,
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
