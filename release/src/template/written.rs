//! The template as written: `release.toml`, `people.toml` and `steps/*.toml`. Unknown keys are errors.

use std::collections::BTreeMap;

use serde::Deserialize;

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
    /// Automated action that does it.
    #[serde(default)]
    pub action: Option<String>,
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
