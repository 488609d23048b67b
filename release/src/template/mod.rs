//! The checklist as a team writes it: steps, playbooks, roles and people, in the product's own
//! repository, reviewed like code.
//!
//! ```text
//! release/template/
//!   release.toml        budget, roles, questions
//!   people.toml         who has which role and key
//!   steps/<name>.toml   a step …
//!   steps/<name>.md     … and its playbook
//! ```

mod lint;
mod order;
pub mod written;

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use content_digest::{DigestBuilder, Sha256Digest};

use crate::journal::AllowedSigners;
use written::{PeopleToml, PersonToml, ReleaseToml, StepToml};

pub(crate) use lint::reviewers;
pub use lint::{Finding, lint};
pub use written::{Budget, Effect, Kind};

/// The form of the files that this program reads.
pub const SCHEMA: u32 = 1;

/// A step with its name.
#[derive(Debug, Clone)]
pub struct Step {
    /// Name of its files.
    pub name: String,
    /// As written.
    pub written: StepToml,
    /// The playbook, Markdown.
    pub playbook: Option<String>,
}

/// A whole template. Its steps are in an order in which they can be done.
#[derive(Debug, Clone)]
pub struct Template {
    /// `release.toml`
    pub release: ReleaseToml,
    /// `people.toml`
    pub people: PeopleToml,
    /// Steps, each after those that it waits for.
    pub steps: Vec<Step>,
    /// Digest of all its files.
    pub digest: Sha256Digest,
}

/// Something is wrong in a template's file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file.
    pub file: PathBuf,
    /// Line, counted from 1; 0 for the whole file.
    pub line: usize,
    /// What is wrong, and what would be right.
    pub text: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}: {}", self.file.display(), self.text),
            line => write!(f, "{}:{line}: {}", self.file.display(), self.text),
        }
    }
}

/// A template cannot be used. All problems at once.
#[derive(Debug, thiserror::Error)]
#[error("the template is not right:\n  {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n  "))]
pub struct Problems(pub Vec<Problem>);

impl Template {
    /// Reads a template's folder.
    pub fn load(folder: &Path) -> Result<Self, Problems> {
        let mut reader = Reader::default();
        let release: Option<ReleaseToml> = reader.toml(&folder.join("release.toml"));
        let people: Option<PeopleToml> = reader.toml(&folder.join("people.toml"));
        let mut steps = Vec::new();
        for path in reader.step_files(&folder.join("steps")) {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let written: Option<StepToml> = reader.toml(&path);
            let playbook = reader.text(&path.with_extension("md"));
            if let Some(written) = written {
                steps.push(Step {
                    name: name.into_owned(),
                    written,
                    playbook,
                });
            }
        }
        let (Some(release), Some(people)) = (release, people) else {
            return Err(Problems(reader.problems));
        };
        if release.schema != SCHEMA {
            reader.problem(
                &folder.join("release.toml"),
                format!(
                    "schema {} is not known; this program reads schema {SCHEMA}",
                    release.schema
                ),
            );
        }
        check_names(folder, &release, &people, &steps, &mut reader);
        let steps = match order::in_order(steps) {
            Ok(steps) => steps,
            Err(circle) => {
                let file = folder.join("steps").join(format!("{}.toml", circle[0]));
                reader.problem(
                    &file,
                    format!("steps wait for each other: {}", circle.join(" → ")),
                );
                Vec::new()
            }
        };
        if reader.problems.is_empty() {
            Ok(Self {
                release,
                people,
                steps,
                digest: reader.digest(folder),
            })
        } else {
            Err(Problems(reader.problems))
        }
    }

    /// Copies the files that were read: a run keeps the template that it began with.
    pub fn copy(from: &Path, to: &Path) -> std::io::Result<()> {
        fs_err::create_dir_all(to.join("steps"))?;
        for name in ["release.toml", "people.toml"] {
            fs_err::copy(from.join(name), to.join(name))?;
        }
        for entry in fs_err::read_dir(from.join("steps"))? {
            let path = entry?.path();
            if path.extension().is_some_and(|e| e == "toml" || e == "md") {
                fs_err::copy(
                    &path,
                    to.join("steps").join(path.file_name().unwrap_or_default()),
                )?;
            }
        }
        Ok(())
    }

    /// Returns a step by name.
    pub fn step(&self, name: &str) -> Option<&Step> {
        self.steps.iter().find(|step| step.name == name)
    }

    /// Returns whether a person has a role.
    pub fn has_role(&self, person: &str, role: &str) -> bool {
        self.people
            .people
            .get(person)
            .is_some_and(|person| person.roles.iter().any(|known| known == role))
    }

    /// Returns whether a person may leave out steps.
    pub fn may_waive(&self, person: &str) -> bool {
        let may = |role: &String| self.release.roles.get(role).is_some_and(|r| r.may_waive);
        self.people
            .people
            .get(person)
            .is_some_and(|person| person.roles.iter().any(may))
    }

    /// Returns the people with a role.
    pub fn people_with(&self, role: &str) -> Vec<&str> {
        let has = |person: &PersonToml| person.roles.iter().any(|known| known == role);
        let people = self.people.people.iter();
        people
            .filter(|(_, person)| has(person))
            .map(|(name, _)| name.as_str())
            .collect()
    }

    /// Returns the keys of people and servers. They were checked when the template was read.
    pub fn signers(&self) -> AllowedSigners {
        let mut signers = AllowedSigners::default();
        let people = self.people.people.iter();
        let keys = people.flat_map(|(name, person)| person.keys.iter().map(move |key| (name, key)));
        let servers = self
            .people
            .servers
            .iter()
            .map(|(name, server)| (name, &server.key));
        for (name, key) in keys.chain(servers) {
            signers.add(name, key).expect("checked when it was read");
        }
        signers
    }
}

/// Reads files, and keeps what is wrong with them.
#[derive(Debug, Default)]
struct Reader {
    problems: Vec<Problem>,
    files: BTreeMap<PathBuf, Sha256Digest>,
}

impl Reader {
    fn problem(&mut self, file: &Path, text: String) {
        self.problem_at(file, 0, text);
    }

    fn problem_at(&mut self, file: &Path, line: usize, text: String) {
        let file = file.to_owned();
        self.problems.push(Problem { file, line, text });
    }

    fn text(&mut self, path: &Path) -> Option<String> {
        let text = fs_err::read_to_string(path).ok()?;
        self.files.insert(path.to_owned(), Sha256Digest::of(&text));
        Some(text)
    }

    fn toml<T: serde::de::DeserializeOwned>(&mut self, path: &Path) -> Option<T> {
        let Some(text) = self.text(path) else {
            self.problem(path, "the file is not there, or no UTF-8 text".into());
            return None;
        };
        match toml::from_str(&text) {
            Ok(value) => Some(value),
            Err(error) => {
                let line = error
                    .span()
                    .map_or(0, |span| text[..span.start].matches('\n').count() + 1);
                self.problem_at(path, line, error.message().to_owned());
                None
            }
        }
    }

    fn step_files(&mut self, folder: &Path) -> Vec<PathBuf> {
        let entries = match fs_err::read_dir(folder) {
            Ok(entries) => entries,
            Err(error) => {
                self.problem(folder, error.to_string());
                return Vec::new();
            }
        };
        let mut files: Vec<PathBuf> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|e| e == "toml"))
            .collect();
        files.sort();
        files
    }

    /// The digest of all files by their names below the folder.
    fn digest(&self, folder: &Path) -> Sha256Digest {
        let mut digest = DigestBuilder::new();
        for (path, file) in &self.files {
            let name = path.strip_prefix(folder).unwrap_or(path);
            digest
                .part(name.as_os_str().as_encoded_bytes())
                .part(file.as_bytes());
        }
        digest.finish()
    }
}

/// Names become parts of file names and of signed events: small letters, digits and hyphens.
fn is_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !name.is_empty() && name.len() <= 64 && name.bytes().all(allowed)
}

fn check_names(
    folder: &Path,
    release: &ReleaseToml,
    people: &PeopleToml,
    steps: &[Step],
    reader: &mut Reader,
) {
    let roles: Vec<&str> = release.roles.keys().map(String::as_str).collect();
    let known = format!("known roles: {}", roles.join(", "));
    let file = folder.join("people.toml");
    for name in people.people.keys().chain(people.servers.keys()) {
        if !is_name(name) {
            reader.problem(
                &file,
                format!("“{name}”: names have small letters, digits and hyphens"),
            );
        }
    }
    let keys = people
        .people
        .iter()
        .flat_map(|(name, p)| p.keys.iter().map(move |k| (name, k)));
    let servers = people
        .servers
        .iter()
        .map(|(name, server)| (name, &server.key));
    for (name, key) in keys.chain(servers) {
        if let Err(error) = AllowedSigners::default().add(name, key) {
            reader.problem(&file, format!("a key of {name} cannot be read: {error}"));
        }
    }
    for (name, person) in &people.people {
        for role in person
            .roles
            .iter()
            .filter(|role| !release.roles.contains_key(*role))
        {
            reader.problem(
                &file,
                format!("{name} has the role “{role}”, which is none; {known}"),
            );
        }
    }
    for (name, question) in &release.questions {
        if !release.roles.contains_key(&question.role) {
            let text = format!(
                "question {name} is for “{}”, which is no role; {known}",
                question.role
            );
            reader.problem(&folder.join("release.toml"), text);
        }
    }
    for step in steps {
        let file = folder.join("steps").join(format!("{}.toml", step.name));
        if !is_name(&step.name) {
            reader.problem(&file, "names have small letters, digits and hyphens".into());
        }
        let named = std::iter::once(&step.written.role).chain(&step.written.reviewers);
        for role in named.filter(|role| !release.roles.contains_key(*role)) {
            reader.problem(&file, format!("“{role}” is no role; {known}"));
        }
        for other in step.written.after.iter().chain(&step.written.reviews) {
            if !steps.iter().any(|step| step.name == *other) {
                reader.problem(&file, format!("there is no step “{other}”"));
            }
        }
    }
}

#[cfg(test)]
mod tests;
