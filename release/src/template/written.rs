//! The template as written: `release.toml`, `people.toml` and `steps/*.toml`. Unknown keys are errors.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Deserialize;

pub use super::action::{Action, Chore};

/// `release.toml`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ReleaseToml {
    /// Form of the files.
    pub schema: u32,
    /// One sentence.
    pub description: String,
    /// What a release may cost.
    pub budget: Budget,
    /// What is released.
    #[serde(default)]
    pub product: ProductToml,
    /// Places where things are published, by name.
    #[serde(default)]
    pub targets: BTreeMap<String, TargetToml>,
    /// How mail is sent.
    #[serde(default)]
    pub mail: Option<MailToml>,
    /// Target that films and logs are carried over between people; none keeps them where they are.
    #[serde(default)]
    pub evidence: Option<String>,
    /// Roles by name.
    pub roles: BTreeMap<String, RoleToml>,
    /// Questions about every finding, by name, in the order of the file.
    #[serde(default)]
    pub questions: BTreeMap<String, QuestionToml>,
}

/// What a release may cost. A step too many needs another to go.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Budget {
    /// Steps at most.
    pub steps: usize,
    /// Hours of somebody's attention at most.
    pub touch_hours: u32,
    /// Steps at most that cannot be undone.
    pub irreversible: usize,
}

/// What is released, as the world knows it.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct ProductToml {
    /// Its name.
    pub name: String,
    /// Its page; also the publisher's namespace in advisories (CSAF 2.0, §3.2.1.8.5).
    pub website: String,
    /// Who makes it.
    pub publisher: String,
    /// The public minisign key, if sums are signed with one besides the SSH key.
    pub minisign: Option<String>,
    /// The changelog, below the repository's root.
    pub changelog: PathBuf,
    /// Folder of changelog fragments, below the repository's root.
    pub fragments: PathBuf,
    /// Folder of advisory drafts, below the repository's root.
    pub advisories: PathBuf,
}

impl Default for ProductToml {
    fn default() -> Self {
        Self {
            name: "KVM".into(),
            website: "https://example.com".into(),
            publisher: "Example".into(),
            minisign: None,
            changelog: "CHANGELOG.md".into(),
            fragments: "changes".into(),
            advisories: "release/advisories".into(),
        }
    }
}

/// A place where things are published. Credentials come from the environment.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(tag = "kind", deny_unknown_fields, rename_all = "kebab-case")]
pub enum TargetToml {
    /// A folder, such as a web server's.
    Folder {
        /// The folder, below the repository's root or absolute.
        folder: PathBuf,
        /// Where the public reads it.
        #[serde(default)]
        address: Option<String>,
    },
    /// An S3-compatible store.
    S3 {
        /// Bucket.
        bucket: String,
        /// Address of the store; Amazon's own if absent.
        #[serde(default)]
        endpoint: Option<String>,
        /// Region.
        #[serde(default)]
        region: Option<String>,
        /// What all names begin with.
        #[serde(default)]
        prefix: String,
        /// Where the public reads it.
        #[serde(default)]
        address: Option<String>,
    },
    /// Releases of a GitHub repository.
    Github {
        /// `owner/name`
        repository: String,
        /// Address of the API; GitHub's own if absent.
        #[serde(default)]
        api: Option<String>,
        /// The tag, with `{version}` for the version.
        #[serde(default = "default_tag")]
        tag: String,
    },
}

fn default_tag() -> String {
    "v{version}".into()
}

impl TargetToml {
    /// Returns whether pages can be put there, not only releases.
    pub fn takes_pages(&self) -> bool {
        !matches!(self, Self::Github { .. })
    }
}

/// How mail is sent.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct MailToml {
    /// Who it is from (RFC 5322 mailbox).
    pub from: String,
    /// A mail server as an address, `smtps://mail.example.com` or `smtp://mail.example.com?tls=required`.
    #[serde(default)]
    pub server: Option<String>,
    /// A folder for `.eml` files instead, below the repository's root: somebody else sends them.
    #[serde(default)]
    pub folder: Option<PathBuf>,
}

/// A role.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct RoleToml {
    /// What it is called.
    pub title: String,
    /// May leave out steps, with a reason.
    #[serde(default)]
    pub may_waive: bool,
}

/// A question about a finding.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct QuestionToml {
    /// The question.
    pub text: String,
    /// Who answers it.
    pub role: String,
}

/// `people.toml`
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PeopleToml {
    /// People by name.
    #[serde(default)]
    pub people: BTreeMap<String, PersonToml>,
    /// Servers that may write for people, by name.
    #[serde(default)]
    pub servers: BTreeMap<String, ServerToml>,
}

/// A person.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct PersonToml {
    /// Roles.
    pub roles: Vec<String>,
    /// Address that a link for signing in may be sent to.
    #[serde(default)]
    pub mail: Option<String>,
    /// SSH public keys, as in `authorized_keys`. None for those who use the web page alone.
    #[serde(default)]
    pub keys: Vec<String>,
}

/// A server.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct ServerToml {
    /// Its SSH public key.
    pub key: String,
}

/// `steps/<name>.toml`
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct StepToml {
    /// What is done, as an order: “Publish the changelog”.
    pub title: String,
    /// How it is done.
    pub kind: Kind,
    /// Who does it.
    pub role: String,
    /// Steps that must be done before.
    #[serde(default)]
    pub after: Vec<String>,
    /// A fact of the candidate without which the step does not apply, such as `has-security-fix`.
    #[serde(default, rename = "if")]
    pub condition: Option<String>,
    /// What it does to the world.
    #[serde(default)]
    pub effect: Effect,
    /// What `release run` does for it: all of a command, the chores of another kind.
    #[serde(default)]
    pub action: Option<Action>,
    /// Minutes of attention that it takes.
    pub minutes: u32,
    /// Why it is there.
    #[serde(default)]
    pub why: String,
    /// Who answers for the step being worth its time.
    #[serde(default)]
    pub owner: String,
    /// Version of the product that it was added for.
    #[serde(default)]
    pub added: String,
    /// Last version for which it found something.
    #[serde(default)]
    pub last_caught: Option<String>,
    /// What it proves holds for later candidates too.
    #[serde(default)]
    pub carries_over: bool,
    /// Pieces of evidence without which it is not done.
    #[serde(default)]
    pub evidence: usize,
    /// Steps whose evidence a review looks at.
    #[serde(default)]
    pub reviews: Vec<String>,
    /// Roles that must each approve; the step's own role if there are none.
    #[serde(default)]
    pub reviewers: Vec<String>,
    /// Whether the developers of changed behaviour must each approve in a review, too.
    #[serde(default)]
    pub owners_review: bool,
    /// Hours of a wait.
    #[serde(default)]
    pub hours: u32,
    /// Hours after which somebody must look, during a wait.
    #[serde(default)]
    pub check_ins: Vec<u32>,
}

/// How a step is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Kind {
    /// A person does it, with the playbook.
    Manual,
    /// A program does it.
    Command,
    /// A person fills in what others need.
    Form,
    /// A person agrees.
    Approval,
    /// Others look at what was done.
    Review,
    /// The product owner decides on the findings.
    Decision,
    /// Time passes, and somebody watches.
    Wait,
    /// Somebody outside takes over and answers.
    Handoff,
}

/// What a step does to the world.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Effect {
    /// Nothing that others see.
    #[default]
    None,
    /// Something that can be taken back.
    Reversible,
    /// Something that cannot.
    Irreversible,
}
